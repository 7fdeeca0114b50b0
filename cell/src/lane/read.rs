//! Reads, answers to repeated commands, and bringing actors into memory.

use std::sync::Arc;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

use super::actor::{ActorIx, Residence};
use super::input::{CommandInput, FoundRecord, Loaded, ReadInput, ReadKind};
use super::output::{EventSearch, HistoryRead};
use super::stats::LaneStats;
use super::turn::{late, payload_hash, script_failure};
use super::work::{Token, Work};
use super::{Lane, Output, Reply};
use crate::behavior::{Call, CallContext, CallError, Engine, PastEvent, ScriptError};
use crate::ids::{Bucket, Offset, Position, Seq, TypeId};
use crate::limits;
use crate::outcome::{Class, Failure};
use crate::request::{Applied, Consistency, ReadAnswer};
use crate::store::StoreError;

/// Something that was asked of the store and is not about loading an actor.
pub(crate) enum Lookup {
    /// The record of a command id that was applied before.
    Repeat { token: Token, bucket: Bucket, offset: u64, hash: u64, actor: crate::ids::ActorKey, waits: bool },
    /// A dead letter to be replayed or dropped.
    Dead { token: Token, bucket: Bucket, offset: u64, replay: bool },
}

/// An actor that is being read.
pub(crate) struct Load {
    /// Which.
    actor: ActorIx,
    /// Its snapshot, if it was newer than the store when the load began.
    snapshot: Option<Arc<rec::Snapshot>>,
}

impl<E: Engine> Lane<E> {
    pub(super) fn reply_read_failure(&mut self, read: &ReadInput, failure: Failure) {
        let reply = match read.what {
            ReadKind::Events { .. } => Reply::Events(Err(failure)),
            _ => Reply::Read(Err(failure)),
        };
        self.reply(read.token, reply);
    }

    pub(super) fn run_read(&mut self, ix: ActorIx, work: Work, read: &ReadInput) {
        if self.now_ms > read.deadline_ms {
            return self.reply_read_failure(read, late("the deadline passed before the read's turn"));
        }
        let fenced = read.consistency == Consistency::Strong;
        let absent = self.actors[ix].view().is_none_or(|row| row.absent);
        if absent {
            let failure = self.no_such_actor(read);
            let reply = match read.what {
                ReadKind::Events { .. } => Reply::Events(Err(failure)),
                _ => Reply::Read(Err(failure)),
            };
            return self.hold(ix, work, reply, fenced);
        }
        match &read.what {
            ReadKind::State => {
                let value = self.state_bytes(ix);
                self.hold_value(ix, work, value, fenced);
            }
            ReadKind::Query { name, args } => {
                let value = self.query(ix, name, args, read.claims.as_deref());
                self.hold_value(ix, work, value, fenced);
            }
            ReadKind::StateAt(seq) => self.read_history(ix, read.token, (*seq, 0), true, fenced),
            ReadKind::Events { from, limit } => {
                self.read_history(ix, read.token, (*from, *limit), false, fenced);
            }
        }
    }

    fn no_such_actor(&self, read: &ReadInput) -> Failure {
        let type_name = &self.type_state(read.key.type_id).source.type_name;
        Failure::not_found("UnknownActor", format!("there is no actor {type_name}/{}", read.key.id))
    }

    fn hold_value(&mut self, ix: ActorIx, work: Work, value: Result<bytes::Bytes, Failure>, fenced: bool) {
        let actor = &self.actors[ix];
        let (seq, offset) = actor.view().map_or((0, 0), |row| (row.seq, row.offset));
        let position = Position { bucket: actor.bucket, offset: Offset(offset) };
        let answer = value.map(|value| ReadAnswer { value, seq: Seq(seq), position });
        self.hold(ix, work, Reply::Read(answer), fenced);
    }

