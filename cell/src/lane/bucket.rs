//! One owned bucket: where its log ends, and what is derived from the log.
//!
//! `Derived` holds what only durable records made: the overlay of what is newer than the
//! checkpoint, and the indexes a lane needs in memory (pending messages, outcomes of messages, timers
//! within the horizon). Speculation lives in the actors and in `next`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;
use rustc_hash::{FxHashMap, FxHashSet};

use super::actor::ActorIx;
use super::row::{Retired, Row};
use crate::ids::{ActorKey, Bucket, TypeId};

/// What a lane is given when it takes up a bucket: read at or after the claim.
#[derive(Debug, Default)]
pub struct BucketBoot {
    /// The bucket.
    pub bucket: u32,
    /// The owner row as the claim wrote it.
    pub owner: Bytes,
    /// The head row as the claim left it.
    pub head: Bytes,
    /// The same, decoded.
    pub head_value: rec::Head,
    /// The checkpoint row, if there is one.
    pub checkpoint: Option<Bytes>,
    /// Its offset; 0 without one.
    pub checkpoint_offset: u64,
    /// Messages without a logged acknowledgement as of the checkpoint.
    pub outbox: Vec<((u64, u32), rec::OutboxEntry)>,
    /// Remembered outcomes as of the checkpoint, by source bucket, offset and number.
    pub inbox: Vec<((u32, u64, u32), rec::InboxEntry)>,
    /// Logged low-water marks as of the checkpoint, by source bucket.
    pub low_waters: Vec<(u32, u64)>,
    /// Timers due before `timers_until_ms` as of the checkpoint.
    pub timers: Vec<(ActorKey, rec::Timer)>,
    /// Upper end of the timers read, in milliseconds since the epoch.
    pub timers_until_ms: u64,
    /// Every record after the checkpoint, with its stored size in bytes.
    pub tail: Vec<(u64, rec::Record, usize)>,
    /// Rows, as of the checkpoint, of the actors in the tail that have one.
    pub rows: Vec<(ActorKey, Row)>,
}

/// One owned bucket.
#[derive(Debug)]
pub(crate) struct BucketState {
    /// The owner row as the claim wrote it: what every commit expects.
    pub owner: Bytes,
    /// The head row as stored: what the next commit expects.
    pub head: Bytes,
    /// Where the durable log ends.
    pub durable_next: u64,
    /// Time of the last durable record.
    pub durable_time_ms: u64,
    /// Where the log ends when all batches land.
    pub next: u64,
    /// Time of the last record, speculative or not.
    pub last_time_ms: u64,
    /// Being released: takes no more work.
    pub releasing: bool,
    /// Acknowledgements that no record carries yet.
    pub acks: Vec<rec::Ack>,
    /// Low-water marks told by sources that no record carries yet.
    pub low_waters: BTreeMap<u32, u64>,
    /// When the oldest of these came, in milliseconds since the epoch; 0: there are none.
    pub unlogged_since_ms: u64,
    /// Messages whose record is in a batch that is not durable.
    pub speculative_inbox: FxHashSet<(u32, u64, u32)>,
    /// Dead letters a record in a batch drops.
    pub speculative_dead: FxHashSet<u64>,
    /// From durable records.
    pub derived: Derived,
}

/// What a bucket's durable records add up to.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    /// The stored checkpoint row.
    pub checkpoint: Option<Bytes>,
    /// No checkpoint before this, in milliseconds since the epoch: the store failed a moment ago.
    pub checkpoint_after_ms: u64,
    /// Messages without a logged acknowledgement.
    pub outbox: BTreeMap<(u64, u32), Outgoing>,
    /// Messages of one pair of actors, oldest first: only the first is on its way.
    pub pairs: FxHashMap<u128, VecDeque<(u64, u32)>>,
    /// The messages to each target bucket without a logged acknowledgement.
    pub by_target: FxHashMap<u32, BTreeSet<(u64, u32)>>,
    /// The low-water mark last told to each target bucket.
    pub told_low_water: FxHashMap<u32, u64>,
    /// Outcomes of messages by source bucket.
    pub inbox: FxHashMap<u32, BTreeMap<(u64, u32), rec::InboxEntry>>,
    /// Logged low-water marks by source bucket.
    pub low_waters: FxHashMap<u32, u64>,
    /// Timers within the horizon, by due time.
    pub timers: BTreeMap<TimerAt, u64>,
    /// Timers due before this are in memory, in milliseconds since the epoch.
    pub timers_until_ms: u64,
    /// A window of timers is being read.
    pub timers_loading: bool,
    /// Newer than the checkpoint.
    pub dirty: Dirty,
    /// Being written by the checkpoint under way.
    pub taken: Option<Dirty>,
}

/// A timer's place in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerAt {
    /// Milliseconds since the epoch.
    pub due_ms: u64,
    /// The actor's type.
    pub type_id: u32,
    /// The actor's id.
    pub id: Box<str>,
    /// The timer's name.
    pub name: Box<str>,
}

