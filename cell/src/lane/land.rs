//! A record that is durable: folded into what its bucket and its actor derive, and answered.
//!
//! `fold` is the only place where a record becomes derived rows. Taking a bucket over folds its tail
//! with the same function, so a rebuild gives what the live fold gave.

use std::sync::Arc;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

use super::actor::{ActorIx, Waiter};
use super::batch::Entry;
use super::bucket::{Derived, Outgoing, TakenSnapshot, TimerAt};
use super::input::DeliveryAnswer;
use super::message::{pair_hash, target_bucket};
use super::row::Row;
use super::stats::LaneStats;
use super::turn::actor_key;
use super::work::WorkKind;
use super::{Lane, Output, Reply};
use crate::behavior::Engine;
use crate::ids::{ActorKey, Bucket, Offset, Position, Seq};
use crate::request::{Applied, Event};
use crate::router::BucketSpace;

/// A durable record and where it stands.
pub(crate) struct Landed<'a> {
    pub offset: u64,
    pub record: &'a rec::Record,
    /// Its stored size in bytes.
    pub bytes: usize,
    /// The snapshot taken after it, if one was.
    pub snapshot: Option<&'a Arc<rec::Snapshot>>,
}

/// Folds a durable record into what its bucket derives; `actor` is the record's actor with its row.
pub(crate) fn fold(
    derived: &mut Derived,
    space: BucketSpace,
    landed: &Landed<'_>,
    now_ms: u64,
    actor: Option<(ActorIx, &ActorKey, &mut Row)>,
) {
    let record = landed.record;
    let dirty = &mut derived.dirty;
    dirty.records += 1;
    dirty.bytes += landed.bytes as u64;
    if dirty.since_ms == 0 {
        dirty.since_ms = now_ms.max(1);
    }
    fold_acks(derived, record);
    fold_low_waters(derived, record);
    fold_messages(derived, space, landed);
    fold_inbox(derived, record);
    fold_dead(derived, landed);
    if let Some((ix, key, row)) = actor {
        fold_timers(derived, key, row, landed);
        fold_row(derived, ix, row, landed);
    }
}

fn fold_row(derived: &mut Derived, ix: ActorIx, row: &mut Row, landed: &Landed<'_>) {
    let dirty = &mut derived.dirty;
    dirty.actors.insert(ix);
    if let Some(retired) = row.apply(landed.offset, landed.record) {
        dirty.retired.push((ix, retired));
        dirty.snapshots.remove(&ix);
        dirty.no_snapshots.insert(ix);
    }
    if let Some(snapshot) = landed.snapshot {
        dirty.retired.push((ix, row.rebase_on_snapshot()));
        dirty.bytes += snapshot.state.len() as u64;
        dirty.no_snapshots.remove(&ix);
        dirty.snapshots.insert(ix, TakenSnapshot { value: snapshot.clone() });
    }
}

/// Must come before the row is folded: the row knows the timers that go.
fn fold_timers(derived: &mut Derived, key: &ActorKey, row: &Row, landed: &Landed<'_>) {
    let record = landed.record;
    let fired = match &record.cause {
        Some(Cause::Timer(fired)) => Some(fired),
        _ => None,
    };
    for timer in &row.timers {
        let has_fired = fired.is_some_and(|f| f.name == timer.name && f.generation == timer.generation);
        let changed = record.timers.iter().any(|change| change.name == timer.name);
        if has_fired || changed || record.destroyed {
            let at = TimerAt::of(key, timer);
            derived.timers.remove(&at);
            derived.dirty.timers.insert(at, None);
        }
    }
    if record.destroyed {
        return;
    }
    for (i, change) in record.timers.iter().enumerate() {
        let replaced = record.timers[i + 1..].iter().any(|later| later.name == change.name);
        if change.command.is_empty() || replaced {
            continue;
        }
        let timer = rec::Timer {
            name: change.name.clone(),
            command: change.command.clone(),
            due_ms: change.due_ms,
            payload: change.payload.clone(),
            generation: landed.offset,
        };
        let at = TimerAt::of(key, &timer);
        if timer.due_ms < derived.timers_until_ms {
            derived.timers.insert(at.clone(), timer.generation);
        }
        derived.dirty.timers.insert(at, Some(timer));
    }
}

pub(super) fn fold_acks(derived: &mut Derived, record: &rec::Record) {
    for ack in &record.acks {
        let id = (ack.offset, ack.n);
        let Some(gone) = derived.outbox.remove(&id) else { continue };
        if let Some(set) = derived.by_target.get_mut(&gone.target_bucket.0) {
            set.remove(&id);
        }
        if let Some(queue) = derived.pairs.get_mut(&gone.pair) {
            queue.retain(|waiting| *waiting != id);
            if queue.is_empty() {
                derived.pairs.remove(&gone.pair);
            }
        }
        derived.dirty.outbox.insert(id, None);
    }
}

