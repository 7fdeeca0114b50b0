//! The shop of the examples: where it is, and copies of it that a test may change.

use std::path::{Path, PathBuf};

/// The shop as it is.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop").canonicalize().expect("the shop")
}

/// A copy of the shop in a folder of its own. `more` is added to the actor types of its shard.
pub fn copy(more: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("temporary folder");
    for entry in std::fs::read_dir(folder()).expect("the shop") {
        let path = entry.expect("a file").path();
        let is_source = path.extension().is_some_and(|extension| extension == "js" || extension == "yaml");
        if is_source {
            let name = path.file_name().expect("a name");
            std::fs::copy(&path, copy.path().join(name)).expect("copy");
        }
    }
    let shard = copy.path().join("shard.yaml");
    let manifest = std::fs::read_to_string(&shard).expect("the manifest");
    std::fs::write(&shard, manifest + more).expect("write");
    copy
}

/// Replaces `old`, which must be there, in a file of a copy: in one step, as editors do.
pub fn edit(copy: &Path, file: &str, old: &str, new: &str) {
    let path = copy.join(file);
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains(old), "{file} has no {old:?}");
    write(copy, file, &text.replace(old, new));
}

/// Replaces a file of a copy in one step.
pub fn write(copy: &Path, file: &str, text: &str) {
    let beside = copy.join("being-written");
    std::fs::write(&beside, text).expect("write");
    std::fs::rename(beside, copy.join(file)).expect("rename");
}
