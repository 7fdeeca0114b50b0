//! The one thread that writes: it gathers what waits, writes it as one batch, syncs once, answers all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::PersistMode;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::folder::{Folder, Opened};
use super::group::{Checked, Group};
use super::options::Options;
use super::{Shared, read_error};
use crate::limits::STORE_TRANSACTION_BYTES_MAX;
use crate::store::{StoreError, Transaction, limit};

/// A group takes no more once it has this many bytes.
const GROUP_BYTES: usize = STORE_TRANSACTION_BYTES_MAX;
/// Tables of rows waiting to be written out, from which on the committer waits. fjall itself waits
/// from four on, and would never end if writing them out had failed.
const SEALED_MAX: usize = 3;

/// A transaction and who waits for it.
pub struct Job {
    pub tx: Transaction,
    pub answer: oneshot::Sender<Result<(), StoreError>>,
}

/// Runs until every handle of the store is gone, then closes the database.
pub struct Committer {
    pub shared: Arc<Shared>,
    pub folder: Folder,
    pub options: Options,
    pub jobs: Receiver<Job>,
    pub checked: Checked,
}

/// Why a group was not written.
enum Failure {
    /// Surely not applied; the database goes on.
    Refused(String),
    /// Surely not applied; the database must be opened anew.
    Broken(String),
    /// Perhaps applied; the database must be opened anew.
    Unknown(String),
}

impl Committer {
    pub fn run(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let mut bytes = limit::transaction_bytes(&first.tx);
            let mut jobs = vec![first];
            while bytes < GROUP_BYTES {
                let Ok(next) = self.jobs.try_recv() else { break };
                bytes += limit::transaction_bytes(&next.tx);
                jobs.push(next);
            }
            self.commit(jobs, bytes);
        }
        self.shared.close();
    }

    fn commit(&mut self, jobs: Vec<Job>, bytes: usize) {
        let (txs, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.tx, job.answer)).unzip();
        let results = match self.prepare(bytes) {
            Ok(()) => self.write(txs),
            Err(failure) => Err(failure),
        };
        let results = results.unwrap_or_else(|failure| {
            let (error, broken) = failure.into_error();
            if broken {
                tracing::error!(%error, "the store is opened anew");
                self.checked = Checked::default();
                self.shared.close();
            }
            vec![Err(error); answers.len()]
        });
        for (answer, result) in answers.into_iter().zip(results) {
            // Nobody waits any more: a commit goes on without.
            let _ = answer.send(result);
        }
    }

    /// Makes sure there is a database, and room for the group.
    fn prepare(&mut self, bytes: usize) -> Result<(), Failure> {
        self.check_space(bytes)?;
        if self.shared.is_closed() {
            let opened = self.folder.open(&self.options);
            let opened = opened.map_err(|error| Failure::Refused(error.to_string()))?;
            self.shared.open(opened);
        }
        Ok(())
    }

    fn check_space(&self, bytes: usize) -> Result<(), Failure> {
        let free = (self.options.free_space)(self.folder.path());
        let free = free.map_err(|error| Failure::Refused(format!("free space is not known: {error}")))?;
        let needed = self.options.reserve_bytes.saturating_add(bytes as u64);
        if free < needed {
            let folder = self.folder.path().display();
            return Err(Failure::Refused(format!(
                "the disk of {folder} has {free} bytes free and {needed} are needed; free some space"
            )));
        }
        Ok(())
    }

    fn write(&mut self, txs: Vec<Transaction>) -> Result<Vec<Result<(), StoreError>>, Failure> {
        let shared = Arc::clone(&self.shared);
        let opened = shared.opened.read();
        let Some(opened) = opened.as_ref() else {
            return Err(Failure::Refused("the database is closed".into()));
        };
        let mut group = Group::new(&opened.files, &mut self.checked);
        let results = txs.into_iter().map(|tx| group.add(tx)).collect();
        let writes = group.writes;
        if writes.is_empty() {
            return Ok(results);
        }
        wait_for_room(&opened.files)?;
        // Taken over before the write: if that fails, everything remembered is forgotten.
        self.checked.update(&writes);
        let watched = self.shared.watches.of_interest(&writes);
        let mut batch = fjall::OwnedWriteBatch::with_capacity(opened.files.db.clone(), writes.len())
            .durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            let part = opened.files.part(&key);
            match value {
                Some(value) => batch.insert(part, key, value),
                None => batch.remove(part, key),
            }
        }
        match catch_unwind(AssertUnwindSafe(|| batch.commit())) {
            Ok(Ok(())) => {}
            // Said before anything is written.
            Ok(Err(fjall::Error::Poisoned)) => return Err(poisoned()),
            Ok(Err(error)) => return Err(Failure::Unknown(error.to_string())),
            Err(_) => return Err(Failure::Unknown("the database panicked".into())),
        }
        self.shared.watches.tell(watched, &|key| {
            let value = opened.files.part(key).get(key);
            value.map(|value| value.map(Bytes::from)).map_err(|error| read_error(&error))
        });
        Ok(results)
    }
}

/// Waits while too many rows wait to be written out, unless writing them out has failed.
fn wait_for_room(files: &Opened) -> Result<(), Failure> {
    while [&files.log, &files.rest].iter().any(|part| part.sealed_memtable_count() >= SEALED_MAX) {
        if files.db.persist(PersistMode::Buffer).is_err() {
            return Err(poisoned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn poisoned() -> Failure {
    Failure::Broken("moving rows from the journal to tables failed".into())
}

impl Failure {
    fn into_error(self) -> (StoreError, bool) {
        match self {
            Self::Refused(reason) => (StoreError::Unavailable { reason }, false),
            Self::Broken(reason) => (StoreError::Unavailable { reason }, true),
            Self::Unknown(reason) => (StoreError::Unknown { reason }, true),
        }
    }
}
