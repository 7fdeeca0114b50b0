//! Files of the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A path within the workspace.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join(relative)
}

pub fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The files of a folder that end in `.extension`, by name without it.
pub fn all(folder: &str, extension: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: BTreeMap<_, _> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(!found.is_empty(), "{folder} has no file .{extension}");
    found
}
