//! A turn: one piece of work runs on one actor, on its speculative state.
//!
//! Whatever a turn does ends in one of four ways: a record joins the batch; an answer is held until
//! what it rests on is durable; an answer that rests on nothing is given at once; or the work waits
//! and comes again.

use std::sync::Arc;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;
use prost::Message;
use rand::Rng;

use super::actor::{ActorIx, Residence};
use super::batch::Entry;
use super::input::CommandInput;
use super::work::{Work, WorkKind};
use super::{Lane, Reply, unknown_command};
use crate::behavior::{
    Call, CallContext, CallError, Engine, NewEvent, NewMessage, ScriptError, TimerChange, Turn,
};
use crate::ids::{ActorKey, Offset, Position, Seq, TypeId};
use crate::limits;
use crate::outcome::{Class, Failure, Outcome};
use crate::request::Applied;
use crate::store::record;

impl<E: Engine> Lane<E> {
    /// Runs the actor's work until there is none, no room, or it must be loaded.
    pub(super) fn pump(&mut self, ix: ActorIx) {
        while let Some(actor) = self.actors.get(ix) {
            if actor.mailbox_len() == 0 {
                break;
            }
            if !self.has_room(ix) {
                self.wait_for_room(ix);
                return;
            }
            self.unpack(ix);
            if !self.is_ready(ix) {
                self.load(ix);
                return;
            }
            if let Some(work) = self.actors[ix].busy().mailbox.pop_front() {
                self.queued_commands = self.queued_commands.saturating_sub(1);
                self.actors[ix].touched_ms = self.now_ms;
                self.run(ix, work);
            }
        }
        self.forget_if_blank(ix);
    }

