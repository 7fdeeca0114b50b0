//! Tiers of memory: hot (a live object), warm (bytes), row only. A budget moves actors down, a
//! command moves them up.
//!
//! Who came up first goes down first, unless it has work or records under way. A row that is newer
//! than the checkpoint stays whatever the budget says; once the store has it, row and state of an idle
//! actor are packed into one allocation.

use super::Lane;
use super::actor::{ActorIx, Live, Packed, Residence};
use super::work::WorkKind;
use crate::behavior::{Engine, ScriptError};
use crate::ids::Bucket;
use crate::limits;
use crate::outcome::Failure;

/// What the states of a lane take.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Live states.
    pub hot_actors: usize,
    /// States as bytes.
    pub warm_actors: usize,
    /// Bytes of the latter, packed rows included.
    pub warm_bytes: usize,
    /// How many of them are packed.
    pub packed_actors: usize,
}

impl Memory {
    /// A state left its tier.
    pub fn left<S>(&mut self, state: &Residence<S>) {
        match state {
            Residence::None => {}
            Residence::Hot(..) => self.hot_actors -= 1,
            Residence::Warm(bytes, _) => {
                self.warm_actors -= 1;
                self.warm_bytes -= bytes.len();
            }
            Residence::Packed(packed) => {
                self.warm_actors -= 1;
                self.packed_actors -= 1;
                self.warm_bytes -= packed.len();
            }
        }
    }

    /// A state came into its tier.
    fn came<S>(&mut self, state: &Residence<S>) {
        match state {
            Residence::None => {}
            Residence::Hot(..) => self.hot_actors += 1,
            Residence::Warm(bytes, _) => {
                self.warm_actors += 1;
                self.warm_bytes += bytes.len();
            }
            Residence::Packed(packed) => {
                self.warm_actors += 1;
                self.packed_actors += 1;
                self.warm_bytes += packed.len();
            }
        }
    }

    /// What `actors` actors with these states are taken to need, in bytes.
    fn bytes(&self, actors: usize) -> usize {
        self.hot_actors * limits::HOT_ACTOR_BYTES
            + self.warm_bytes
            + self.packed_actors * limits::PACKED_ACTOR_OVERHEAD_BYTES
            + (actors - self.packed_actors) * limits::ACTOR_OVERHEAD_BYTES
    }
}

impl<E: Engine> Lane<E> {
    /// Puts a live state in place of what the actor had.
    pub(super) fn replace_state(&mut self, ix: ActorIx, state: E::State, ordinal: u32) {
        let was_hot = matches!(self.actors[ix].state, Residence::Hot(..));
        self.set_state(ix, Residence::Hot(Box::new(Live { state, ordinal })));
        if !was_hot {
            self.push_hot(ix);
            self.keep_budget(ix);
        }
    }

    fn push_hot(&mut self, ix: ActorIx) {
        if !std::mem::replace(&mut self.actors[ix].in_hot, true) {
            self.hot.push_back(ix);
        }
    }

    fn push_warm(&mut self, ix: ActorIx) {
        if !std::mem::replace(&mut self.actors[ix].in_warm, true) {
            self.warm.push_back(ix);
        }
    }

    fn set_state(&mut self, ix: ActorIx, state: Residence<E::State>) {
        self.memory.came(&state);
        let old = std::mem::replace(&mut self.actors[ix].state, state);
        self.memory.left(&old);
    }

    /// Packs an idle actor whose row the store has.
    fn pack(&mut self, ix: ActorIx) {
        let actor = &self.actors[ix];
        let (Residence::Warm(state, state_version), Some(row)) = (&actor.state, &actor.row) else { return };
        let packed = Packed::new(row, state, *state_version);
        self.set_state(ix, Residence::Packed(packed));
        self.actors[ix].row = None;
        self.actors[ix].rest();
    }

