//! How much memory actors may take when nobody says: half of what the pod may use.
//!
//! The other half is for scripts' heaps, the store's caches and requests under way.

use std::path::Path;

/// Without a limit, in bytes.
const DEFAULT_BYTES: u64 = 512 << 20;
/// At least this much, in bytes: less would keep almost no actor in memory.
const LEAST_BYTES: u64 = 16 << 20;
/// Where the limit of one's own control group is, in version 2 and version 1.
const LIMIT_FILES: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// Version 1 writes a number near 2^63 where there is no limit.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// The budget in bytes.
pub fn budget_bytes() -> u64 {
    of_limit(LIMIT_FILES.iter().find_map(|file| limit(Path::new(file))))
}

fn of_limit(limit: Option<u64>) -> u64 {
    limit.map_or(DEFAULT_BYTES, |limit| (limit / 2).max(LEAST_BYTES))
}

fn limit(file: &Path) -> Option<u64> {
    // `max` is no number either.
    let bytes: u64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < NO_LIMIT_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_limit_if_there_is_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, bytes) in [
            ("1073741824\n", 512 << 20),
            ("8388608\n", LEAST_BYTES),
            ("max\n", DEFAULT_BYTES),
            ("9223372036854771712\n", DEFAULT_BYTES),
        ] {
            std::fs::write(file.path(), text).expect("written");
            assert_eq!(of_limit(limit(file.path())), bytes, "{text}");
        }
        assert_eq!(of_limit(limit(Path::new("/nowhere"))), DEFAULT_BYTES);
    }
}
