//! Operations that wait for a simulation to say what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Instant, MemoryStore, Shared, State};
use crate::limits::STORE_TRANSACTION_BYTES_MAX;
use crate::store::{Range, Snapshot, StoreError, Transaction};

/// Names a pending operation; grows in the order of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Names a transaction that may still land.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LateId(pub u64);

/// An operation that was called and is not done.
#[derive(Clone, Debug)]
pub struct PendingOp {
    /// Its name for [`MemoryStore::complete`].
    pub id: OpId,
    /// What it is.
    pub kind: OpKind,
}

/// What a pending operation is.
#[derive(Clone, Debug)]
pub enum OpKind {
    /// Opens a snapshot: of the instant when it is completed.
    Snapshot,
    /// Reads a key of a snapshot.
    Get(Bytes),
    /// Reads a range of a snapshot.
    Range(Range),
    /// Commits.
    Commit(Arc<Transaction>),
}

/// What becomes of an operation. `Conflict`, `TooLarge` and the three `Unknown…` are for commits: a
/// read meets [`StoreError::Unavailable`] instead. `TooOld` is for reads of a snapshot: anything else
/// meets `Unavailable` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is done now, by the rules: a commit whose checks fail is a conflict.
    Proceed,
    /// Refused as a conflict that names no check; not applied.
    Conflict,
    /// The answer is lost, and the transaction too.
    UnknownNotApplied,
    /// The answer is lost; the transaction is applied now if its checks hold.
    UnknownApplied,
    /// The answer is lost, and the transaction waits among [`MemoryStore::late`].
    UnknownLandsLater,
    /// Refused for now; not applied.
    Unavailable,
    /// The snapshot may no longer be read.
    TooOld,
    /// Refused as too large; not applied.
    TooLarge,
}

/// What becomes of a commit that is in flight when its cell dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtCrash {
    /// It is applied now if its checks hold.
    Lands,
    /// It is never applied.
    Vanishes,
    /// It waits among [`MemoryStore::late`].
    LandsLater,
}

#[derive(Default)]
pub(super) struct Simulation {
    next: u64,
    pending: BTreeMap<OpId, Action>,
    late: BTreeMap<LateId, Arc<Transaction>>,
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// An operation with all that is needed to do it.
pub(super) enum Action {
    Snapshot { answer: Answer<Arc<dyn Snapshot>> },
    Get { at: Instant, key: Bytes, answer: Answer<Option<Bytes>> },
    Range { at: Instant, range: Range, answer: Answer<Vec<(Bytes, Bytes)>> },
    Commit { tx: Arc<Transaction>, answer: Answer<()> },
}

impl Simulation {
    pub(super) fn add(&mut self, action: Action) {
        self.pending.insert(OpId(self.next), action);
        self.next += 1;
    }

    fn add_late(&mut self, tx: Arc<Transaction>) {
        self.late.insert(LateId(self.next), tx);
        self.next += 1;
    }
}

impl Action {
    fn kind(&self) -> OpKind {
        match self {
            Self::Snapshot { .. } => OpKind::Snapshot,
            Self::Get { key, .. } => OpKind::Get(key.clone()),
            Self::Range { range, .. } => OpKind::Range(range.clone()),
            Self::Commit { tx, .. } => OpKind::Commit(Arc::clone(tx)),
        }
    }

    /// A read whose caller went away: there is nothing to decide. A commit goes on without one.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Snapshot { answer } => answer.is_closed(),
            Self::Get { answer, .. } => answer.is_closed(),
            Self::Range { answer, .. } => answer.is_closed(),
            Self::Commit { .. } => false,
        }
    }
}

