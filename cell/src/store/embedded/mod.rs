//! The store in a folder of this machine, on fjall.
//!
//! Guarantees, beside those of the trait:
//! - One process, and one store in it, has the folder open.
//! - Commits are written in groups by one thread: all that waits becomes one batch and one
//!   `fdatasync`. A check that fails fails its own transaction only.
//! - With less free space than the reserve, commits are refused and surely not applied; the store goes
//!   on when there is space again.
//! - After an error of the disk the commits it hit are [`StoreError::Unknown`]; the database is opened
//!   anew, so that what is read is what is on disk. Until that succeeds the store is unavailable.
//! - Damaged files are an error that names them, when the store is opened or when they are read.
//!
//! Reads are done in place, on the caller's thread: a lane may wait for a page of a cold file. That is
//! the deal of a local store; its working set is meant to be in the page cache.

mod commit;
mod folder;
mod group;
mod journal;
mod options;
mod split;
#[cfg(test)]
mod tests;
mod watch;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use fjall::Readable;
use futures_util::FutureExt;
use parking_lot::RwLock;
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::oneshot;

use super::{BoxFuture, Range, Snapshot, Store, StoreError, Transaction, limit};
use crate::env::Clock;
use crate::limits::STORE_SNAPSHOT_MS_MAX;
use commit::{Committer, Job};
use folder::{Folder, Opened};
use watch::Watches;

pub use options::{FreeSpace, OpenError, Options};

/// Transactions that wait for the committer, at most.
const QUEUE_TRANSACTIONS: usize = 4_096;

/// A store in a folder. Dropping it writes what was handed in, and closes the folder.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// `None` only while dropping.
    jobs: Option<SyncSender<Job>>,
    committer: Option<JoinHandle<()>>,
}

/// What handles, snapshots and the committer share.
struct Shared {
    clock: Arc<dyn Clock>,
    opened: RwLock<Option<Generation>>,
    /// How often the database was opened.
    generations: AtomicU64,
    watches: Watches,
}

/// The database between two openings: a snapshot of one cannot be read from another.
struct Generation {
    files: Opened,
    number: u64,
}

impl EmbeddedStore {
    /// Opens the store in `path`, or makes one.
    ///
    /// # Errors
    /// The folder is in use, of another format, damaged, or the file system refused it.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let mut folder = Folder::lock(path)?;
        let files = folder.open(&options)?;
        let shared = Arc::new(Shared {
            clock: Arc::clone(&options.clock),
            opened: RwLock::default(),
            generations: AtomicU64::default(),
            watches: Watches::default(),
        });
        shared.open(files);
        let (jobs, receiver) = std::sync::mpsc::sync_channel(QUEUE_TRANSACTIONS);
        let committer = Committer {
            shared: Arc::clone(&shared),
            folder,
            options,
            jobs: receiver,
            checked: group::Checked::default(),
        };
        let thread = std::thread::Builder::new().name("store-commit".into());
        let committer = thread
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Io { folder: path.to_owned(), source })?;
        Ok(Self { shared, jobs: Some(jobs), committer: Some(committer) })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(committer) = self.committer.take() {
            // Its panic, if any, was printed; the folder is closed either way.
            let _ = committer.join();
        }
    }
}

impl Shared {
    fn is_closed(&self) -> bool {
        self.opened.read().is_none()
    }

    fn close(&self) {
        let closed = self.opened.write().take();
        drop(closed);
    }

    fn open(&self, files: Opened) {
        let number = self.generations.fetch_add(1, Ordering::Relaxed);
        *self.opened.write() = Some(Generation { files, number });
    }

    fn open_snapshot(self: &Arc<Self>) -> Result<EmbeddedSnapshot, StoreError> {
        let opened = self.opened.read();
        let Generation { files, number } = opened.as_ref().ok_or_else(closed)?;
        Ok(EmbeddedSnapshot {
            at: files.db.snapshot(),
            generation: *number,
            opened_ms: self.clock.now_ms(),
            shared: Arc::clone(self),
        })
    }
}

impl Store for EmbeddedStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, StoreError>> {
        let snapshot = self.shared.open_snapshot();
        ready(snapshot.map(|snapshot| Arc::new(snapshot) as Arc<dyn Snapshot>)).boxed()
    }

    fn commit(&self, tx: Transaction) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(too_large) = limit::check_transaction(&tx) {
            return ready(Err(too_large)).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let refused = match self.jobs.as_ref().map(|jobs| jobs.try_send(Job { tx, answer })) {
            Some(Ok(())) => return async { answered.await.unwrap_or_else(|_| Err(lost())) }.boxed(),
            Some(Err(TrySendError::Full(_))) => {
                StoreError::Unavailable { reason: format!("{QUEUE_TRANSACTIONS} transactions wait already") }
            }
            Some(Err(TrySendError::Disconnected(_))) | None => closed(),
        };
        ready(Err(refused)).boxed()
    }

    fn watch(&self, key: Bytes) -> BoxFuture<'static, Result<(), StoreError>> {
        let added = limit::check_key(&key)
            .and_then(|()| self.shared.watches.add(key, &|key| self.shared.open_snapshot()?.read(key)));
        match added {
            Ok(waits) => async { waits.await.unwrap_or_else(|_| Err(closed())) }.boxed(),
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}

struct EmbeddedSnapshot {
    at: fjall::Snapshot,
    /// The opening `at` belongs to. The files are not held, so that they can be closed.
    generation: u64,
    opened_ms: u64,
    shared: Arc<Shared>,
}

impl EmbeddedSnapshot {
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        limit::check_key(key)?;
        self.with_files(|files| self.at.get(files.part(key), key).map(|value| value.map(Bytes::from)))
    }

    fn read_range(&self, range: &Range) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        limit::check_range(&range.begin, &range.end)?;
        self.with_files(|files| files.range(&self.at, range))
    }

    fn with_files<T>(&self, read: impl FnOnce(&Opened) -> fjall::Result<T>) -> Result<T, StoreError> {
        if self.shared.clock.now_ms().saturating_sub(self.opened_ms) > STORE_SNAPSHOT_MS_MAX {
            return Err(StoreError::TooOld);
        }
        let opened = self.shared.opened.read();
        match opened.as_ref() {
            Some(Generation { files, number }) if *number == self.generation => {
                read(files).map_err(|error| read_error(&error))
            }
            Some(_) => Err(StoreError::TooOld),
            None => Err(closed()),
        }
    }
}

impl Snapshot for EmbeddedSnapshot {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        ready(self.read(key)).boxed()
    }

    fn range<'a>(&'a self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        ready(self.read_range(&range)).boxed()
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable { reason: "the database is closed".into() }
}

fn lost() -> StoreError {
    StoreError::Unknown { reason: "the committer ended before it answered".into() }
}

/// An error of the disk may pass; anything else is what is on it.
fn read_error(error: &fjall::Error) -> StoreError {
    let reason = error.to_string();
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io))
            if io.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            StoreError::Unavailable { reason }
        }
        _ => StoreError::Damaged { reason },
    }
}
