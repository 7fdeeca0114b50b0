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
    /// What is under way for it; `None` for most actors most of the time.
    busy: Option<Box<Busy>>,
    /// It is in the lane's list of actors with work.
    pub queued: bool,
    /// It is in the lane's queue of live states.
    pub in_hot: bool,
    /// It is in the lane's queue of states as bytes.
    pub in_warm: bool,
    /// When it last had a turn, in milliseconds since the epoch.
    pub touched_ms: u64,
}

/// What is under way for an actor.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    /// Its row with records that are not durable yet; `None` when there are none.
    pub speculative: Option<Speculation>,
    /// Turns that wait.
    pub mailbox: VecDeque<Work>,
    /// Clients that wait for one of its events.
    pub waiters: Vec<Waiter>,
    /// The load under way; 0: none.
    pub loading: u64,
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
    /// As a live object.
    Hot(Box<Live<S>>),
}

/// A state as a live object; boxed, so that the many actors that have none are small.
#[derive(Debug)]
pub(crate) struct Live<S> {
    /// The object.
    pub state: S,
    /// The behavior version it belongs to.
    pub ordinal: u32,
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
            busy: None,
            queued: false,
            in_hot: false,
            in_warm: false,
            touched_ms: 0,
        }
    }

    /// The row that the next turn sees.
    pub fn view(&self) -> Option<&Row> {
        self.speculative().map(|s| &s.row).or(self.row.as_deref())
    }

    /// What is under way for it, to add to it.
    pub fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// Its records that are not durable yet.
    pub fn speculative(&self) -> Option<&Speculation> {
        self.busy.as_ref().and_then(|busy| busy.speculative.as_ref())
    }

    /// Its records that are not durable yet, to add to them.
    pub fn speculate(&mut self) -> &mut Speculation {
        let row = &self.row;
        self.busy.get_or_insert_default().speculative.get_or_insert_with(|| {
            let row = row.as_deref().cloned().unwrap_or_default();
            Speculation { row, pending: 0, batch: 0 }
        })
    }

    /// How many turns wait.
    pub fn mailbox_len(&self) -> usize {
        self.busy.as_ref().map_or(0, |busy| busy.mailbox.len())
    }

    /// Clients that wait for one of its events.
    pub fn waiters(&self) -> &[Waiter] {
        self.busy.as_ref().map_or(&[], |busy| &busy.waiters)
    }

    /// The load under way; 0: none.
    pub fn loading(&self) -> u64 {
        self.busy.as_ref().map_or(0, |busy| busy.loading)
    }

    /// A record of it is durable, and folded into its row.
    pub fn landed(&mut self) {
        let Some(busy) = &mut self.busy else { return };
        let Some(speculation) = &mut busy.speculative else { return };
        speculation.pending -= 1;
        if speculation.pending == 0 {
            debug_assert_eq!(
                Some(&speculation.row),
                self.row.as_deref(),
                "both folds of the same records agree"
            );
            busy.speculative = None;
        }
    }

    /// Whether nothing is under way for it.
    pub fn is_idle(&self) -> bool {
        !self.queued && self.busy.as_ref().is_none_or(|busy| busy.is_empty())
    }

    /// Gives back the memory that an idle actor does not need.
    pub fn rest(&mut self) {
        if self.is_idle() {
            self.busy = None;
        }
    }

    /// What was under way when it left memory.
    pub fn into_busy(self) -> Busy {
        self.busy.map(|busy| *busy).unwrap_or_default()
    }
}

impl Busy {
    fn is_empty(&self) -> bool {
        self.speculative.is_none() && self.mailbox.is_empty() && self.waiters.is_empty() && self.loading == 0
    }
}

/// Parts that the actors of a lane are divided into, so that no part is ever moved or rehashed in one
/// long go: with a million actors a part has about 4,000. A power of two.
const PARTS: usize = 256;

/// All actors of a lane.
pub(crate) struct Actors<S> {
    parts: Box<[Part<S>]>,
    len: usize,
}

/// A part of the actors: place `ix` of the lane is slot `ix / PARTS` of part `ix % PARTS`.
struct Part<S> {
    slots: Slab<Actor<S>>,
    by_key: HashTable<u32>,
}

impl<S> Part<S> {
    fn insert(&mut self, hashed: u64, actor: Actor<S>) -> usize {
        if self.slots.len() == self.slots.capacity() {
            // Growing by doubling would leave a third of the memory unused on average.
            self.slots.reserve_exact((self.slots.len() / 8).max(16));
        }
        let slot = self.slots.insert(actor);
        let slots = &self.slots;
        // A slot's number fits: memory ends long before 4 billion actors.
        #[allow(clippy::cast_possible_truncation)]
        self.by_key.insert_unique(hashed, slot as u32, |&other| hash(&slots[other as usize].key));
        slot
    }
}

