//! What a lane takes in. Every input carries what the lane needs; none makes it ask.

use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;

use super::bucket::BucketBoot;
use super::row::Row;
use super::work::Token;
use crate::behavior::BehaviorSource;
use crate::ids::{ActorKey, Bucket, Seq};
use crate::request::{Consistency, Event, Until};
use crate::store::StoreError;

/// One input of the lane's state machine.
#[derive(Debug)]
pub enum Input {
    /// A client's command.
    Command(CommandInput),
    /// A client's read.
    Read(ReadInput),
    /// A request about dead letters.
    Dead(DeadInput),
    /// A message for an actor of this lane.
    Deliver(Delivery),
    /// What became of a message this lane sent.
    Answered(DeliveryAnswer),
    /// A source bucket needs nothing below an offset any more.
    LowWater(LowWaterNotice),
    /// The lane owns a bucket from now on.
    Adopt(Box<BucketBoot>),
    /// Stop taking commands for a bucket and hand it back once its commits have ended.
    Release(Bucket),
    /// An actor was read from the store.
    Loaded {
        /// Which load.
        load: u64,
        /// What was read.
        result: Result<Loaded, StoreError>,
    },
    /// A batch's commit ended.
    Committed {
        /// Which batch.
        batch: u64,
        /// How.
        result: Result<(), StoreError>,
    },
    /// A failed or doubtful batch was looked into.
    Resolved {
        /// Which batch.
        batch: u64,
        /// For each bucket of the batch, or why it could not be found out (then ask again).
        result: Result<Vec<(Bucket, Resolution)>, StoreError>,
    },
    /// A checkpoint ended.
    Checkpointed {
        /// Whose.
        bucket: Bucket,
        /// How; a conflict brings the value that is there now.
        result: Result<(), CheckpointError>,
    },
    /// The session row was read.
    SessionChecked {
        /// Which check.
        check: u64,
        /// Whether the row still names this session.
        result: Result<bool, StoreError>,
    },
    /// The record of a command id that was applied before.
    RecordFound {
        /// Which lookup.
        lookup: u64,
        /// What was found.
        result: Result<Box<FoundRecord>, StoreError>,
    },
    /// A dead letter that is to be replayed or dropped.
    DeadFound {
        /// Which lookup.
        lookup: u64,
        /// The letter, if there is one.
        result: Result<Option<rec::DeadEntry>, StoreError>,
    },
    /// Timers that come within the horizon.
    TimersLoaded {
        /// Of which bucket.
        bucket: Bucket,
        /// The upper end of what was read, in milliseconds since the epoch.
        until_ms: u64,
        /// The timers.
        result: Result<Vec<(ActorKey, rec::Timer)>, StoreError>,
    },
    /// An actor's records up to a sequence number, to be folded for a read of the past.
    PastRead {
        /// Whom to answer.
        token: Token,
        /// The actor.
        key: ActorKey,
        /// The sequence number.
        at: Seq,
        /// The actor's last record.
        position: crate::ids::Position,
        /// The records.
        result: Result<Vec<rec::Record>, crate::outcome::Failure>,
    },
    /// Load a version and see whether it can read what is resident.
    Prepare {
        /// The version.
        source: Arc<BehaviorSource>,
        /// Whom to tell.
        token: Token,
    },
    /// Use a prepared version from now on.
    Activate {
        /// The version.
        source: Arc<BehaviorSource>,
    },
    /// Forget a prepared version.
    Abandon {
        /// The version.
        source: Arc<BehaviorSource>,
    },
    /// Write a checkpoint of everything: the cell is about to stop.
    Flush,
    /// Time has passed.
    Tick,
}

/// A client's command, addressed.
#[derive(Clone, Debug)]
pub struct CommandInput {
    /// The actor.
    pub key: ActorKey,
    /// Its bucket.
    pub bucket: Bucket,
    /// The command's name.
    pub name: Arc<str>,
    /// Checked JSON.
    pub payload: Bytes,
    /// The idempotency key.
    pub id: Arc<str>,
    /// Milliseconds since the epoch after which it must not start.
    pub deadline_ms: u64,
    /// Verified claims.
    pub claims: Option<Bytes>,
    /// An event to wait for.
    pub until: Option<Until>,
    /// Whom to answer.
    pub token: Token,
}