impl MemoryStore {
    /// The operations that were called and are not done, oldest first; reads whose callers went away
    /// are left out.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingOp> {
        let mut state = self.shared.lock();
        let Some(simulation) = &mut state.simulation else { return Vec::new() };
        simulation.pending.retain(|_, action| !action.is_abandoned());
        simulation.pending.iter().map(|(&id, action)| PendingOp { id, kind: action.kind() }).collect()
    }

    /// Decides what becomes of a pending operation; the caller is woken. Says whether a transaction
    /// was applied by it. An unknown id does nothing.
    pub fn complete(&self, id: OpId, fate: Fate) -> bool {
        let mut state = self.shared.lock();
        let action = state.simulation.as_mut().and_then(|simulation| simulation.pending.remove(&id));
        action.is_some_and(|action| self.shared.perform(&mut state, action, fate))
    }

    /// Transactions whose callers were told that nobody knows, and that may still land.
    #[must_use]
    pub fn late(&self) -> Vec<(LateId, Arc<Transaction>)> {
        let state = self.shared.lock();
        let late = state.simulation.iter().flat_map(|simulation| &simulation.late);
        late.map(|(&id, tx)| (id, Arc::clone(tx))).collect()
    }

    /// Lets a late transaction arrive: it is applied if its checks hold now. Says whether it was.
    pub fn land(&self, id: LateId) -> bool {
        let mut state = self.shared.lock();
        let tx = state.simulation.as_mut().and_then(|simulation| simulation.late.remove(&id));
        tx.is_some_and(|tx| state.commit(&tx).is_ok())
    }

    /// The cell died: every pending operation and watch is dropped, and `decide` says for each commit
    /// in flight, oldest first, whether it lands. Late transactions stay late. The store goes on.
    pub fn lose_all(&self, mut decide: impl FnMut(&Transaction) -> AtCrash) {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let Some(simulation) = &mut state.simulation else { return };
        let pending = std::mem::take(&mut simulation.pending);
        let watches = std::mem::take(&mut state.watches);
        for action in pending.values() {
            let Action::Commit { tx, .. } = action else { continue };
            match decide(tx) {
                AtCrash::Lands => {
                    // A check that fails is one more way not to land.
                    let _ = state.commit(tx);
                }
                AtCrash::Vanishes => {}
                AtCrash::LandsLater => {
                    if let Some(simulation) = &mut state.simulation {
                        simulation.add_late(Arc::clone(tx));
                    }
                }
            }
        }
        // What is dropped wakes its callers, who may come back to the store at once.
        drop(guard);
        drop((pending, watches));
    }
}

impl Shared {
    /// Does an operation as its fate says. Says whether a transaction was applied.
    pub(super) fn perform(self: &Arc<Self>, state: &mut State, action: Action, fate: Fate) -> bool {
        // A caller that went away takes no answer: a failed send is no error.
        match action {
            Action::Snapshot { answer } => {
                let result = match fate {
                    Fate::Proceed => Ok(self.open_snapshot(state)),
                    _ => Err(unavailable()),
                };
                send(answer, result);
            }
            Action::Get { at, key, answer } => {
                let result = self.readable(at, fate).map(|()| state.rows.get_at(&key, at.version).cloned());
                send(answer, result);
            }
            Action::Range { at, range, answer } => {
                let result = self.readable(at, fate).map(|()| state.rows.range_at(&range, at.version));
                send(answer, result);
            }
            Action::Commit { tx, answer } => {
                let (result, applied) = state.decide_commit(tx, fate);
                send(answer, result);
                return applied;
            }
        }
        false
    }

    fn readable(&self, at: Instant, fate: Fate) -> Result<(), StoreError> {
        match fate {
            Fate::Proceed if self.clock.now_ms() > at.too_old_after_ms => Err(StoreError::TooOld),
            Fate::Proceed => Ok(()),
            Fate::TooOld => Err(StoreError::TooOld),
            _ => Err(unavailable()),
        }
    }
}

impl State {
    fn decide_commit(&mut self, tx: Arc<Transaction>, fate: Fate) -> (Result<(), StoreError>, bool) {
        let unknown = || Err(StoreError::Unknown { reason: "the simulation lost the answer".into() });
        match fate {
            Fate::Proceed => {
                let result = self.commit(&tx);
                let applied = result.is_ok();
                (result, applied)
            }
            Fate::Conflict => (Err(StoreError::Conflict { failed: Vec::new() }), false),
            Fate::UnknownNotApplied => (unknown(), false),
            Fate::UnknownApplied => (unknown(), self.commit(&tx).is_ok()),
            Fate::UnknownLandsLater => {
                if let Some(simulation) = &mut self.simulation {
                    simulation.add_late(tx);
                }
                (unknown(), false)
            }
            Fate::Unavailable | Fate::TooOld => (Err(unavailable()), false),
            Fate::TooLarge => {
                let limit = STORE_TRANSACTION_BYTES_MAX;
                (Err(StoreError::TooLarge { what: "the transaction", bytes: limit + 1, limit }), false)
            }
        }
    }
}

fn send<T>(answer: Answer<T>, result: Result<T, StoreError>) {
    // A caller that went away takes no answer.
    let _ = answer.send(result);
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { reason: "the simulation refused the operation".into() }
}
