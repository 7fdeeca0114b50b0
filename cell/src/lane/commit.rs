//! A batch on its way to the store, and what is done when it does not arrive.
//!
//! - Landed: its records are truth; see `land`.
//! - Failed or in doubt: the store is asked (`Resolve`), which also makes a doubtful commit
//!   impossible. What did not land is committed again as it is; a lost bucket is given up.
//! - Surely not possible now: clients are told, everything else is run again later.
//! - Too large: the turns run again in batches of half the size, down to the culprit.

use super::actor::Residence;
use super::alarm::Alarm;
use super::batch::{Batch, Entry};
use super::bucket::BucketState;
use super::input::{DeliveryOutcome, Resolution};
use super::output::ResolveBucket;
use super::work::{Work, WorkKind};
use super::{Lane, Output, Reply, batch_id, moved};
use crate::behavior::Engine;
use crate::ids::Bucket;
use crate::limits;
use crate::outcome::{Class, Failure};
use crate::store::StoreError;
use bytes::Bytes;
use corallite_proto::store::record::Cause;

/// A batch that is being committed or looked into.
pub(crate) struct Flight {
    /// The batch.
    pub batch: Batch,
    /// The head each of its buckets will have.
    pub heads: Vec<(Bucket, Bytes)>,
}

impl<E: Engine> Lane<E> {
    /// Sends the gathered batch off, unless one is under way.
    pub(super) fn start_flight(&mut self) {
        if self.flight.is_some() || self.batch.entries.is_empty() {
            return;
        }
        let next = Batch::new(self.batch.number + 1, batch_id(&mut self.rng));
        let batch = std::mem::replace(&mut self.batch, next);
        let heads = batch.heads();
        self.flight = Some(Flight { batch, heads });
        self.commit_flight();
    }

    fn commit_flight(&mut self) {
        let Some(flight) = &self.flight else { return };
        let buckets = &self.buckets;
        let tx = flight.batch.transaction(&self.config.keys, &flight.heads, |bucket| buckets.get(&bucket));
        self.out.push(Output::Commit { batch: flight.batch.number, tx });
    }

    pub(super) fn committed(&mut self, number: u64, result: Result<(), StoreError>) {
        if self.flight.as_ref().is_none_or(|flight| flight.batch.number != number) {
            return;
        }
        match result {
            Ok(()) => self.flight_landed(),
            Err(StoreError::TooLarge { what, bytes, limit }) => {
                let message = format!("{what} has {bytes} bytes; the store takes at most {limit}");
                self.look_for_culprit(&message);
            }
            Err(StoreError::Unavailable { reason }) => self.give_up_flight(&reason),
            Err(_) => self.resolve_flight(),
        }
    }

    /// Asks what became of the batch under way.
    pub(super) fn resolve_flight(&mut self) {
        let Some(flight) = &self.flight else { return };
        self.stats.batch_failures += 1;
        let buckets = flight.batch.buckets();
        let buckets = buckets
            .into_iter()
            .filter_map(|(bucket, first_offset)| {
                let owner = self.buckets.get(&bucket)?.owner.clone();
                Some(ResolveBucket { bucket, owner, first_offset })
            })
            .collect();
        self.out.push(Output::Resolve { batch: flight.batch.number, id: flight.batch.id, buckets });
    }

    pub(super) fn resolved(&mut self, number: u64, result: Result<Vec<(Bucket, Resolution)>, StoreError>) {
        if self.flight.as_ref().is_none_or(|flight| flight.batch.number != number) {
            return;
        }
        let Ok(resolutions) = result else {
            return self.set_alarm(limits::DELIVERY_BACKOFF_MS_MIN, Alarm::ResolveFlight);
        };
        let mut lost = Vec::new();
        let mut again = false;
        for (bucket, resolution) in resolutions {
            match resolution {
                Resolution::Landed => {}
                Resolution::NotLanded { head } => {
                    again = true;
                    if let Some(owned) = self.buckets.get_mut(&bucket) {
                        owned.head = head;
                    }
                }
                Resolution::Lost { landed } => lost.push((bucket, landed)),
            }
        }
        for (bucket, landed) in lost {
            self.lose_bucket_in_flight(bucket, landed);
        }
        if again {
            self.commit_flight();
        } else {
            self.flight_landed();
        }
    }

