//! The store in memory: deterministic, and unkind when a simulation asks for it.
//!
//! [`MemoryStore::new`] does every operation at once, when it is called. [`MemoryStore::simulated`]
//! does none: each one waits until the simulation says what becomes of it ([`MemoryStore::pending`],
//! [`MemoryStore::complete`]), so order, delay, loss and doubt are the simulation's choice.
//!
//! Guarantees: no thread, no clock but the one handed in, equal inputs give equal outputs; snapshots
//! are real (old versions are kept while a snapshot can see them). Clones share the store, and are the
//! disk that survives when a simulated cell dies. Nothing is durable beyond the process.

mod simulate;
#[cfg(test)]
mod tests;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::key::KeyRange;
use super::{BoxFuture, Check, Range, Snapshot, Store, StoreError, Transaction, limit};
use crate::env::Clock;
use crate::limits::STORE_SNAPSHOT_MS_MAX;
use simulate::{Action, Simulation};
use versions::Versions;

pub use simulate::{AtCrash, Fate, LateId, OpId, OpKind, PendingOp};

/// A handle of a store in memory.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Versions of snapshots that were dropped: a drop may happen while the state is locked.
    closed: Mutex<Vec<u64>>,
}

struct State {
    rows: Versions,
    watches: Vec<Watch>,
    /// Present when a simulation decides what becomes of operations.
    simulation: Option<Simulation>,
}

struct Watch {
    key: Bytes,
    value: Option<Bytes>,
    changed: oneshot::Sender<Result<(), StoreError>>,
}

impl MemoryStore {
    /// A store that does everything at once.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, None)
    }

    /// A store that does nothing until [`MemoryStore::complete`] says so.
    #[must_use]
    pub fn simulated(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, Some(Simulation::default()))
    }

    fn with(clock: Arc<dyn Clock>, simulation: Option<Simulation>) -> Self {
        let state = State { rows: Versions::default(), watches: Vec::new(), simulation };
        Self { shared: Arc::new(Shared { clock, state: Mutex::new(state), closed: Mutex::default() }) }
    }

    /// Every row, now. For tests.
    #[must_use]
    pub fn dump(&self) -> BTreeMap<Bytes, Bytes> {
        self.shared.lock().rows.latest().collect()
    }

    /// The rows of a range, now. For tests.
    #[must_use]
    pub fn dump_range(&self, range: &KeyRange) -> BTreeMap<Bytes, Bytes> {
        self.shared.lock().rows.latest().filter(|(key, _)| range.contains(key)).collect()
    }

    /// Deletes the rows of a range, past every check. For tests.
    pub fn delete_range(&self, range: &KeyRange) {
        let mut tx = Transaction::default();
        tx.clear_range(range.begin.clone(), range.end.clone());
        self.shared.lock().apply(&tx);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        for version in self.closed.lock().drain(..) {
            state.rows.close(version);
        }
        state
    }

    fn open_snapshot(self: &Arc<Self>, state: &mut State) -> Arc<dyn Snapshot> {
        Arc::new(MemorySnapshot {
            shared: Arc::clone(self),
            version: state.rows.open(),
            opened_ms: self.clock.now_ms(),
        })
    }

    /// Does an operation now, or leaves it to the simulation.
    fn run<T: Send + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Action,
        lost: fn() -> StoreError,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let action = make(answer);
        let mut state = self.lock();
        match &mut state.simulation {
            Some(simulation) => simulation.add(action),
            None => {
                self.perform(&mut state, action, Fate::Proceed);
            }
        }
        async move { answered.await.unwrap_or_else(|_| Err(lost())) }.boxed()
    }
}

impl State {
    /// Applies `tx` if its checks hold.
    fn commit(&mut self, tx: &Transaction) -> Result<(), StoreError> {
        let holds = |check: &Check| match check {
            Check::Value { key, expected } => self.rows.get(key) == expected.as_ref(),
            Check::Empty { begin, end } => self.rows.is_empty(begin, end),
        };
        let failed: Vec<usize> =
            tx.checks.iter().enumerate().filter(|(_, check)| !holds(check)).map(|(index, _)| index).collect();
        if !failed.is_empty() {
            return Err(StoreError::Conflict { failed });
        }
        self.apply(tx);
        Ok(())
    }

    fn apply(&mut self, tx: &Transaction) {
        self.rows.apply(&tx.writes);
        let rows = &self.rows;
        for watch in self.watches.extract_if(.., |watch| rows.get(&watch.key) != watch.value.as_ref()) {
            // Nobody waits any more: nothing to tell.
            let _ = watch.changed.send(Ok(()));
        }
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, StoreError>> {
        self.shared.run(|answer| Action::Snapshot { answer }, lost_read)
    }

    fn commit(&self, tx: Transaction) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(too_large) = limit::check_transaction(&tx) {
            return std::future::ready(Err(too_large)).boxed();
        }
        self.shared.run(|answer| Action::Commit { tx: Arc::new(tx), answer }, lost_commit)
    }

    fn watch(&self, key: Bytes) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Err(too_large) = limit::check_key(&key) {
            return std::future::ready(Err(too_large)).boxed();
        }
        let (changed, waits) = oneshot::channel();
        let mut state = self.shared.lock();
        let value = state.rows.get(&key).cloned();
        state.watches.retain(|watch| !watch.changed.is_closed());
        state.watches.push(Watch { key, value, changed });
        async move { waits.await.unwrap_or_else(|_| Err(lost_read())) }.boxed()
    }
}

fn lost_read() -> StoreError {
    StoreError::Unavailable { reason: "the operation was dropped before it was done".into() }
}

fn lost_commit() -> StoreError {
    StoreError::Unknown { reason: "the operation was dropped before its result was known".into() }
}

struct MemorySnapshot {
    shared: Arc<Shared>,
    version: u64,
    opened_ms: u64,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.shared.closed.lock().push(self.version);
    }
}

/// What a read needs when it is done: it may outlive the borrow of its snapshot, but then nobody
/// takes its answer.
#[derive(Clone, Copy)]
struct Instant {
    version: u64,
    too_old_after_ms: u64,
}

impl Snapshot for MemorySnapshot {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        if let Err(too_large) = limit::check_key(key) {
            return std::future::ready(Err(too_large)).boxed();
        }
        let (at, key) = (self.instant(), Bytes::copy_from_slice(key));
        self.shared.run(|answer| Action::Get { at, key, answer }, lost_read)
    }

    fn range<'a>(&'a self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        if let Err(too_large) = limit::check_range(&range.begin, &range.end) {
            return std::future::ready(Err(too_large)).boxed();
        }
        let at = self.instant();
        self.shared.run(|answer| Action::Range { at, range, answer }, lost_read)
    }
}

impl MemorySnapshot {
    fn instant(&self) -> Instant {
        Instant {
            version: self.version,
            too_old_after_ms: self.opened_ms.saturating_add(STORE_SNAPSHOT_MS_MAX),
        }
    }
}
