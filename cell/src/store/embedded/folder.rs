//! The data folder: locked, checked, and opened as a fjall database of two keyspaces.
//!
//! Guarantees: one store at a time has the folder open; a store that lost files is refused before
//! fjall would tidy their remains away; a folder whose creation was interrupted is created anew.
//!
//! fjall keeps its journals (`*.jnl`), its `version` and its `keyspaces/<n>` in the folder; `corallite`
//! is ours: locked while the folder is open, and holding the format once the store is complete.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};

use super::journal;
use super::options::{OpenError, Options};

/// Our one file.
const MARKER: &str = "corallite";
/// Written into it when both keyspaces exist.
const FORMAT: &str = "corallite embedded store, format 1\n";
/// Journals are thinned out over this size; opening reads them all, so it bounds the time it takes.
const JOURNALS_BYTES: u64 = 128 << 20;
/// Records at least this long are kept out of the log's tables, so that merging tables moves only
/// their keys.
const SEPARATED_BYTES: u32 = 64;

/// A locked data folder.
pub struct Folder {
    path: PathBuf,
    /// Holds the lock until it is closed.
    marker: File,
}

/// An open database.
pub struct Opened {
    pub db: Database,
    /// Records: written once, read in order.
    pub log: Keyspace,
    /// Everything else.
    pub rest: Keyspace,
}

impl Folder {
    /// Locks the folder; makes it when there is none.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { folder: path.to_owned(), source };
        fs::create_dir_all(path).map_err(io)?;
        let marker = path.join(MARKER);
        let marker = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(marker)
            .map_err(io)?;
        match marker.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), marker }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the database, or makes it in a folder that has none.
    pub fn open(&mut self, options: &Options) -> Result<Opened, OpenError> {
        if self.is_complete()? {
            self.check_files()?;
            journal::check(&self.path).map_err(|found| self.journal_error(found))?;
        } else {
            self.remove_remains()?;
        }
        // fjall asserts some of what it reads; a damaged folder must not take the process with it.
        let opened = catch_unwind(AssertUnwindSafe(|| open_database(&self.path, options)))
            .map_err(|_| self.damaged(&self.path, "it does not hold together"))?
            .map_err(|error| self.fjall_error(error))?;
        self.mark_complete().map_err(|source| self.io(source))?;
        Ok(opened)
    }

    fn is_complete(&mut self) -> Result<bool, OpenError> {
        let mut text = String::new();
        let read = self.marker.rewind().and_then(|()| self.marker.read_to_string(&mut text));
        read.map_err(|source| self.io(source))?;
        match text.as_str() {
            FORMAT => Ok(true),
            "" => Ok(false),
            found => Err(OpenError::Format {
                folder: self.path.clone(),
                found: found.trim().escape_debug().to_string(),
            }),
        }
    }

    /// A complete store has a version, and every keyspace that has tables knows which: fjall would
    /// take what lacks them for the remains of an interrupted creation and delete it.
    fn check_files(&self) -> Result<(), OpenError> {
        let expect = |path: PathBuf| match path.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.damaged(&path, "the file is missing")),
            Err(source) => Err(self.io(source)),
        };
        expect(self.path.join("version"))?;
        let keyspaces = self.path.join("keyspaces");
        expect(keyspaces.clone())?;
        // One for fjall's own names, and our two.
        for number in 0..3 {
            expect(keyspaces.join(number.to_string()).join("current"))?;
        }
        Ok(())
    }

    /// Removes what an interrupted creation left. Nothing was ever committed to it, or it is damaged.
    fn remove_remains(&self) -> Result<(), OpenError> {
        let remains = self.remains().map_err(|source| self.io(source))?;
        for path in &remains {
            if holds_rows(path).map_err(|source| self.io(source))? {
                let marker = self.path.join(MARKER);
                return Err(
                    self.damaged(&marker, "it says that the store is not complete, but there are rows")
                );
            }
        }
        let remove =
            |path: &PathBuf| if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        remains.iter().try_for_each(remove).map_err(|source| self.io(source))
    }

    /// What fjall made in the folder.
    fn remains(&self) -> io::Result<Vec<PathBuf>> {
        let is_fjalls =
            |name: &str| matches!(name, "keyspaces" | "version" | "lock") || name.ends_with(".jnl");
        let mut remains = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if is_fjalls(&entry.file_name().to_string_lossy()) {
                remains.push(entry.path());
            }
        }
        Ok(remains)
    }

    fn mark_complete(&mut self) -> io::Result<()> {
        self.marker.rewind()?;
        self.marker.write_all(FORMAT.as_bytes())?;
        self.marker.sync_all()?;
        File::open(&self.path)?.sync_all()
    }

    fn io(&self, source: io::Error) -> OpenError {
        OpenError::Io { folder: self.path.clone(), source }
    }

    fn damaged(&self, path: &Path, reason: &str) -> OpenError {
        OpenError::Damaged { folder: self.path.clone(), path: path.to_owned(), reason: reason.to_owned() }
    }

    fn journal_error(&self, found: journal::Found) -> OpenError {
        match found {
            journal::Found::Io(source) => self.io(source),
            journal::Found::Damaged { path, reason } => self.damaged(&path, &reason),
        }
    }

    fn fjall_error(&self, error: fjall::Error) -> OpenError {
        match error {
            fjall::Error::Locked => OpenError::InUse { folder: self.path.clone() },
            // Reading past the end of a file is not the file system's fault.
            fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
                if !matches!(
                    source.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound | io::ErrorKind::InvalidData
                ) =>
            {
                self.io(source)
            }
            other => self.damaged(&self.path, &other.to_string()),
        }
    }
}

/// Whether a file or folder of fjall holds rows of ours: the keyspace 0 holds only fjall's names.
fn holds_rows(path: &Path) -> io::Result<bool> {
    if path.extension().is_some_and(|extension| extension == "jnl") {
        return journal::is_used(path);
    }
    if !path.is_dir() {
        return Ok(false);
    }
    for keyspace in fs::read_dir(path)? {
        let keyspace = keyspace?.path();
        for part in ["tables", "blobs"].map(|part| keyspace.join(part)) {
            let is_ours = keyspace.file_name().is_some_and(|name| name != "0");
            if is_ours && part.is_dir() && fs::read_dir(part)?.next().is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn open_database(path: &Path, options: &Options) -> Result<Opened, fjall::Error> {
    let db = Database::builder(path)
        // With more than one, fjall's first worker spins while another merges tables.
        .worker_threads(1)
        .cache_size(options.cache_bytes)
        .max_journaling_size(JOURNALS_BYTES)
        .manual_journal_persist(true)
        .open()?;
    let log = db.keyspace("log", || log_options(options))?;
    let rest = db.keyspace("rest", || rest_options(options))?;
    Ok(Opened { db, log, rest })
}

fn log_options(options: &Options) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes).with_kv_separation(Some(
        KvSeparationOptions::default()
            .separation_threshold(SEPARATED_BYTES)
            .compression(CompressionType::None),
    ))
}

fn rest_options(options: &Options) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(options.memtable_bytes)
        .data_block_compression_policy(CompressionPolicy::new([
            CompressionType::None,
            CompressionType::None,
            CompressionType::Lz4,
        ]))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0))))
}
