//! Taking a bucket up, and giving it up.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::bucket::{BucketBoot, BucketState, Derived};
use super::input::DeliveryOutcome;
use super::land::{Landed, fold, key_of, take_outgoing};
use super::row::Row;
use super::work::{Work, WorkKind};
use super::{Lane, Output, Reply, bucket::TimerAt, moved};
use crate::behavior::Engine;
use crate::ids::{ActorKey, Bucket};
use crate::outcome::Failure;
use crate::request::Applied;

impl<E: Engine> Lane<E> {
    /// Serves a bucket from now on: the checkpoint and the records after it are folded first.
    pub(super) fn adopt(&mut self, boot: BucketBoot) {
        let bucket = Bucket(boot.bucket);
        let mut derived = self.derive_checkpoint(&boot);
        let mut rows: FxHashMap<ActorKey, Row> = boot.rows.into_iter().collect();
        let next = boot.head_value.next_offset;
        for (offset, record, bytes) in &boot.tail {
            let landed = Landed { offset: *offset, record, bytes: *bytes, snapshot: None };
            match key_of(record) {
                Some(key) => {
                    let ix = self.actors.find_or_insert(key.clone(), bucket);
                    let row = rows.entry(key.clone()).or_default();
                    fold(&mut derived, self.config.space, &landed, self.now_ms, Some((ix, &key, row)));
                }
                None => fold(&mut derived, self.config.space, &landed, self.now_ms, None),
            }
        }
        for (key, row) in rows {
            let ix = self.actors.find_or_insert(key, bucket);
            self.actors[ix].row = Some(Box::new(row));
        }
        let time_ms = boot.head_value.last_time_ms;
        let state = BucketState {
            owner: boot.owner,
            head: boot.head,
            durable_next: next,
            durable_time_ms: time_ms,
            next,
            last_time_ms: time_ms,
            releasing: false,
            acks: Vec::new(),
            low_waters: BTreeMap::new(),
            unlogged_since_ms: 0,
            speculative_inbox: FxHashSet::default(),
            speculative_dead: FxHashSet::default(),
            derived,
        };
        let waiting: Vec<(u64, u32)> = state.derived.outbox.keys().copied().collect();
        self.buckets.insert(bucket, state);
        for id in waiting {
            self.send_if_first(bucket, id);
        }
        self.next_timer_ms = self.next_timer_ms.min(self.now_ms);
    }

    fn derive_checkpoint(&self, boot: &BucketBoot) -> Derived {
        let mut derived = Derived {
            checkpoint: boot.checkpoint.clone(),
            timers_until_ms: boot.timers_until_ms,
            ..Derived::default()
        };
        for (id, entry) in &boot.outbox {
            take_outgoing(&mut derived, self.config.space, *id, entry);
        }
        for ((source, offset, n), entry) in &boot.inbox {
            derived.inbox.entry(*source).or_default().insert((*offset, *n), entry.clone());
        }
        derived.low_waters.extend(boot.low_waters.iter().copied());
        for (key, timer) in &boot.timers {
            derived.timers.insert(TimerAt::of(key, timer), timer.generation);
        }
        derived
    }