    fn flight_landed(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        for (bucket, head) in flight.heads {
            if let Some(owned) = self.buckets.get_mut(&bucket) {
                owned.head = head;
            }
        }
        self.batch_records_max = (self.batch_records_max * 2).min(limits::BATCH_RECORDS_MAX);
        let number = flight.batch.number;
        for entry in flight.batch.entries {
            self.land(entry);
        }
        self.release_held(number);
        self.dead_changed(number, &Ok(()));
        self.finish_releases();
        self.checkpoint_if_due();
        self.pump_ready();
    }

    /// The part of the flight that a lost bucket had is answered by what is known of it.
    fn lose_bucket_in_flight(&mut self, bucket: Bucket, landed: bool) {
        if let Some(flight) = &mut self.flight {
            flight.heads.retain(|(other, _)| *other != bucket);
            let entries = std::mem::take(&mut flight.batch.entries);
            let (gone, kept) = entries.into_iter().partition(|entry: &Entry| entry.bucket == bucket);
            flight.batch.entries = kept;
            for entry in gone {
                self.answer_lost(entry, landed);
            }
        }
        self.drop_bucket(bucket, false);
    }

    fn answer_lost(&mut self, entry: Entry, landed: bool) {
        let Some(Work { kind: WorkKind::Command(command), .. }) = entry.work else { return };
        let result = match entry.applied {
            Some(applied) if landed => Ok(applied),
            _ => Err(moved(entry.bucket)),
        };
        self.reply(command.token, Reply::Command(result));
    }

    /// The store surely did nothing and cannot now: clients whose commands it would have recorded hear
    /// so, reads are answered from what is durable, the rest comes again.
    fn give_up_flight(&mut self, reason: &str) {
        let failure = Failure::retryable(
            Class::Unavailable,
            "StoreUnavailable",
            format!("the store cannot be written now: {reason}"),
            limits::STORE_RETRY_MS,
        );
        self.dead_changed(u64::MAX, &Err(failure.clone()));
        let works = self.roll_back_everything();
        let actors: Vec<_> = works.iter().map(|(ix, _)| *ix).collect();
        for work in works {
            if matches!(work.1.kind, WorkKind::Read(_)) {
                self.requeue(work);
            } else {
                self.work_failed(work, &failure);
            }
        }
        self.forget_blanks(actors);
        self.pump_ready();
    }

    /// Runs everything again in smaller batches; a record that is too large alone is the culprit.
    fn look_for_culprit(&mut self, message: &str) {
        self.stats.batch_failures += 1;
        let alone = self.flight.as_ref().is_some_and(|flight| flight.batch.entries.len() == 1);
        let count = self.flight.as_ref().map_or(1, |flight| flight.batch.entries.len());
        let culprit = if alone { self.culprit_arrival() } else { None };
        self.batch_records_max = (count / 2).max(1);
        let again = Failure::retryable(Class::Unavailable, "BatchFailed", message, limits::STORE_RETRY_MS);
        self.dead_changed(u64::MAX, &Err(again));
        let works = self.roll_back_everything();
        let actors: Vec<_> = works.iter().map(|(ix, _)| *ix).collect();
        for work in works {
            if Some(work.1.arrival) == culprit {
                let failure = Failure::not_applied(Class::TooLarge, "RecordTooLarge", message);
                self.bury(work.0, work.1, &failure);
            } else {
                self.requeue(work);
            }
        }
        self.forget_blanks(actors);
        self.pump_ready();
    }

    fn culprit_arrival(&self) -> Option<u64> {
        let entry = self.flight.as_ref()?.batch.entries.first()?;
        entry.work.as_ref().map(|work| work.arrival)
    }