/// A client's read, addressed.
#[derive(Clone, Debug)]
pub struct ReadInput {
    /// The actor.
    pub key: ActorKey,
    /// Its bucket.
    pub bucket: Bucket,
    /// What is read.
    pub what: ReadKind,
    /// How fresh.
    pub consistency: Consistency,
    /// Milliseconds since the epoch after which it must not start.
    pub deadline_ms: u64,
    /// Verified claims.
    pub claims: Option<Bytes>,
    /// Whom to answer.
    pub token: Token,
}

/// What is read.
#[derive(Clone, Debug)]
pub enum ReadKind {
    /// The state.
    State,
    /// The state as of a sequence number.
    StateAt(Seq),
    /// A named query.
    Query {
        /// Its name.
        name: Arc<str>,
        /// Checked JSON.
        args: Bytes,
    },
    /// A page of history.
    Events {
        /// First sequence number, from 1.
        from: Seq,
        /// At most this many.
        limit: u32,
    },
}

/// A request about dead letters of this lane.
#[derive(Clone, Debug)]
pub struct DeadInput {
    /// What is asked.
    pub what: DeadKind,
    /// Whom to answer.
    pub token: Token,
}

/// What is asked about dead letters.
#[derive(Clone, Debug)]
pub enum DeadKind {
    /// Letters of this lane's buckets after a position, in order.
    List {
        /// The position.
        after: Option<(Bucket, u64)>,
        /// At most this many.
        limit: u32,
    },
    /// Send it again.
    Replay(Bucket, u64),
    /// Forget it.
    Drop(Bucket, u64),
}

/// A message on its way to its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The bucket that sent it.
    pub source_bucket: Bucket,
    /// Offset of the record that told it.
    pub offset: u64,
    /// Which message of that record.
    pub n: u32,
    /// The bucket it is for.
    pub target_bucket: Bucket,
    /// The message and its target.
    pub message: Arc<rec::MessageEntry>,
    /// The actor that told it.
    pub source: rec::ActorName,
    /// Failing again, it is to be recorded as dead.
    pub last: bool,
    /// How often it was sent before.
    pub attempt: u32,
    /// Every message of the source bucket to this bucket below this offset is settled.
    pub low_water: u64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAnswer {
    /// The bucket that sent it.
    pub source_bucket: Bucket,
    /// Offset of the record that told it.
    pub offset: u64,
    /// Which message of that record.
    pub n: u32,
    /// The outcome.
    pub outcome: DeliveryOutcome,
}

/// The outcome of a message, or that there is none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Applied, dead, or settled long ago: nothing more to do.
    Settled,
    /// The target refused it.
    Refused {
        /// The behavior's code.
        code: String,
        /// The behavior's sentence.
        message: String,
    },
    /// It failed, and nothing was recorded: send it again later.
    Failed,
}

/// A source bucket needs nothing below an offset any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowWaterNotice {
    /// The bucket that sends messages.
    pub source_bucket: Bucket,
    /// The bucket that remembers their outcomes.
    pub target_bucket: Bucket,
    /// Outcomes of messages below this offset may be forgotten.
    pub below: u64,
}

/// An actor as read from the store.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Its row; `None` if it has none.
    pub row: Option<Row>,
    /// The snapshot at the row's base, if the row has one.
    pub snapshot: Option<rec::Snapshot>,
    /// The records of the row's tail, in order.
    pub records: Vec<rec::Record>,
}

/// What was found out about a batch in one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is in the log.
    Landed,
    /// It is not, and never will be; the head now has this stored value.
    NotLanded {
        /// The stored head.
        head: Bytes,
    },
    /// The bucket has another owner.
    Lost {
        /// Whether the batch landed before that.
        landed: bool,
    },
}

/// Why a checkpoint was not written.
#[derive(Clone, Debug)]
pub enum CheckpointError {
    /// Another value stands in the checkpoint row: a doubtful one has landed.
    Moved {
        /// The stored value now.
        value: Option<Bytes>,
    },
    /// The bucket has another owner.
    Lost,
    /// Not known or not possible now; try again.
    Store(StoreError),
}

/// The record of a command id that was applied before.
#[derive(Clone, Debug)]
pub struct FoundRecord {
    /// The record.
    pub record: rec::Record,
    /// The event that was looked for in it and after it.
    pub event: Option<Event>,
}