    /// Stops taking work for a bucket; it is handed back once what is under way has ended.
    pub(super) fn release(&mut self, bucket: Bucket) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        owned.releasing = true;
        self.releasing = true;
        let mailboxes: Vec<_> =
            self.actors.iter().filter(|(_, a)| a.bucket == bucket).map(|(ix, _)| ix).collect();
        for ix in mailboxes {
            let works: Vec<Work> = self.actors[ix].busy().mailbox.drain(..).collect();
            self.queued_commands = self.queued_commands.saturating_sub(works.len());
            for work in works {
                self.work_moved(&work, bucket);
            }
        }
        self.finish_releases();
    }

    /// Hands back the buckets that have nothing under way any more.
    pub(super) fn finish_releases(&mut self) {
        if !self.releasing {
            return;
        }
        let ended = |(bucket, owned): (&Bucket, &BucketState)| {
            owned.releasing
                && owned.derived.taken.is_none()
                && owned.next == owned.durable_next
                && !self.held.iter().any(|held| held.bucket == *bucket)
        };
        let ended: Vec<Bucket> =
            self.buckets.iter().filter(|(b, o)| ended((b, o))).map(|(bucket, _)| *bucket).collect();
        for bucket in ended {
            self.drop_bucket(bucket, true);
        }
        self.releasing = self.buckets.values().any(|owned| owned.releasing);
    }

    /// Whether records of the bucket are being committed.
    pub(super) fn in_flight(&self, bucket: Bucket) -> bool {
        let flight = self.flight.as_ref();
        flight.is_some_and(|flight| flight.batch.entries.iter().any(|entry| entry.bucket == bucket))
    }

    /// Gives a bucket up: nothing of it that is not durable is given out.
    pub(super) fn drop_bucket(&mut self, bucket: Bucket, released: bool) {
        if self.buckets.remove(&bucket).is_none() {
            return;
        }
        let entries = std::mem::take(&mut self.batch.entries);
        let (gone, kept): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.bucket == bucket);
        self.batch.keep(kept);
        for work in gone.iter().filter_map(|entry| entry.work.as_ref()) {
            self.work_moved(work, bucket);
        }
        for held in self.take_held_of(bucket) {
            self.work_moved(&held.work, bucket);
        }
        let actors: Vec<_> =
            self.actors.iter().filter(|(_, a)| a.bucket == bucket).map(|(ix, _)| ix).collect();
        for ix in actors {
            self.drop_actor(ix, bucket);
        }
        self.lost_lookups(bucket);
        self.alarms.retain(|_, alarm| alarm.bucket() != Some(bucket));
        self.out.push(Output::Dropped { bucket, released });
    }

    fn drop_actor(&mut self, ix: usize, bucket: Bucket) {
        self.drop_state(ix);
        let busy = self.actors.remove(ix).into_busy();
        self.loads.remove(&busy.loading);
        self.queued_commands = self.queued_commands.saturating_sub(busy.mailbox.len());
        for work in &busy.mailbox {
            self.work_moved(work, bucket);
        }
        for waiter in busy.waiters {
            // The command was applied; only the event it waited for will not be seen here.
            let answer = waiter.applied.map(|applied| Applied { event: waiter.seen, ..applied });
            if let Some(applied) = answer {
                self.reply(waiter.token, Reply::Command(Ok(applied)));
            }
        }
    }

    fn lost_lookups(&mut self, bucket: Bucket) {
        use super::read::Lookup;
        let of_bucket = |lookup: &Lookup| match lookup {
            Lookup::Repeat { bucket: b, .. } | Lookup::Dead { bucket: b, .. } => *b == bucket,
        };
        let gone: Vec<u64> =
            self.lookups.iter().filter(|(_, lookup)| of_bucket(lookup)).map(|(number, _)| *number).collect();
        for number in gone {
            match self.lookups.remove(&number) {
                Some(Lookup::Repeat { token, .. }) => {
                    self.reply(token, Reply::Command(Err(moved(bucket))));
                }
                Some(Lookup::Dead { token, .. }) => {
                    self.reply(token, Reply::DeadChanged(Err(moved(bucket))));
                }
                None => {}
            }
        }
        let waiting = std::mem::take(&mut self.dead_waiting);
        let (gone, kept): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, b, _)| *b == bucket);
        self.dead_waiting = kept;
        for (_, _, token) in gone {
            let failure = Failure::unknown(
                crate::outcome::Class::Unavailable,
                "Moved",
                "the bucket moved while the change was being written",
            );
            self.reply(token, Reply::DeadChanged(Err(failure)));
        }
    }

    fn work_moved(&mut self, work: &Work, bucket: Bucket) {
        match &work.kind {
            WorkKind::Command(command) => {
                self.reply(command.token, Reply::Command(Err(moved(bucket))));
            }
            WorkKind::Read(read) => {
                let read = read.clone();
                self.reply_read_failure(&read, moved(bucket));
            }
            WorkKind::Message(delivery) => {
                let delivery = delivery.clone();
                self.answer(&delivery, DeliveryOutcome::Failed);
            }
            WorkKind::Timer(_) | WorkKind::Refusal(_) => {}
        }
    }
}
