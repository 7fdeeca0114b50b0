//! A folder as Kubernetes mounts a ConfigMap or Secret: files are links into `..data`, itself a link
//! that is swapped when the object changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A mounted folder. Dropping it removes it.
pub struct Mounted {
    folder: tempfile::TempDir,
    renderings: u32,
}

impl Mounted {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let mut mounted = Self { folder: tempfile::tempdir().expect("a folder"), renderings: 0 };
        mounted.replace(files);
        mounted
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Swaps all files at once.
    pub fn replace(&mut self, files: &[(&str, &str)]) {
        self.renderings += 1;
        let old = fs::canonicalize(self.path().join("..data")).ok();
        let name = format!("..rendering_{}", self.renderings);
        let new = self.path().join(&name);
        fs::create_dir(&new).expect("made");
        for (file, text) in files {
            fs::write(new.join(file), text).expect("written");
        }
        let next = self.path().join("..data_tmp");
        symlink(name, &next).expect("linked");
        fs::rename(next, self.path().join("..data")).expect("swapped");
        for (file, _) in files {
            let link = self.path().join(file);
            if fs::symlink_metadata(&link).is_err() {
                symlink(PathBuf::from("..data").join(file), link).expect("linked");
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(old).expect("removed");
        }
    }
}