    fn state_bytes(&mut self, ix: ActorIx) -> Result<bytes::Bytes, Failure> {
        self.make_hot(ix).map_err(|error| script_failure(&error))?;
        let actor = &self.actors[ix];
        let version = self.types[actor.key.type_id.0 as usize].source.key;
        let Residence::Hot(live) = &actor.state else {
            return Err(Failure::unknown(Class::Internal, "Internal", "the state is not in memory"));
        };
        self.engine.freeze(version, &live.state).map_err(|error| script_failure(&error))
    }

    fn query(
        &mut self,
        ix: ActorIx,
        name: &str,
        args: &[u8],
        claims: Option<&[u8]>,
    ) -> Result<bytes::Bytes, Failure> {
        self.make_hot(ix).map_err(|error| script_failure(&error))?;
        let actor = &self.actors[ix];
        let kind = &self.types[actor.key.type_id.0 as usize];
        let Residence::Hot(live) = &actor.state else {
            return Err(Failure::unknown(Class::Internal, "Internal", "the state is not in memory"));
        };
        let now_ms = self.time_in(actor.bucket);
        let context = CallContext { id: &actor.key.id, now_ms, seed: 0, claims };
        let call = Call { command: name, internal: false, payload: args, context };
        self.engine.query(kind.source.key, &live.state, &call).map_err(|error| match error {
            CallError::Rejected { code, message } => Failure::refused(&code, message),
            CallError::Unknown => {
                let known: Vec<&str> = kind.interface.queries.iter().map(|q| &**q).collect();
                let message = format!(
                    "{name} is not a query of {}; its queries are {}",
                    kind.source.type_name,
                    known.join(", ")
                );
                Failure::not_found("UnknownQuery", message)
            }
            CallError::BadPayload(message) => Failure::malformed("BadPayload", message),
            CallError::Script(error) => script_failure(&error),
        })
    }

    /// History is read from durable records only, which is all that anybody was told of.
    fn read_history(
        &mut self,
        ix: ActorIx,
        token: Token,
        (from, limit): (Seq, u32),
        fold: bool,
        fenced: bool,
    ) {
        if let Some(history) = self.history_of(ix, token) {
            let limit = limit.clamp(1, limits::EVENTS_PAGE_MAX);
            self.out.push(Output::ReadHistory(HistoryRead { from, limit, fold, fenced, ..history }));
        }
    }

    fn history_of(&self, ix: ActorIx, token: Token) -> Option<HistoryRead> {
        let actor = &self.actors[ix];
        let owned = self.buckets.get(&actor.bucket)?;
        Some(HistoryRead {
            token,
            key: actor.key.clone(),
            bucket: actor.bucket,
            row: actor.row.clone().unwrap_or_default(),
            pending: owned.derived.pending_history(ix),
            from: Seq(1),
            limit: 1,
            fold: false,
            fenced: false,
        })
    }

    /// The state that an actor's first records make.
    pub(super) fn past_state(
        &mut self,
        key: &crate::ids::ActorKey,
        at: Seq,
        position: Position,
        records: &[rec::Record],
    ) -> Result<ReadAnswer, Failure> {
        let value = self.fold_past(key.type_id, records).map_err(|error| script_failure(&error))?;
        Ok(ReadAnswer { value, seq: at, position })
    }

    fn fold_past(&mut self, type_id: TypeId, records: &[rec::Record]) -> Result<bytes::Bytes, ScriptError> {
        let version = self.type_state(type_id).source.key;
        let mut state = self.engine.initial(version)?;
        for record in records {
            state = self.engine.fold(version, state, &past_events(std::slice::from_ref(record)))?;
            if record.destroyed {
                state = self.engine.initial(version)?;
            }
        }
        self.engine.freeze(version, &state)
    }