fn fold_low_waters(derived: &mut Derived, record: &rec::Record) {
    for mark in &record.low_waters {
        let below = derived.low_waters.entry(mark.source_bucket).or_default();
        *below = (*below).max(mark.below);
        let below = *below;
        if let Some(outcomes) = derived.inbox.get_mut(&mark.source_bucket) {
            *outcomes = outcomes.split_off(&(below, 0));
        }
        derived.dirty.low_waters.insert(mark.source_bucket, below);
        derived
            .dirty
            .inbox
            .retain(|(source, offset, _), _| *source != mark.source_bucket || *offset >= below);
    }
}

fn fold_messages(derived: &mut Derived, space: BucketSpace, landed: &Landed<'_>) {
    for (n, message) in (0u32..).zip(&landed.record.messages) {
        let source = message.source.as_ref().or(landed.record.actor.as_ref()).cloned().unwrap_or_default();
        let entry = rec::OutboxEntry { message: Some(message.clone()), source: Some(source) };
        take_outgoing(derived, space, (landed.offset, n), &entry);
        derived.dirty.outbox.insert((landed.offset, n), Some(entry));
    }
}

/// Makes a message of the outbox known to the lane.
pub(crate) fn take_outgoing(
    derived: &mut Derived,
    space: BucketSpace,
    id: (u64, u32),
    entry: &rec::OutboxEntry,
) {
    let message = entry.message.clone().unwrap_or_default();
    let source = entry.source.clone().unwrap_or_default();
    let pair = pair_hash(&source, &message);
    let target_bucket = target_bucket(space, &message);
    derived.pairs.entry(pair).or_default().push_back(id);
    derived.by_target.entry(target_bucket.0).or_default().insert(id);
    let message = Arc::new(message);
    derived
        .outbox
        .insert(id, Outgoing { message, source, pair, target_bucket, attempts: 0, answered: false });
}

fn fold_inbox(derived: &mut Derived, record: &rec::Record) {
    let Some(Cause::Message(cause)) = &record.cause else { return };
    let entry = inbox_entry(record);
    let outcomes = derived.inbox.entry(cause.bucket).or_default();
    outcomes.insert((cause.offset, cause.n), entry.clone());
    derived.dirty.inbox.insert((cause.bucket, cause.offset, cause.n), entry);
}

/// The outcome that a record holds for the message that caused it.
pub(crate) fn inbox_entry(record: &rec::Record) -> rec::InboxEntry {
    use rec::inbox_entry::Outcome;
    let outcome = match (&record.refused, &record.dead) {
        (Some(refused), _) => Outcome::Refused(refused.clone()),
        (None, Some(dead)) => Outcome::Dead(dead.clone()),
        (None, None) => Outcome::Applied(true),
    };
    rec::InboxEntry { outcome: Some(outcome) }
}

fn fold_dead(derived: &mut Derived, landed: &Landed<'_>) {
    let record = landed.record;
    for dropped in &record.dead_dropped {
        derived.dirty.dead.insert(*dropped, None);
    }
    if let Some(letter) = dead_letter(record) {
        derived.dirty.dead.insert(landed.offset, Some(letter));
    }
}

fn dead_letter(record: &rec::Record) -> Option<rec::DeadEntry> {
    let (code, message) = match (&record.refused, &record.dead) {
        (Some(refused), _) if refused.dead_letter => (&refused.code, &refused.message),
        (None, Some(dead)) => (&dead.code, &dead.message),
        _ => return None,
    };
    let (source, payload, hops) = match record.cause.as_ref()? {
        Cause::Message(cause) => (cause.source.clone(), &cause.payload, cause.hops),
        Cause::Timer(cause) => (None, &cause.payload, 0),
        Cause::Refusal(cause) => (None, &cause.payload, cause.hops),
        Cause::Client(_) | Cause::Replay(_) => return None,
    };
    Some(rec::DeadEntry {
        target: record.actor.clone(),
        source,
        command: record.command.clone(),
        payload: payload.clone(),
        code: code.clone(),
        message: message.clone(),
        time_ms: record.time_ms,
        hops,
    })
}