    /// Takes row and state of a packed actor apart, because it is about to have a turn.
    pub(super) fn unpack(&mut self, ix: ActorIx) {
        let Residence::Packed(packed) = &self.actors[ix].state else { return };
        let opened = packed.open().map(|(row, state, version)| (Box::new(row), state.into(), version));
        // What cannot be opened is read from the store, which has it.
        let (row, state) = opened.map_or((None, Residence::None), |(row, state, version)| {
            (Some(row), Residence::Warm(state, version))
        });
        let warm = matches!(state, Residence::Warm(..));
        self.set_state(ix, state);
        self.actors[ix].row = row;
        if warm {
            self.push_warm(ix);
        }
    }

    /// The store has these actors' rows: what is idle of them needs less memory, or none.
    pub(super) fn checkpointed_actors(&mut self, bucket: Bucket, actors: impl Iterator<Item = ActorIx>) {
        for ix in actors {
            let clean = self.buckets.get(&bucket).is_some_and(|owned| !owned.derived.is_dirty(ix));
            let Some(actor) = self.actors.get(ix).filter(|actor| clean && actor.is_idle()) else { continue };
            match actor.state {
                Residence::None if !self.is_held(ix) => drop(self.actors.remove(ix)),
                Residence::Warm(..) => self.pack(ix),
                Residence::None | Residence::Hot(..) | Residence::Packed(_) => {}
            }
        }
    }

    /// Makes the state a live object of the version in use.
    pub(super) fn make_hot(&mut self, ix: ActorIx) -> Result<(), ScriptError> {
        let actor = &self.actors[ix];
        let kind = &self.types[actor.key.type_id.0 as usize];
        let version = kind.source.key;
        let state = match &actor.state {
            Residence::Hot(live) if live.ordinal == version.ordinal => return Ok(()),
            Residence::Hot(live) => {
                let old = crate::behavior::VersionKey { ordinal: live.ordinal, ..version };
                let state_version = self.state_versions.get(&old).copied().unwrap_or(1);
                let bytes = self.engine.freeze(old, &live.state)?;
                self.engine.thaw(version, &bytes, state_version)?
            }
            Residence::Warm(bytes, state_version) => self.engine.thaw(version, bytes, *state_version)?,
            Residence::None | Residence::Packed(_) => self.engine.initial(version)?,
        };
        self.replace_state(ix, state, version.ordinal);
        Ok(())
    }

    /// Moves actors down until the budget holds again; never the one that is about to have a turn.
    fn keep_budget(&mut self, but: ActorIx) {
        let mut tries = self.hot.len();
        while self.memory.hot_actors > self.config.hot_actors_max && tries > 0 {
            tries -= 1;
            let Some(ix) = self.hot.pop_front() else { break };
            self.actors.leave_queue(ix, |actor| &mut actor.in_hot);
            if ix == but || self.is_wanted(ix) {
                if self.actors.get(ix).is_some_and(|a| matches!(a.state, Residence::Hot(..))) {
                    self.push_hot(ix);
                }
                continue;
            }
            self.cool(ix);
        }
        self.keep_warm_budget();
    }

    fn keep_warm_budget(&mut self) {
        let mut tries = self.warm.len().min(256);
        while self.memory.bytes(self.actors.len()) > self.config.memory_bytes_max && tries > 0 {
            tries -= 1;
            let Some(ix) = self.warm.pop_front() else { break };
            self.actors.leave_queue(ix, |actor| &mut actor.in_warm);
            if self
                .actors
                .get(ix)
                .is_some_and(|a| matches!(a.state, Residence::Warm(..) | Residence::Packed(_)))
            {
                if self.actors[ix].is_idle() {
                    self.forget(ix);
                } else {
                    self.push_warm(ix);
                }
            }
        }
    }

    /// Whether it had a turn a moment ago, or is about to have one.
    fn is_wanted(&self, ix: ActorIx) -> bool {
        let Some(actor) = self.actors.get(ix) else { return true };
        !matches!(actor.state, Residence::Hot(..)) || actor.speculative().is_some() || actor.mailbox_len() > 0
    }