    /// A command id that was applied before comes again: its record has the answer.
    pub(super) fn repeat(&mut self, ix: ActorIx, work: Work, offset: u64, command: &CommandInput) {
        let bucket = self.actors[ix].bucket;
        let durable = self.buckets.get(&bucket).is_some_and(|b| offset < b.durable_next);
        if !durable {
            // Comes again once the record it repeats is durable.
            return self.hold_for_repeat(ix, work);
        }
        let waits = command.until.is_some();
        let mut search = None;
        if let Some(until) = command.until.clone() {
            // What is recorded from here on the waiter sees; what is durable already is looked for.
            let names = until.events.clone();
            let history = self.history_of(ix, command.token);
            search = history.map(|history| Box::new(EventSearch { history, names }));
            self.wait_for_event(ix, command.token, until, None);
        }
        let lookup = self.next_number();
        let hash = payload_hash(&command.name, &command.payload);
        let actor = command.key.clone();
        self.lookups
            .insert(lookup, Lookup::Repeat { token: command.token, bucket, offset, hash, actor, waits });
        self.out.push(Output::FindRecord { lookup, bucket, offset, search });
    }

    pub(super) fn record_found(&mut self, lookup: u64, result: Result<Box<FoundRecord>, StoreError>) {
        let Some(Lookup::Repeat { token, bucket, offset, hash, actor, waits }) = self.lookups.remove(&lookup)
        else {
            return;
        };
        let waiter = if waits { self.take_waiter(&actor, token) } else { None };
        let answer = match result {
            Ok(found) => {
                let FoundRecord { record, event } = *found;
                let applied = repeated_answer(&record, hash, Position { bucket, offset: Offset(offset) });
                applied.map(|applied| (applied, event))
            }
            Err(error) => Err(store_failure(&error)),
        };
        let (Ok((applied, event)), Some((ix, mut waiter))) = (&answer, waiter) else {
            return self.reply(token, Reply::Command(answer.map(|(applied, _)| applied)));
        };
        let seen = event.clone().or_else(|| waiter.seen.take());
        if seen.is_some() || self.now_ms >= waiter.deadline_ms {
            let applied = Applied { event: seen, ..applied.clone() };
            return self.reply(token, Reply::Command(Ok(applied)));
        }
        waiter.applied = Some(applied.clone());
        self.actors[ix].busy().waiters.push(waiter);
    }

    fn take_waiter(
        &mut self,
        key: &crate::ids::ActorKey,
        token: Token,
    ) -> Option<(ActorIx, super::actor::Waiter)> {
        let ix = self.actors.find(key)?;
        let waiters = &mut self.actors[ix].busy().waiters;
        let at = waiters.iter().position(|w| w.token == token)?;
        Some((ix, waiters.swap_remove(at)))
    }

    /// Asks for an actor's row, snapshot and tail, unless that is under way.
    pub(super) fn load(&mut self, ix: ActorIx) {
        if self.actors[ix].loading() != 0 {
            return;
        }
        let load = self.next_number();
        let actor = &mut self.actors[ix];
        actor.busy().loading = load;
        let row = actor.row.clone();
        let (bucket, key) = (actor.bucket, actor.key.clone());
        // Kept until the load ends: a checkpoint may take it out of the overlay before that.
        let pending = self.buckets.get(&bucket).and_then(|b| b.derived.pending_snapshot(ix));
        let snapshot = pending.map(|pending| pending.value.clone());
        let skip_snapshot = snapshot.is_some();
        self.loads.insert(load, Load { actor: ix, snapshot });
        self.out.push(Output::Load { load, bucket, key, row, skip_snapshot });
    }

    pub(super) fn loaded(&mut self, load: u64, result: Result<Loaded, StoreError>) {
        let Some(Load { actor: ix, snapshot }) = self.loads.remove(&load) else { return };
        if self.actors.get(ix).is_none_or(|actor| actor.loading() != load) {
            return;
        }
        self.actors[ix].busy().loading = 0;
        let activated = match result {
            Ok(loaded) => self.activate_actor(ix, snapshot, loaded),
            Err(StoreError::TooOld) => return self.load(ix),
            Err(error) => Err(store_failure(&error)),
        };
        match activated {
            Ok(()) => self.pump(ix),
            Err(failure) => self.fail_mailbox(ix, &failure),
        }
    }