impl<E: Engine> Lane<E> {
    /// A record of the flight is durable.
    pub(super) fn land(&mut self, entry: Entry) {
        let Some(owned) = self.buckets.get_mut(&entry.bucket) else { return };
        owned.durable_next = entry.offset + 1;
        owned.durable_time_ms = entry.record.time_ms;
        for dropped in &entry.record.dead_dropped {
            owned.speculative_dead.remove(dropped);
        }
        let landed = Landed {
            offset: entry.offset,
            record: &entry.record,
            bytes: entry.value.len(),
            snapshot: entry.snapshot.as_ref(),
        };
        let space = self.config.space;
        if let Some(ix) = entry.actor {
            let actor = &mut self.actors[ix];
            let row = actor.row.get_or_insert_default();
            fold(&mut owned.derived, space, &landed, self.now_ms, Some((ix, &actor.key, row)));
            actor.landed();
            self.stats_of(ix, &entry);
        } else {
            fold(&mut owned.derived, space, &landed, self.now_ms, None);
        }
        if let Some(first_due) = self.first_timer_of(&entry) {
            self.timer_set(first_due);
        }
        self.send_messages_of(&entry);
        self.answer_landed(entry);
    }

    fn stats_of(&mut self, ix: ActorIx, entry: &Entry) {
        let type_id = self.actors[ix].key.type_id;
        self.stats.records += 1;
        LaneStats::add(&mut self.stats.events, type_id, entry.record.events.len() as u64);
        if entry.snapshot.is_some() {
            LaneStats::add(&mut self.stats.snapshots, type_id, 1);
        }
        if entry.record.dead.is_some() || entry.record.refused.as_ref().is_some_and(|r| r.dead_letter) {
            self.stats.dead_letters += 1;
        }
    }

    fn first_timer_of(&self, entry: &Entry) -> Option<u64> {
        entry.record.timers.iter().filter(|t| !t.command.is_empty()).map(|t| t.due_ms).min()
    }

    fn send_messages_of(&mut self, entry: &Entry) {
        for n in 0..u32::try_from(entry.record.messages.len()).unwrap_or(u32::MAX) {
            self.send_if_first(entry.bucket, (entry.offset, n));
        }
    }

    fn answer_landed(&mut self, entry: Entry) {
        if let (Some(Cause::Message(cause)), Some(owned)) =
            (&entry.record.cause, self.buckets.get_mut(&entry.bucket))
        {
            owned.speculative_inbox.remove(&(cause.bucket, cause.offset, cause.n));
            let outcome = super::message::outcome_of(Some(&inbox_entry(&entry.record)));
            self.out.push(Output::Answer(DeliveryAnswer {
                source_bucket: Bucket(cause.bucket),
                offset: cause.offset,
                n: cause.n,
                outcome,
            }));
        }
        if let Some(ix) = entry.actor {
            self.tell_waiters(ix, &entry);
        }
        let (Some(applied), Some(work)) = (entry.applied, entry.work) else { return };
        let WorkKind::Command(command) = work.kind else { return };
        let Some(until) = command.until.clone() else {
            return self.reply(command.token, Reply::Command(Ok(applied)));
        };
        let position = applied.position;
        let found = first_event(&entry.record, position, &until.events);
        match (found, entry.actor) {
            (None, Some(ix)) => {
                self.wait_for_event(ix, command.token, until, Some(applied));
            }
            (event, _) => self.reply(command.token, Reply::Command(Ok(Applied { event, ..applied }))),
        }
    }

    fn tell_waiters(&mut self, ix: ActorIx, entry: &Entry) {
        if self.actors[ix].waiters().is_empty() || entry.record.events.is_empty() {
            return;
        }
        let position = Position { bucket: entry.bucket, offset: Offset(entry.offset) };
        let waiters = std::mem::take(&mut self.actors[ix].busy().waiters);
        for mut waiter in waiters {
            let seen = waiter.seen.take().or_else(|| first_event(&entry.record, position, &waiter.events));
            match (seen, waiter.applied.take()) {
                (Some(event), Some(applied)) => {
                    let applied = Applied { event: Some(event), ..applied };
                    self.reply(waiter.token, Reply::Command(Ok(applied)));
                }
                (seen, applied) => self.actors[ix].busy().waiters.push(Waiter { seen, applied, ..waiter }),
            }
        }
    }
}

/// The record's first event with one of these names.
pub(super) fn first_event(record: &rec::Record, position: Position, names: &[Arc<str>]) -> Option<Event> {
    let first_seq = record.seq + 1 - record.events.len() as u64;
    let found = (first_seq..).zip(&record.events).find(|(_, event)| names.iter().any(|n| **n == event.name));
    found.map(|(seq, event)| Event {
        seq: Seq(seq),
        name: event.name.as_str().into(),
        payload: event.payload.clone(),
        time_ms: record.time_ms,
        position,
    })
}

/// The key of the record's actor.
pub(crate) fn key_of(record: &rec::Record) -> Option<ActorKey> {
    record.actor.as_ref().map(actor_key)
}