    /// Lets actors that waited for room go on, in the order they came.
    pub(super) fn pump_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(ix) = self.ready.pop_front() else { break };
            if let Some(actor) = self.actors.get(ix).filter(|a| a.queued) {
                let _ = actor;
                self.actors[ix].queued = false;
                self.pump(ix);
            }
            if self.batch.entries.len() >= self.batch_records_max {
                break;
            }
        }
    }

    fn wait_for_room(&mut self, ix: ActorIx) {
        if !self.actors[ix].queued {
            self.actors[ix].queued = true;
            self.ready.push_back(ix);
        }
    }

    fn has_room(&self, ix: ActorIx) -> bool {
        let bucket = self.buckets.get(&self.actors[ix].bucket);
        let tail = bucket.map_or(0, |b| b.derived.dirty.bytes);
        self.batch.entries.len() < self.batch_records_max
            && self.batch.bytes < limits::BATCH_BYTES_TARGET
            && tail < limits::CHECKPOINT_TAIL_BYTES_MAX
            && self.accepted.is_empty()
    }

    fn is_ready(&self, ix: ActorIx) -> bool {
        let actor = &self.actors[ix];
        match actor.view() {
            Some(row) => row.absent || !matches!(actor.state, Residence::None),
            None => false,
        }
    }

    fn run(&mut self, ix: ActorIx, work: Work) {
        match &work.kind {
            WorkKind::Command(command) => {
                let command = command.clone();
                self.run_command(ix, work, &command);
            }
            WorkKind::Read(read) => {
                let read = read.clone();
                self.run_read(ix, work, &read);
            }
            WorkKind::Message(delivery) => {
                let delivery = delivery.clone();
                self.run_message(ix, work, &delivery);
            }
            WorkKind::Timer(fire) => {
                let fire = fire.clone();
                self.run_timer(ix, work, &fire);
            }
            WorkKind::Refusal(refusal) => {
                let refusal = refusal.clone();
                self.run_refusal(ix, work, &refusal);
            }
        }
    }

    fn run_command(&mut self, ix: ActorIx, work: Work, command: &CommandInput) {
        if self.now_ms > command.deadline_ms {
            let failure = late("the deadline passed before the command's turn");
            return self.reply(command.token, Reply::Command(Err(failure)));
        }
        if let Some(offset) = self.applied_before(ix, command) {
            return self.repeat(ix, work, offset, command);
        }
        let checked = self.check_age(command).and_then(|()| self.check_room_to_tell(ix));
        if let Err(failure) = checked {
            return self.reply(command.token, Reply::Command(Err(failure)));
        }
        match self.call(ix, &command.name, false, &command.payload, command.claims.as_deref()) {
            Ok((turn, now_ms)) => self.apply_command(ix, work, command, turn, now_ms),
            Err(error) => self.fail_command(ix, work, command, error),
        }
    }

    fn applied_before(&self, ix: ActorIx, command: &CommandInput) -> Option<u64> {
        #[cfg(test)]
        if self.sabotage.id_forgotten {
            return None;
        }
        self.actors[ix].view()?.remembered_offset(super::row::hash_command_id(&command.id))
    }

    /// An id that carries its time, is not remembered, and is older than ids are remembered may have
    /// been applied: it must not run again.
    fn check_age(&self, command: &CommandInput) -> Result<(), Failure> {
        let Some(made_ms) = made_ms(&command.id) else { return Ok(()) };
        if self.now_ms.saturating_sub(made_ms) <= limits::COMMAND_IDS_REMEMBERED_MS {
            return Ok(());
        }
        Err(Failure::not_applied(
            Class::Trimmed,
            "TooOld",
            format!(
                "the command id was made {} s ago by its own time; ids are remembered for {} s, so it is not known \
                 whether it was applied before: look at the actor, then send it under a new id",
                (self.now_ms - made_ms) / 1_000,
                limits::COMMAND_IDS_REMEMBERED_MS / 1_000
            ),
        ))
    }

    pub(super) fn check_room_to_tell(&self, ix: ActorIx) -> Result<(), Failure> {
        let bucket = self.actors[ix].bucket;
        let waiting = self.buckets.get(&bucket).map_or(0, |b| b.derived.outbox.len());
        if waiting < limits::OUTBOX_MESSAGES_MAX {
            return Ok(());
        }
        Err(Failure::overloaded(format!(
            "{waiting} messages of bucket {} wait for their targets; at most {} may",
            bucket.0,
            limits::OUTBOX_MESSAGES_MAX
        )))
    }

    fn apply_command(
        &mut self,
        ix: ActorIx,
        work: Work,
        command: &CommandInput,
        turn: Turn<E::State>,
        now_ms: u64,
    ) {
        let cause = Cause::Client(rec::ClientCause {
            id: command.id.to_string(),
            payload_hash: payload_hash(&command.name, &command.payload),
        });
        let reply = turn.reply.clone();
        let names = turn.events.iter().map(|event| event.name.clone()).collect();
        let record = match self.record_of(ix, &command.name, cause, &turn, now_ms, 0) {
            Ok(record) => record,
            // What is too large or too many depends on the state, as a refusal does.
            Err(failure) => return self.hold(ix, work, Reply::Command(Err(failure)), true),
        };
        let bucket = self.actors[ix].bucket;
        let applied = Applied {
            reply,
            seq: Seq(record.seq),
            position: Position { bucket, offset: Offset(0) },
            events: names,
            event: None,
        };
        self.append(ix, work, record, Some(applied), Some(turn.state));
    }

    fn fail_command(&mut self, ix: ActorIx, work: Work, command: &CommandInput, error: CallError) {
        let failure = match error {
            CallError::Rejected { code, message } => Failure::refused(&code, message),
            CallError::Unknown => {
                let kind = self.type_state(command.key.type_id);
                unknown_command(kind, &command.name)
            }
            CallError::BadPayload(message) => Failure::malformed("BadPayload", message),
            CallError::Script(error) => script_failure(&error),
        };
        self.hold(ix, work, Reply::Command(Err(failure)), true);
    }

    /// Calls the behavior on the actor's live state; gives the turn and the time it ran at.
    pub(super) fn call(
        &mut self,
        ix: ActorIx,
        command: &str,
        internal: bool,
        payload: &[u8],
        claims: Option<&[u8]>,
    ) -> Result<(Turn<E::State>, u64), CallError> {
        self.make_hot(ix).map_err(CallError::Script)?;
        let seed = self.rng.next_u64();
        let actor = &self.actors[ix];
        let Residence::Hot(live) = &actor.state else { return Err(CallError::Unknown) };
        let now_ms = self.time_in(actor.bucket);
        let version = self.types[actor.key.type_id.0 as usize].source.key;
        let context = CallContext { id: &actor.key.id, now_ms, seed, claims };
        let call = Call { command, internal, payload, context };
        let turn = self.engine.command(version, &live.state, &call)?;
        Ok((turn, now_ms))
    }

    /// Now, but never before the bucket's last record.
    pub(super) fn time_in(&self, bucket: crate::ids::Bucket) -> u64 {
        self.now_ms.max(self.buckets.get(&bucket).map_or(0, |b| b.last_time_ms))
    }

    pub(super) fn record_of(
        &self,
        ix: ActorIx,
        command: &str,
        cause: Cause,
        turn: &Turn<E::State>,
        now_ms: u64,
        hops: u32,
    ) -> Result<rec::Record, Failure> {
        let actor = &self.actors[ix];
        let kind = self.type_state(actor.key.type_id);
        let seq = actor.view().map_or(0, |row| row.seq);
        let mut record = rec::Record {
            actor: Some(actor_name(&actor.key)),
            seq: seq + turn.events.len() as u64,
            behavior: kind.source.key.ordinal,
            state_version: kind.interface.state_version,
            time_ms: now_ms,
            command: command.to_owned(),
            cause: Some(cause),
            reply: turn.reply.clone(),
            events: turn.events.iter().map(stored_event).collect(),
            timers: turn.timers.iter().map(stored_timer).collect(),
            destroyed: turn.destroy,
            ..rec::Record::default()
        };
        for message in &turn.messages {
            record.messages.push(self.stored_message(message, hops + 1)?);
        }
        let bytes = record.encoded_len();
        if bytes > limits::RECORD_BYTES_MAX {
            return Err(Failure::not_applied(
                Class::TooLarge,
                "RecordTooLarge",
                format!(
                    "the command's events, messages and reply have {bytes} bytes; at most {} fit one record",
                    limits::RECORD_BYTES_MAX
                ),
            ));
        }
        self.check_timers(ix, &record)?;
        Ok(record)
    }

    fn check_timers(&self, ix: ActorIx, record: &rec::Record) -> Result<(), Failure> {
        if record.timers.is_empty() {
            return Ok(());
        }
        let kept = self.actors[ix].view().map_or(&[][..], |row| &row.timers);
        let kept = kept.iter().filter(|t| !record.timers.iter().any(|c| c.name == t.name));
        let set = record.timers.iter().filter(|c| !c.command.is_empty());
        let sizes = kept.map(|t| t.payload.len()).chain(set.map(|c| c.payload.len()));
        let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
        if count > limits::ACTOR_TIMERS_MAX || bytes > limits::ACTOR_TIMER_BYTES_MAX {
            return Err(Failure::not_applied(
                Class::Script,
                "TooManyTimers",
                format!(
                    "the actor would have {count} timers with {bytes} bytes of payload; at most {} and {} are allowed",
                    limits::ACTOR_TIMERS_MAX,
                    limits::ACTOR_TIMER_BYTES_MAX
                ),
            ));
        }
        Ok(())
    }

    fn stored_message(&self, message: &NewMessage, hops: u32) -> Result<rec::MessageEntry, Failure> {
        let at = self.types.iter().position(|kind| kind.source.type_name == message.target_type);
        let Some(at) = at.and_then(|at| u32::try_from(at).ok()) else {
            return Err(Failure::not_applied(
                Class::Script,
                "UnknownType",
                format!("tell: the shard has no actor type {}", message.target_type),
            ));
        };
        Ok(rec::MessageEntry {
            target: Some(rec::ActorName { r#type: at, id: message.target_id.to_string() }),
            command: message.command.to_string(),
            payload: message.payload.clone(),
            on_refused: message.on_refused.as_deref().unwrap_or_default().to_owned(),
            hops,
            source: None,
        })
    }

    /// Adds an actor's record to the batch and folds it into the actor's speculative row and state.
    pub(super) fn append(
        &mut self,
        ix: ActorIx,
        work: Work,
        record: rec::Record,
        applied: Option<Applied>,
        state: Option<E::State>,
    ) {
        let bucket = self.actors[ix].bucket;
        let Some((offset, record)) = self.place(bucket, record) else { return };
        let number = self.batch.number;
        let ordinal = self.type_state(self.actors[ix].key.type_id).source.key.ordinal;
        let actor = &mut self.actors[ix];
        let speculation = actor.speculate();
        speculation.row.apply(offset, &record);
        speculation.pending += 1;
        speculation.batch = number;
        if record.destroyed {
            self.drop_state(ix);
        } else if let Some(state) = state {
            self.replace_state(ix, state, ordinal);
        }
        let snapshot = self.snapshot_if_due(ix);
        let position = Position { bucket, offset: Offset(offset) };
        let applied = applied.map(|applied| Applied { position, ..applied });
        #[cfg(test)]
        let applied = self.answer_early(&work, applied);
        let value = record::encode(&record);
        self.batch.push(Entry {
            bucket,
            offset,
            actor: Some(ix),
            work: Some(work),
            record,
            value,
            applied,
            snapshot,
        });
    }

    /// Gives a record its place at the end of the bucket's log, and what waits to be logged there.
    pub(super) fn place(
        &mut self,
        bucket: crate::ids::Bucket,
        mut record: rec::Record,
    ) -> Option<(u64, rec::Record)> {
        let id = self.batch.id;
        let owned = self.buckets.get_mut(&bucket)?;
        let offset = owned.next;
        owned.next += 1;
        owned.last_time_ms = record.time_ms;
        record.batch = bytes::Bytes::copy_from_slice(&id.0.to_be_bytes());
        record.acks.append(&mut owned.acks);
        let marks = std::mem::take(&mut owned.low_waters);
        record
            .low_waters
            .extend(marks.into_iter().map(|(source_bucket, below)| rec::LowWater { source_bucket, below }));
        owned.unlogged_since_ms = 0;
        if let Some(Cause::Message(message)) = &record.cause {
            owned.speculative_inbox.insert((message.bucket, message.offset, message.n));
        }
        owned.speculative_dead.extend(&record.dead_dropped);
        Some((offset, record))
    }

    /// A snapshot of the actor as it now is, if enough events came since the last.
    fn snapshot_if_due(&mut self, ix: ActorIx) -> Option<Arc<rec::Snapshot>> {
        let actor = &self.actors[ix];
        let kind = &self.types[actor.key.type_id.0 as usize];
        let (Residence::Hot(live), Some(speculation)) = (&actor.state, actor.speculative()) else {
            return None;
        };
        if speculation.row.events_since_base() < kind.settings.snapshot_every_events {
            return None;
        }
        let (key, state_version) = (kind.source.key, kind.interface.state_version);
        let seq = speculation.row.seq;
        let state = self.engine.freeze(key, &live.state).ok()?;
        self.actors[ix].busy().speculative.as_mut()?.row.rebase_on_snapshot();
        Some(Arc::new(rec::Snapshot { seq, state, state_version, behavior: key.ordinal }))
    }
}

/// When a command id was made, in milliseconds since the epoch, if it is a UUIDv7 (RFC 9562, 5.7: the
/// first 48 bits).
fn made_ms(id: &str) -> Option<u64> {
    let uuid = uuid::Uuid::try_parse(id).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    u64::try_from(uuid.as_u128() >> 80).ok()
}

/// How a payload is recognised when its command id comes again.
pub(super) fn payload_hash(command: &str, payload: &[u8]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(command.as_bytes());
    hasher.update(&[0]);
    hasher.update(payload);
    hasher.digest()
}

pub(super) fn actor_name(key: &ActorKey) -> rec::ActorName {
    rec::ActorName { r#type: key.type_id.0, id: key.id.to_string() }
}

pub(super) fn actor_key(name: &rec::ActorName) -> ActorKey {
    ActorKey { type_id: TypeId(name.r#type), id: name.id.as_str().into() }
}

pub(super) fn late(message: &str) -> Failure {
    Failure::not_applied(Class::Deadline, "DeadlineExceeded", message)
}

pub(super) fn script_failure(error: &ScriptError) -> Failure {
    Failure {
        outcome: Outcome::NotApplied,
        ..Failure::not_applied(Class::Script, script_code(error), error.to_string())
    }
}

pub(super) fn script_code(error: &ScriptError) -> &'static str {
    use crate::behavior::ScriptErrorKind as Kind;
    match error.kind {
        Kind::Load => "ScriptLoad",
        Kind::Threw => "ScriptThrew",
        Kind::TimeLimit => "ScriptTimeLimit",
        Kind::MemoryLimit => "ScriptMemoryLimit",
        Kind::StackLimit => "ScriptStackLimit",
        Kind::BadValue => "ScriptBadValue",
        Kind::UndeclaredEvent => "ScriptUndeclaredEvent",
        Kind::BadState => "ScriptBadState",
        Kind::Schema => "ScriptSchema",
    }
}

fn stored_event(event: &NewEvent) -> rec::EventEntry {
    rec::EventEntry { name: event.name.to_string(), payload: event.payload.clone() }
}

fn stored_timer(change: &TimerChange) -> rec::TimerEntry {
    match change {
        TimerChange::Set { name, command, due_ms, payload } => rec::TimerEntry {
            name: name.to_string(),
            command: command.to_string(),
            due_ms: *due_ms,
            payload: payload.clone(),
        },
        TimerChange::Cancel { name } => rec::TimerEntry { name: name.to_string(), ..Default::default() },
    }
}