    /// `newer` is a snapshot that the store did not have yet when the load began.
    fn activate_actor(
        &mut self,
        ix: ActorIx,
        newer: Option<Arc<rec::Snapshot>>,
        loaded: Loaded,
    ) -> Result<(), Failure> {
        let type_id = self.actors[ix].key.type_id;
        if self.actors[ix].row.is_none() {
            self.actors[ix].row = Some(Box::new(loaded.row.unwrap_or_default()));
        }
        let absent = self.actors[ix].row.as_ref().is_none_or(|row| row.absent);
        LaneStats::add(&mut self.stats.activations, type_id, 1);
        if absent {
            return Ok(());
        }
        #[cfg(test)]
        let newer = newer.filter(|_| {
            let bucket = self.buckets.get(&self.actors[ix].bucket);
            !self.sabotage.overlay_dropped || bucket.is_some_and(|b| b.derived.pending_snapshot(ix).is_some())
        });
        let snapshot = newer.map(|newer| (*newer).clone()).or(loaded.snapshot);
        let kind = self.type_state(type_id);
        let version = kind.source.key;
        let newest =
            loaded.records.iter().map(|r| r.behavior).chain(snapshot.as_ref().map(|s| s.behavior)).max();
        if newest.is_some_and(|ordinal| ordinal > version.ordinal) {
            return Err(Failure::retryable(
                Class::Unavailable,
                "BehaviorNotLoaded",
                format!(
                    "the actor was written by behavior version {}, this cell has {}",
                    newest.unwrap_or(0),
                    version.ordinal
                ),
                limits::STORE_RETRY_MS,
            ));
        }
        let engine = &mut self.engine;
        let base = match &snapshot {
            Some(snapshot) => engine.thaw(version, &snapshot.state, snapshot.state_version),
            None => engine.initial(version),
        };
        let folded = base.and_then(|base| engine.fold(version, base, &past_events(&loaded.records)));
        let state = folded.map_err(|error| script_failure(&error))?;
        self.replace_state(ix, state, version.ordinal);
        Ok(())
    }

    /// What waits for an actor that could not be brought into memory fails, each in its way.
    fn fail_mailbox(&mut self, ix: ActorIx, failure: &Failure) {
        let works: Vec<Work> = self.actors[ix].busy().mailbox.drain(..).collect();
        self.queued_commands = self.queued_commands.saturating_sub(works.len());
        for work in works {
            self.activation_failed(ix, work, failure);
        }
        self.forget_if_blank(ix);
    }
}

/// Recorded events as the engine folds them.
pub(crate) fn past_events(records: &[rec::Record]) -> Vec<PastEvent<'_>> {
    let mut events = Vec::with_capacity(records.len());
    for record in records {
        events.extend(record.events.iter().map(|event| PastEvent {
            name: &event.name,
            payload: &event.payload,
            state_version: record.state_version,
        }));
    }
    events
}

pub(crate) fn store_failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Damaged { .. } => {
            Failure::not_applied(Class::Internal, "StoreDamaged", error.to_string())
        }
        _ => Failure::retryable(
            Class::Unavailable,
            "StoreUnavailable",
            format!("the store cannot be read now: {error}"),
            limits::STORE_RETRY_MS,
        ),
    }
}

/// The recorded answer to a command id, if the payload is the same.
fn repeated_answer(record: &rec::Record, hash: u64, position: Position) -> Result<Applied, Failure> {
    let Some(Cause::Client(cause)) = &record.cause else {
        return Err(Failure::not_applied(
            Class::Internal,
            "StoreDamaged",
            "the record is of another command",
        ));
    };
    if cause.payload_hash != hash {
        return Err(Failure::refused(
            "CommandIdReused",
            format!("the command id {} was used before with another command or payload", cause.id),
        ));
    }
    let events: Vec<Arc<str>> = record.events.iter().map(|e| e.name.as_str().into()).collect();
    Ok(Applied { reply: record.reply.clone(), seq: Seq(record.seq), position, events, event: None })
}
