//! Processor time of a process, from `/proc/<pid>/stat`. Linux only.

use std::path::PathBuf;
use std::time::Duration;

/// `/proc` counts in ticks of 10 ms on every architecture that Linux runs on today.
const TICK: Duration = Duration::from_millis(10);

/// Why a process' time cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// There is no `/proc` here.
    #[error("processor time is read from /proc, which only Linux has; leave out --server-pid")]
    NotLinux,
    /// There is no such process.
    #[error("cannot read {path:?}: {source}; is --server-pid the process of the cell?")]
    Read {
        /// What was read.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The file is not as documented.
    #[error("cannot understand {path:?}")]
    Format {
        /// What was read.
        path: PathBuf,
    },
}

/// A process whose time is read.
#[derive(Clone, Debug)]
pub struct Process {
    stat: PathBuf,
}

impl Process {
    /// The process with this id.
    pub fn with_id(pid: u32) -> Self {
        Self { stat: format!("/proc/{pid}/stat").into() }
    }

    /// User and system time of all its threads since it started.
    ///
    /// # Errors
    /// The process is gone, or this is not Linux.
    pub fn time(&self) -> Result<Duration, CpuError> {
        if !cfg!(target_os = "linux") {
            return Err(CpuError::NotLinux);
        }
        let text = std::fs::read_to_string(&self.stat)
            .map_err(|source| CpuError::Read { path: self.stat.clone(), source })?;
        let ticks = ticks(&text).ok_or_else(|| CpuError::Format { path: self.stat.clone() })?;
        Ok(TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

/// Fields 14 and 15. The second field is the program's name in parentheses, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_hold_anything() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 2 3 4 700 55 9 9 20 0 8 0 100 1 1";
        assert_eq!(ticks(stat), Some(755));
        assert_eq!(ticks("42 (x) S 1"), None);
        assert_eq!(ticks(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::with_id(u32::MAX).time().expect_err("no such process");
        assert!(error.to_string().contains("--server-pid"), "{error}");
        assert!(Process::with_id(std::process::id()).time().is_ok());
    }
}
