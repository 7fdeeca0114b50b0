//! How an embedded store is set up, and why it may not open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::Clock;

/// Tells the free bytes of the file system a folder is on.
pub type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// How an embedded store is set up.
#[derive(Clone)]
pub struct Options {
    /// Tells the age of snapshots.
    pub clock: Arc<dyn Clock>,
    /// Free bytes the file system must keep: with less, commits are refused, so that what was taken
    /// can still be moved from the journal to its tables.
    pub reserve_bytes: u64,
    /// Memory for blocks of tables, in bytes.
    pub cache_bytes: u64,
    /// Rows gathered in memory before they become a table, in bytes and for each of the two parts.
    pub memtable_bytes: u64,
    /// Where free bytes are asked for.
    pub free_space: FreeSpace,
}

impl Options {
    /// What a cell uses.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            reserve_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            memtable_bytes: 32 << 20,
            free_space: Arc::new(free_bytes),
        }
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Why an embedded store did not open. Nothing was changed by the attempt.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has it open.
    #[error("data folder {} is in use by another process; stop that one, or name another folder", .folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder holds a store this version cannot read.
    #[error("data folder {} was written in another format ({found}); open it with the version that wrote it", .folder.display())]
    Format {
        /// The folder.
        folder: PathBuf,
        /// What its format says.
        found: String,
    },
    /// Files are missing, cut off or changed.
    #[error("{} is damaged: {reason}; restore data folder {} from a copy", .path.display(), .folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// The file, or the folder when the file is not known.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused something.
    #[error("data folder {} cannot be opened: {source}", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}