    /// Makes a live state bytes.
    fn cool(&mut self, ix: ActorIx) {
        let actor = &self.actors[ix];
        let type_id = actor.key.type_id;
        let Residence::Hot(live) = &actor.state else { return };
        let version = crate::behavior::VersionKey { type_id, ordinal: live.ordinal };
        let current = self.type_state(type_id);
        let state_version = if current.source.key == version {
            current.interface.state_version
        } else {
            self.state_versions.get(&version).copied().unwrap_or(1)
        };
        let Ok(bytes) = self.engine.freeze(version, &live.state) else { return self.drop_state(ix) };
        self.set_state(ix, Residence::Warm(bytes.to_vec().into_boxed_slice(), state_version));
        self.push_warm(ix);
        let (actor, bucket) = (&self.actors[ix], self.actors[ix].bucket);
        let dirty = self.buckets.get(&bucket).is_some_and(|owned| owned.derived.is_dirty(ix));
        if actor.is_idle() && !dirty {
            self.pack(ix);
        }
    }

    /// Takes an idle actor out of memory, but for a row that is newer than the checkpoint.
    fn forget(&mut self, ix: ActorIx) {
        self.drop_state(ix);
        let bucket = self.actors[ix].bucket;
        let dirty = self.buckets.get(&bucket).is_some_and(|b| b.derived.is_dirty(ix));
        if !dirty {
            self.actors.remove(ix);
        }
    }

    /// An actor that never was leaves nothing in memory once nobody asks for it.
    pub(super) fn forget_if_blank(&mut self, ix: ActorIx) {
        let Some(actor) = self.actors.get(ix) else { return };
        let blank = actor.view().is_none_or(super::row::Row::is_blank);
        let packed = matches!(actor.state, Residence::Packed(_));
        if blank && !packed && actor.is_idle() && !self.is_held(ix) {
            self.drop_state(ix);
            self.actors.remove(ix);
        }
    }

    fn is_held(&self, ix: ActorIx) -> bool {
        self.held.iter().any(|held| held.actor == ix)
    }

    /// Takes actors that were idle too long out of memory, a part of them at a time.
    pub(super) fn passivate(&mut self) {
        let now_ms = self.now_ms;
        let slots = self.actors.capacity();
        let mut idle = Vec::new();
        for _ in 0..limits::SWEEP_ACTORS_MAX.min(slots) {
            self.sweep_at = if self.sweep_at >= slots { 0 } else { self.sweep_at + 1 };
            let Some(actor) = self.actors.get(self.sweep_at) else { continue };
            let idle_ms = self.type_state(actor.key.type_id).settings.idle_ms;
            if actor.is_idle() && now_ms.saturating_sub(actor.touched_ms) >= idle_ms {
                idle.push(self.sweep_at);
            }
        }
        for ix in idle {
            if !self.is_held(ix) {
                self.forget(ix);
            }
        }
        self.collect_if_grown();
    }

    /// Cycles are collected when the heap has grown well past what live states explain.
    fn collect_if_grown(&mut self) {
        let heap = self.engine.heap_bytes();
        if heap > self.collected_heap_bytes * 2 + limits::COLLECT_HEAP_BYTES {
            self.engine.collect_garbage();
            self.collected_heap_bytes = self.engine.heap_bytes();
        }
    }

    /// Work whose actor could not be brought into memory: a failing script counts as a failed try.
    pub(super) fn activation_failed(&mut self, ix: ActorIx, work: super::work::Work, failure: &Failure) {
        let attempts = match &work.kind {
            WorkKind::Timer(fire) => fire.attempts,
            WorkKind::Refusal(refusal) => refusal.attempts,
            _ => return self.work_failed((ix, work), failure),
        };
        // Never given up here: without a state there is no turn that could record it.
        self.retry_later(ix, work, attempts.min(self.config.deliveries.attempts_max.saturating_sub(2)));
    }
}
