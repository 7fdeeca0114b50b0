//! What is known of one actor without its state: the fold of its records that every lane, and every
//! rebuild from the log, computes in the same way.
//!
//! A lane folds each record twice: into the speculative row when the turn ran, into the durable row
//! when its batch is durable.

use std::collections::VecDeque;

use corallite_proto::store as rec;

use crate::ids::Offset;
use crate::limits::{COMMAND_IDS_REMEMBERED, COMMAND_IDS_REMEMBERED_MS};
use crate::store::StoreError;
use crate::store::tail::{Entry as TailEntry, Tail};

/// An actor's row. The default is an actor that never was.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its sequence number: how many events it has recorded.
    pub seq: u64,
    /// Offset of its last record; meaningless while [`Row::is_blank`].
    pub offset: u64,
    /// Seq before the first event of the tail.
    pub base_seq: u64,
    /// Records with events after `base_seq`.
    pub tail: Tail,
    /// Pending timers.
    pub timers: Vec<rec::Timer>,
    /// Client command ids, oldest first.
    pub remembered: VecDeque<Remembered>,
    /// It has no state: it never recorded an event, or was destroyed.
    pub absent: bool,
    /// A snapshot of `base_seq` exists.
    pub has_snapshot: bool,
    /// It has no record at all.
    pub blank: bool,
}

/// A client command id that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// xxh3_128 of the command id.
    pub id_hash: u128,
    /// Offset of its record.
    pub offset: u64,
    /// Time of its record, in milliseconds since the epoch.
    pub time_ms: u64,
}

/// Records that a row no longer lists: they belong into history.
#[derive(Clone, Debug, PartialEq)]
pub struct Retired {
    /// Seq before the first event of the records.
    pub base_seq: u64,
    /// The records.
    pub tail: Tail,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            seq: 0,
            offset: 0,
            base_seq: 0,
            tail: Tail::default(),
            timers: Vec::new(),
            remembered: VecDeque::new(),
            absent: true,
            has_snapshot: false,
            blank: true,
        }
    }
}

/// How a command id is remembered.
#[must_use]
pub fn hash_command_id(id: &str) -> u128 {
    xxhash_rust::xxh3::xxh3_128(id.as_bytes())
}

impl Row {
    /// Whether the actor has no record at all.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.blank
    }

    /// How many events stand after the base.
    #[must_use]
    pub fn events_since_base(&self) -> u64 {
        self.seq - self.base_seq
    }

    /// Finds the record of a client command id.
    #[must_use]
    pub fn remembered_offset(&self, id_hash: u128) -> Option<u64> {
        self.remembered.iter().rev().find(|r| r.id_hash == id_hash).map(|r| r.offset)
    }

    /// The pending timer of that name.
    #[must_use]
    pub fn timer(&self, name: &str) -> Option<&rec::Timer> {
        self.timers.iter().find(|t| t.name == name)
    }

    /// Folds the actor's record at `offset`; gives the records that a destruction retires.
    pub fn apply(&mut self, offset: u64, record: &rec::Record) -> Option<Retired> {
        self.blank = false;
        self.offset = offset;
        self.apply_cause(offset, record);
        if !record.events.is_empty() {
            self.seq = record.seq;
            let events = u32::try_from(record.events.len()).unwrap_or(u32::MAX);
            self.tail.push(TailEntry { offset: Offset(offset), events });
            self.absent = false;
        }
        for change in &record.timers {
            self.timers.retain(|t| t.name != change.name);
            if !change.command.is_empty() {
                self.timers.push(rec::Timer {
                    name: change.name.clone(),
                    command: change.command.clone(),
                    due_ms: change.due_ms,
                    payload: change.payload.clone(),
                    generation: offset,
                });
            }
        }
        if !record.destroyed {
            return None;
        }
        self.absent = true;
        self.timers.clear();
        self.has_snapshot = false;
        Some(self.retire())
    }

    /// Makes the present seq the base, because a snapshot of it was taken.
    pub fn rebase_on_snapshot(&mut self) -> Retired {
        self.has_snapshot = true;
        self.retire()
    }

    fn retire(&mut self) -> Retired {
        let retired = Retired { base_seq: self.base_seq, tail: std::mem::take(&mut self.tail) };
        self.base_seq = self.seq;
        retired
    }

    fn apply_cause(&mut self, offset: u64, record: &rec::Record) {
        match &record.cause {
            Some(rec::record::Cause::Client(client)) => {
                self.remember(Remembered {
                    id_hash: hash_command_id(&client.id),
                    offset,
                    time_ms: record.time_ms,
                });
            }
            Some(rec::record::Cause::Timer(timer)) => {
                self.timers.retain(|t| t.name != timer.name || t.generation != timer.generation);
            }
            _ => {}
        }
    }

    fn remember(&mut self, entry: Remembered) {
        if self.remembered.is_empty() {
            self.remembered.reserve_exact(1);
        }
        self.remembered.push_back(entry);
        let oldest_ms = entry.time_ms.saturating_sub(COMMAND_IDS_REMEMBERED_MS);
        while self.remembered.len() > COMMAND_IDS_REMEMBERED
            || self.remembered.front().is_some_and(|r| r.time_ms < oldest_ms)
        {
            self.remembered.pop_front();
        }
    }

    /// The stored form.
    #[must_use]
    pub fn to_stored(&self) -> rec::Row {
        rec::Row {
            seq: self.seq,
            offset: self.offset,
            base_seq: self.base_seq,
            tail: self.tail.to_bytes(),
            timers: self.timers.clone(),
            remembered: self.remembered_to_stored(),
            absent: self.absent,
            has_snapshot: self.has_snapshot,
        }
    }

    /// All hashes share one allocation: a row is written far more often than it is read.
    fn remembered_to_stored(&self) -> Vec<rec::RememberedId> {
        let hashes: Vec<u8> = self.remembered.iter().flat_map(|r| r.id_hash.to_be_bytes()).collect();
        let mut hashes = bytes::Bytes::from(hashes);
        let stored = self.remembered.iter().map(|remembered| rec::RememberedId {
            id_hash: hashes.split_to(size_of::<u128>()),
            offset: remembered.offset,
            time_ms: remembered.time_ms,
        });
        stored.collect()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Damaged`: its list of records is not one.
    pub fn from_stored(row: rec::Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq,
            offset: row.offset,
            base_seq: row.base_seq,
            tail: Tail::parse(&row.tail)?,
            timers: row.timers,
            remembered: row.remembered.iter().map(Remembered::from_stored).collect(),
            absent: row.absent,
            has_snapshot: row.has_snapshot,
            blank: false,
        })
    }
}

impl Remembered {
    fn from_stored(stored: &rec::RememberedId) -> Self {
        let mut hash = [0; 16];
        let n = stored.id_hash.len().min(16);
        hash[..n].copy_from_slice(&stored.id_hash[..n]);
        Self { id_hash: u128::from_be_bytes(hash), offset: stored.offset, time_ms: stored.time_ms }
    }
}