    /// Undoes every record that is not durable, and takes back every held answer; gives the work
    /// behind them in the order it came.
    fn roll_back_everything(&mut self) -> Vec<(super::actor::ActorIx, Work)> {
        let number = self.batch.number + 1;
        let fresh = Batch::new(number, batch_id(&mut self.rng));
        let gathered = std::mem::replace(&mut self.batch, fresh);
        let flown = self.flight.take().map(|flight| flight.batch.entries).unwrap_or_default();
        let mut works = Vec::new();
        for entry in flown.into_iter().chain(gathered.entries) {
            self.undo(entry, &mut works);
        }
        for owned in self.buckets.values_mut() {
            owned.next = owned.durable_next;
            owned.last_time_ms = owned.durable_time_ms;
            owned.speculative_inbox.clear();
            owned.speculative_dead.clear();
        }
        self.take_held_on_speculation(&mut works);
        works.sort_by_key(|(_, work)| work.arrival);
        works
    }

    fn undo(&mut self, entry: Entry, works: &mut Vec<(super::actor::ActorIx, Work)>) {
        if let Some(owned) = self.buckets.get_mut(&entry.bucket) {
            give_back(owned, &entry, self.now_ms);
        }
        let Some(ix) = entry.actor else { return };
        self.actors[ix].busy().speculative = None;
        self.drop_state(ix);
        works.extend(entry.work.map(|work| (ix, work)));
    }

    /// Puts work back before what waits in its actor's mailbox.
    pub(super) fn requeue(&mut self, (ix, work): (super::actor::ActorIx, Work)) {
        let mailbox = &mut self.actors[ix].busy().mailbox;
        let at = mailbox.partition_point(|waiting| waiting.arrival < work.arrival);
        mailbox.insert(at, work);
        self.queued_commands += 1;
        if !self.actors[ix].queued {
            self.actors[ix].queued = true;
            self.ready.push_back(ix);
        }
    }

    /// Answers a client, or lets internal work come again. The actor stays in memory: other work of it
    /// may follow; see [`Lane::forget_blanks`].
    pub(super) fn work_failed(&mut self, (ix, work): (super::actor::ActorIx, Work), failure: &Failure) {
        match &work.kind {
            WorkKind::Command(command) => self.reply(command.token, Reply::Command(Err(failure.clone()))),
            WorkKind::Read(read) => self.reply_read_failure(read, failure.clone()),
            WorkKind::Message(delivery) => self.answer(delivery, DeliveryOutcome::Failed),
            WorkKind::Timer(_) | WorkKind::Refusal(_) => self.retry_later(ix, work, 0),
        }
    }

    /// Lets actors that failed before their first record leave memory.
    pub(super) fn forget_blanks(&mut self, actors: Vec<super::actor::ActorIx>) {
        for ix in actors {
            self.forget_if_blank(ix);
        }
    }

    /// Drops the live or warm state; the row stays.
    pub(super) fn drop_state(&mut self, ix: super::actor::ActorIx) {
        let state = std::mem::replace(&mut self.actors[ix].state, Residence::None);
        self.memory.left(&state);
    }
}

/// What a record carried for its bucket waits for another record again.
fn give_back(owned: &mut BucketState, entry: &Entry, now_ms: u64) {
    let own = match &entry.record.cause {
        Some(Cause::Refusal(refusal)) => Some((refusal.offset, refusal.n)),
        _ => None,
    };
    let acks = entry.record.acks.iter().filter(|ack| Some((ack.offset, ack.n)) != own);
    owned.acks.extend(acks.cloned());
    for mark in &entry.record.low_waters {
        let below = owned.low_waters.entry(mark.source_bucket).or_default();
        *below = (*below).max(mark.below);
    }
    if !owned.acks.is_empty() || !owned.low_waters.is_empty() {
        owned.unlogged_since_ms = now_ms.max(1);
    }
}
