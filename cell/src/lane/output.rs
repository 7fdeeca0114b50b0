//! What a lane asks the world to do. The world answers with an input, or not at all.

use std::sync::Arc;

use bytes::Bytes;

use super::input::{Delivery, DeliveryAnswer, LowWaterNotice};
use super::row::Row;
use super::work::Token;
use crate::behavior::ScriptError;
use crate::ids::{ActorKey, BatchId, Bucket, Seq};
use crate::outcome::Failure;
use crate::request::{Applied, DeadLetter, EventsPage, ReadAnswer};
use crate::store::Transaction;

/// One output of the lane's state machine.
#[derive(Debug)]
pub enum Output {
    /// Give a client its answer.
    Reply(Token, Reply),
    /// Read an actor; answer with `Loaded`.
    Load {
        /// Which load.
        load: u64,
        /// The bucket.
        bucket: Bucket,
        /// The actor.
        key: ActorKey,
        /// Its row, if the lane has it in memory: then only snapshot and records are read.
        row: Option<Box<Row>>,
        /// The snapshot of the row's base is in the lane's memory: do not read it.
        skip_snapshot: bool,
    },
    /// Commit a batch; answer with `Committed`.
    Commit {
        /// Which batch.
        batch: u64,
        /// The transaction.
        tx: Transaction,
    },
    /// Find out what became of a batch and make a doubtful one impossible; answer with `Resolved`.
    Resolve {
        /// Which batch.
        batch: u64,
        /// Its marker in the log.
        id: BatchId,
        /// Its buckets.
        buckets: Vec<ResolveBucket>,
    },
    /// Write a checkpoint; answer with `Checkpointed`.
    Checkpoint {
        /// Whose.
        bucket: Bucket,
        /// The transaction; its first check is the owner, its second the checkpoint row.
        tx: Transaction,
    },
    /// Read the session row now; answer with `SessionChecked`.
    CheckSession {
        /// Which check.
        check: u64,
    },
    /// Read a record; answer with `RecordFound`.
    FindRecord {
        /// Which lookup.
        lookup: u64,
        /// The bucket.
        bucket: Bucket,
        /// The record's offset.
        offset: u64,
        /// Which event to look for in it and in the actor's records after it.
        search: Option<Box<EventSearch>>,
    },
    /// Read a page of an actor's history and reply to the token.
    ReadHistory(HistoryRead),
    /// Read dead letters of some buckets and reply to the token.
    ListDead {
        /// Whom to answer.
        token: Token,
        /// The buckets, in order, each with the offset to go on after.
        buckets: Vec<(Bucket, Option<u64>)>,
        /// Newer than the store: letters added (`Some`) or removed.
        overlay: Vec<(Bucket, u64, Option<corallite_proto::store::DeadEntry>)>,
        /// At most this many.
        limit: u32,
    },
    /// Read one dead letter; answer with `DeadFound`.
    FindDead {
        /// Which lookup.
        lookup: u64,
        /// The bucket.
        bucket: Bucket,
        /// The letter's offset.
        offset: u64,
    },
    /// Read the timers of a bucket that are due in a window; answer with `TimersLoaded`.
    LoadTimers {
        /// The bucket.
        bucket: Bucket,
        /// First due time, in milliseconds since the epoch.
        from_ms: u64,
        /// End of the window, in milliseconds since the epoch.
        until_ms: u64,
    },
    /// Bring a message to its target's lane.
    Deliver(Delivery),
    /// Bring an outcome to the source's lane.
    Answer(DeliveryAnswer),
    /// Bring a low-water mark to the target's lane.
    LowWater(LowWaterNotice),
    /// A bucket is no longer served here; its owner row is as it was.
    Dropped {
        /// The bucket.
        bucket: Bucket,
        /// It was given up on request: free it.
        released: bool,
    },
    /// Everything that was asked to be flushed is in the store.
    Flushed,
}

/// The answer to a client.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To a command.
    Command(Result<Applied, Failure>),
    /// To a read of state.
    Read(Result<ReadAnswer, Failure>),
    /// To a read of history.
    Events(Result<EventsPage, Failure>),
    /// To a list of dead letters.
    DeadLetters(Result<Vec<DeadLetter>, Failure>),
    /// To a replay or drop.
    DeadChanged(Result<(), Failure>),
    /// To a `Prepare`.
    Prepared(Result<(), ScriptError>),
}

/// One bucket of a batch that must be looked into.
#[derive(Clone, Debug)]
pub struct ResolveBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// The owner row as this cell wrote it.
    pub owner: Bytes,
    /// Offset of the batch's first record in this bucket.
    pub first_offset: u64,
}

/// An event that a client waits for, which may have been recorded already.
#[derive(Clone, Debug)]
pub struct EventSearch {
    /// The actor's history.
    pub history: HistoryRead,
    /// Names of events; the first one recorded is wanted.
    pub names: Vec<Arc<str>>,
}

/// A page of history to read.
#[derive(Clone, Debug)]
pub struct HistoryRead {
    /// Whom to answer.
    pub token: Token,
    /// The actor.
    pub key: ActorKey,
    /// Its bucket.
    pub bucket: Bucket,
    /// Its durable row.
    pub row: Box<Row>,
    /// Older parts that are not in the store yet.
    pub pending: Vec<super::row::Retired>,
    /// First sequence number.
    pub from: Seq,
    /// At most this many events.
    pub limit: u32,
    /// Fold them up to `from` and answer with the state instead.
    pub fold: bool,
    /// Answer only if this session was current after the turn.
    pub fenced: bool,
}