/// A message of this bucket that has no logged acknowledgement.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The message.
    pub message: Arc<rec::MessageEntry>,
    /// The actor that told it.
    pub source: rec::ActorName,
    /// Hash of its pair of actors.
    pub pair: u128,
    /// The bucket it goes to.
    pub target_bucket: Bucket,
    /// How often it was sent and failed.
    pub attempts: u32,
    /// An outcome is known; the acknowledgement waits for a record.
    pub answered: bool,
}

/// Changes since the checkpoint, by stored row. `None` removes the row.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    /// Offset up to which these are complete, once taken.
    pub upto: u64,
    /// Records since the checkpoint.
    pub records: u64,
    /// Bytes of records and snapshots since the checkpoint.
    pub bytes: u64,
    /// When the oldest change came, in milliseconds since the epoch; 0: there is none.
    pub since_ms: u64,
    /// Actors whose row changed.
    pub actors: FxHashSet<ActorIx>,
    /// Snapshots taken.
    pub snapshots: FxHashMap<ActorIx, TakenSnapshot>,
    /// Actors whose snapshot is to be removed.
    pub no_snapshots: FxHashSet<ActorIx>,
    /// Parts of rows that became history.
    pub retired: Vec<(ActorIx, Retired)>,
    /// Messages.
    pub outbox: BTreeMap<(u64, u32), Option<rec::OutboxEntry>>,
    /// Outcomes of messages.
    pub inbox: BTreeMap<(u32, u64, u32), rec::InboxEntry>,
    /// Low-water marks by source bucket: outcomes below them go.
    pub low_waters: BTreeMap<u32, u64>,
    /// Timers.
    pub timers: BTreeMap<TimerAt, Option<rec::Timer>>,
    /// Dead letters.
    pub dead: BTreeMap<u64, Option<rec::DeadEntry>>,
}

/// A snapshot that is not in the store yet.
#[derive(Clone, Debug)]
pub(crate) struct TakenSnapshot {
    /// The stored form.
    pub value: Arc<rec::Snapshot>,
}

impl Dirty {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Puts back what a failed checkpoint had taken, under what came since.
    pub fn put_back(&mut self, mut taken: Self) {
        taken.records += self.records;
        taken.bytes += self.bytes;
        if taken.since_ms == 0 {
            taken.since_ms = self.since_ms;
        }
        taken.actors.extend(self.actors.drain());
        for actor in self.no_snapshots.drain() {
            taken.snapshots.remove(&actor);
            taken.no_snapshots.insert(actor);
        }
        for (actor, snapshot) in self.snapshots.drain() {
            taken.no_snapshots.remove(&actor);
            taken.snapshots.insert(actor, snapshot);
        }
        taken.retired.append(&mut self.retired);
        taken.outbox.append(&mut self.outbox);
        taken.inbox.append(&mut self.inbox);
        taken.low_waters.append(&mut self.low_waters);
        taken.timers.append(&mut self.timers);
        taken.dead.append(&mut self.dead);
        *self = taken;
    }
}

impl TimerAt {
    /// The place of an actor's timer.
    pub fn of(key: &ActorKey, timer: &rec::Timer) -> Self {
        Self {
            due_ms: timer.due_ms,
            type_id: key.type_id.0,
            id: key.id.clone(),
            name: timer.name.as_str().into(),
        }
    }

    /// The actor it belongs to.
    pub fn key(&self) -> ActorKey {
        ActorKey { type_id: TypeId(self.type_id), id: self.id.clone() }
    }
}

impl Derived {
    /// The snapshot of an actor that is not in the store yet, newest first.
    pub fn pending_snapshot(&self, actor: ActorIx) -> Option<&TakenSnapshot> {
        self.dirty
            .snapshots
            .get(&actor)
            .or_else(|| self.taken.as_ref().and_then(|taken| taken.snapshots.get(&actor)))
    }

    /// Parts of an actor's history that are not in the store yet, oldest first.
    pub fn pending_history(&self, actor: ActorIx) -> Vec<Retired> {
        let taken = self.taken.iter().flat_map(|taken| &taken.retired);
        taken
            .chain(&self.dirty.retired)
            .filter(|(ix, _)| *ix == actor)
            .map(|(_, part)| part.clone())
            .collect()
    }

    /// Whether the actor's row is newer than the store's.
    pub fn is_dirty(&self, actor: ActorIx) -> bool {
        self.dirty.actors.contains(&actor) || self.taken.as_ref().is_some_and(|t| t.actors.contains(&actor))
    }

    /// The outcome of a message, if it is known: `Some(None)` is settled long ago.
    pub fn outcome(&self, source: u32, offset: u64, n: u32) -> Option<Option<&rec::InboxEntry>> {
        if self.low_waters.get(&source).is_some_and(|below| offset < *below) {
            return Some(None);
        }
        self.inbox.get(&source)?.get(&(offset, n)).map(Some)
    }

    /// Below which offset every message to `target` has a logged acknowledgement.
    pub fn low_water(&self, target: Bucket, durable_next: u64) -> u64 {
        self.by_target.get(&target.0).and_then(|set| set.first()).map_or(durable_next, |(offset, _)| *offset)
    }
}
