//! The actors of a lane and the tiers of memory they are in: hot, warm, row only.
//!
//! An actor whose row is newer than the checkpoint keeps the row in memory; its state may go.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use corallite_proto::store as rec;
use hashbrown::HashTable;
use prost::Message;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use super::row::Row;
use super::work::{Token, Work};
use crate::ids::{ActorKey, Bucket};
use crate::request::{Applied, Event};

/// An actor's place in its lane's memory; reused after it left.
pub(crate) type ActorIx = usize;

/// One actor in memory.
pub(crate) struct Actor<S> {
    /// Type and id.
    pub key: ActorKey,
    /// The bucket it lives in.
    pub bucket: Bucket,
    /// Its durable row; `None` until it was read.
    pub row: Option<Box<Row>>,
    /// Its state, as of the speculative row.
    pub state: Residence<S>,
    /// Its row with records that are not durable yet; `None` when there are none.
    pub speculative: Option<Box<Speculation>>,
    /// Turns that wait.
    pub mailbox: VecDeque<Work>,
    /// Clients that wait for one of its events.
    pub waiters: Vec<Waiter>,
    /// The load under way; 0: none.
    pub loading: u64,
    /// It is in the lane's list of actors with work.
    pub queued: bool,
    /// It is in the lane's queue of live states.
    pub in_hot: bool,
    /// It is in the lane's queue of states as bytes.
    pub in_warm: bool,
    /// When it last had a turn, in milliseconds since the epoch.
    pub touched_ms: u64,
}

/// Records of an actor that are not durable yet.
#[derive(Clone, Debug)]
pub(crate) struct Speculation {
    /// The row with them.
    pub row: Row,
    /// How many there are.
    pub pending: u32,
    /// The batch of the latest.
    pub batch: u64,
}

/// The tier an actor's state is in.
#[derive(Debug)]
pub(crate) enum Residence<S> {
    /// Not in memory.
    None,
    /// As bytes of a state version.
    Warm(Box<[u8]>, u32),
    /// As bytes together with the row, which is then not in memory otherwise.
    Packed(Packed),
    /// As a live object of a version, by ordinal.
    Hot(S, u32),
}

/// A row and a state in one allocation: what an idle actor needs whose row the store has.
#[derive(Debug)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    /// Length of the row and state version, in bytes.
    const HEADER_BYTES: usize = 8;

    pub fn new(row: &Row, state: &[u8], state_version: u32) -> Self {
        let row = row.to_stored();
        let length = row.encoded_len();
        let mut bytes = Vec::with_capacity(Self::HEADER_BYTES + length + state.len());
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(state_version.to_le_bytes());
        // The buffer grows as needed, so there is always room.
        let _ = row.encode(&mut bytes);
        bytes.extend(state);
        Self(bytes.into_boxed_slice())
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The row, the state and its version; `None` never happens to what [`Packed::new`] made.
    pub fn open(&self) -> Option<(Row, &[u8], u32)> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (state_version, rest) = rest.split_first_chunk::<4>()?;
        let (row, state) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let row = Row::from_stored(rec::Row::decode(row).ok()?).ok()?;
        Some((row, state, u32::from_le_bytes(*state_version)))
    }
}

/// A client that waits for an event.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Whom to answer.
    pub token: Token,
    /// Any of these.
    pub events: Vec<Arc<str>>,
    /// Give up then, in milliseconds since the epoch.
    pub deadline_ms: u64,
    /// What to answer; `None` while the record of a repeated command is read.
    pub applied: Option<Applied>,
    /// The event, if it came before `applied` was known.
    pub seen: Option<Event>,
}

impl<S> Actor<S> {
    fn new(key: ActorKey, bucket: Bucket) -> Self {
        Self {
            key,
            bucket,
            row: None,
            state: Residence::None,
            speculative: None,
            mailbox: VecDeque::new(),
            waiters: Vec::new(),
            loading: 0,
            queued: false,
            in_hot: false,
            in_warm: false,
            touched_ms: 0,
        }
    }

    /// The row that the next turn sees.
    pub fn view(&self) -> Option<&Row> {
        self.speculative.as_ref().map(|s| &s.row).or(self.row.as_deref())
    }

    /// Whether nothing is under way for it.
    pub fn is_idle(&self) -> bool {
        self.speculative.is_none()
            && self.mailbox.is_empty()
            && self.waiters.is_empty()
            && self.loading == 0
            && !self.queued
    }
}

/// All actors of a lane.
pub(crate) struct Actors<S> {
    slots: Slab<Actor<S>>,
    by_key: HashTable<ActorIx>,
}

impl<S> Actors<S> {
    pub fn new() -> Self {
        Self { slots: Slab::new(), by_key: HashTable::new() }
    }

    /// The actor of that key, if it is in memory.
    pub fn find(&self, key: &ActorKey) -> Option<ActorIx> {
        self.by_key.find(hash(key), |&ix| self.slots[ix].key == *key).copied()
    }

    /// The actor of that key, made if it is not in memory.
    pub fn find_or_insert(&mut self, key: ActorKey, bucket: Bucket) -> ActorIx {
        if let Some(ix) = self.find(&key) {
            return ix;
        }
        let hashed = hash(&key);
        let ix = self.slots.insert(Actor::new(key, bucket));
        let slots = &self.slots;
        self.by_key.insert_unique(hashed, ix, |&other| hash(&slots[other].key));
        ix
    }

    /// Takes an actor out of memory.
    pub fn remove(&mut self, ix: ActorIx) -> Actor<S> {
        let hashed = hash(&self.slots[ix].key);
        if let Ok(entry) = self.by_key.find_entry(hashed, |&other| other == ix) {
            entry.remove();
        }
        self.slots.remove(ix)
    }

    /// The actor at a place, if there is one.
    pub fn get(&self, ix: ActorIx) -> Option<&Actor<S>> {
        self.slots.get(ix)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Notes that an actor was taken from a queue, if it is still in memory.
    pub fn leave_queue(&mut self, ix: ActorIx, flag: impl Fn(&mut Actor<S>) -> &mut bool) {
        if let Some(actor) = self.slots.get_mut(ix) {
            *flag(actor) = false;
        }
    }

    /// The end of the places in use.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ActorIx, &Actor<S>)> {
        self.slots.iter()
    }
}

impl<S> std::ops::Index<ActorIx> for Actors<S> {
    type Output = Actor<S>;

    fn index(&self, ix: ActorIx) -> &Actor<S> {
        &self.slots[ix]
    }
}

impl<S> std::ops::IndexMut<ActorIx> for Actors<S> {
    fn index_mut(&mut self, ix: ActorIx) -> &mut Actor<S> {
        &mut self.slots[ix]
    }
}

fn hash(key: &ActorKey) -> u64 {
    FxBuildHasher.hash_one(key)
}