impl<S> Actors<S> {
    pub fn new() -> Self {
        let part = || Part { slots: Slab::new(), by_key: HashTable::new() };
        Self { parts: std::iter::repeat_with(part).take(PARTS).collect(), len: 0 }
    }

    /// The actor of that key, if it is in memory.
    pub fn find(&self, key: &ActorKey) -> Option<ActorIx> {
        let hashed = hash(key);
        let at = part_of(hashed);
        let part = &self.parts[at];
        let slot = part.by_key.find(hashed, |&slot| part.slots[slot as usize].key == *key)?;
        Some(*slot as usize * PARTS + at)
    }

    /// The actor of that key, made if it is not in memory.
    pub fn find_or_insert(&mut self, key: ActorKey, bucket: Bucket) -> ActorIx {
        if let Some(ix) = self.find(&key) {
            return ix;
        }
        let hashed = hash(&key);
        let at = part_of(hashed);
        self.len += 1;
        self.parts[at].insert(hashed, Actor::new(key, bucket)) * PARTS + at
    }

    /// Takes an actor out of memory.
    pub fn remove(&mut self, ix: ActorIx) -> Actor<S> {
        let part = &mut self.parts[ix % PARTS];
        let actor = part.slots.remove(ix / PARTS);
        if let Ok(entry) = part.by_key.find_entry(hash(&actor.key), |&slot| slot as usize == ix / PARTS) {
            entry.remove();
        }
        self.len -= 1;
        actor
    }

    /// The actor at a place, if there is one.
    pub fn get(&self, ix: ActorIx) -> Option<&Actor<S>> {
        self.parts[ix % PARTS].slots.get(ix / PARTS)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Notes that an actor was taken from a queue, if it is still in memory.
    pub fn leave_queue(&mut self, ix: ActorIx, flag: impl Fn(&mut Actor<S>) -> &mut bool) {
        if let Some(actor) = self.parts[ix % PARTS].slots.get_mut(ix / PARTS) {
            *flag(actor) = false;
        }
    }

    /// The end of the places in use.
    pub fn capacity(&self) -> usize {
        self.parts.iter().map(|part| part.slots.capacity()).max().unwrap_or(0) * PARTS
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ActorIx, &Actor<S>)> {
        let places = |(at, part)| {
            let part: &Part<S> = part;
            part.slots.iter().map(move |(slot, actor)| (slot * PARTS + at, actor))
        };
        self.parts.iter().enumerate().flat_map(places)
    }
}

impl<S> std::ops::Index<ActorIx> for Actors<S> {
    type Output = Actor<S>;

    fn index(&self, ix: ActorIx) -> &Actor<S> {
        &self.parts[ix % PARTS].slots[ix / PARTS]
    }
}

impl<S> std::ops::IndexMut<ActorIx> for Actors<S> {
    fn index_mut(&mut self, ix: ActorIx) -> &mut Actor<S> {
        &mut self.parts[ix % PARTS].slots[ix / PARTS]
    }
}

fn hash(key: &ActorKey) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// Bits that the table of a part uses least: it takes the lowest for the place and the highest for
/// the tag.
#[allow(clippy::cast_possible_truncation)]
fn part_of(hashed: u64) -> usize {
    (hashed >> 40) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behavior::Engine;
    use crate::behavior::quickjs::QuickJsEngine;

    #[test]
    fn an_actor_without_work_takes_80_bytes() {
        assert_eq!(size_of::<Option<Actor<<QuickJsEngine as Engine>::State>>>(), 80);
    }

    #[test]
    fn actors_are_found_until_they_are_removed() {
        let mut actors = Actors::<()>::new();
        let key = |n: u32| ActorKey { type_id: crate::ids::TypeId(n % 3), id: format!("a-{n}").into() };
        let places: Vec<_> = (0..5_000).map(|n| actors.find_or_insert(key(n), Bucket(n % 7))).collect();
        for n in (0..5_000).filter(|n| n % 2 == 0) {
            assert_eq!(actors.remove(places[n as usize]).key, key(n));
        }
        for n in 0..5_000 {
            let expected = (n % 2 == 1).then_some(places[n as usize]);
            assert_eq!(actors.find(&key(n)), expected, "actor {n}");
        }
        let mut seen: Vec<_> = actors.iter().map(|(ix, _)| ix).collect();
        seen.sort_unstable();
        let mut expected: Vec<_> = places.into_iter().skip(1).step_by(2).collect();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        assert!(actors.capacity() > seen[seen.len() - 1]);
        assert_eq!(actors.len(), 2_500);
    }
}
