//! What a lane does because time has passed: alarms, timers, checkpoints by age, idle actors.

use std::sync::Arc;

use corallite_proto::store as rec;

use super::actor::{ActorIx, Waiter};
use super::bucket::TimerAt;
use super::work::{TimerFire, Token, Work, WorkKind};
use super::{Lane, Output, Reply};
use crate::behavior::Engine;
use crate::ids::{ActorKey, Bucket};
use crate::limits;
use crate::request::{Applied, Until};
use crate::store::StoreError;

/// Something to do at a time.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// Send a message, unless an answer came or another try was made.
    Send { bucket: Bucket, offset: u64, n: u32, attempt: u32 },
    /// Run internal work again.
    Retry { key: ActorKey, bucket: Bucket, work: Box<Work> },
    /// A client has waited long enough for an event.
    Until { key: ActorKey, token: Token },
    /// Ask again what became of the flight.
    ResolveFlight,
}

impl Alarm {
    /// The bucket it is about, if it is about one.
    pub fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Send { bucket, .. } | Self::Retry { bucket, .. } => Some(*bucket),
            Self::Until { .. } | Self::ResolveFlight => None,
        }
    }
}

impl<E: Engine> Lane<E> {
    pub(super) fn set_alarm(&mut self, after_ms: u64, alarm: Alarm) {
        let number = self.next_number();
        self.alarms.insert((self.now_ms + after_ms, number), alarm);
    }

    /// When the lane wants its next tick, in milliseconds since the epoch.
    #[must_use]
    pub fn next_tick_ms(&self) -> u64 {
        let sweep = self.last_sweep_ms + limits::LANE_SWEEP_MS;
        let alarm = self.alarms.first_key_value().map_or(u64::MAX, |((due, _), _)| *due);
        sweep.min(alarm).min(self.next_timer_ms)
    }

    pub(super) fn tick(&mut self) {
        while let Some(((due, _), _)) = self.alarms.first_key_value() {
            if *due > self.now_ms {
                break;
            }
            if let Some((_, alarm)) = self.alarms.pop_first() {
                self.ring(alarm);
            }
        }
        if self.next_timer_ms <= self.now_ms {
            self.fire_timers();
        }
        if self.now_ms >= self.last_sweep_ms + limits::LANE_SWEEP_MS {
            self.last_sweep_ms = self.now_ms;
            self.sweep();
        }
    }

    fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Send { bucket, offset, n, attempt } => {
                let outbox = self.buckets.get(&bucket).map(|b| &b.derived.outbox);
                let waiting = outbox.and_then(|outbox| outbox.get(&(offset, n)));
                if waiting.is_some_and(|o| !o.answered && o.attempts == attempt) {
                    self.send(bucket, (offset, n));
                }
            }
            Alarm::Retry { key, bucket, mut work } => {
                if self.buckets.contains_key(&bucket) {
                    work.arrival = self.next_number();
                    self.enqueue(key, bucket, *work);
                }
            }
            Alarm::Until { key, token } => self.give_up_waiting(&key, token),
            Alarm::ResolveFlight => self.resolve_flight(),
        }
    }

    /// A timer was set: the lane wants a tick then.
    pub(super) fn timer_set(&mut self, due_ms: u64) {
        self.next_timer_ms = self.next_timer_ms.min(due_ms);
    }

    fn fire_timers(&mut self) {
        self.next_timer_ms = u64::MAX;
        let mut due: Vec<(Bucket, TimerAt, u64)> = Vec::new();
        for (bucket, owned) in &mut self.buckets {
            while let Some((at, _)) = owned.derived.timers.first_key_value() {
                if at.due_ms > self.now_ms {
                    self.next_timer_ms = self.next_timer_ms.min(at.due_ms);
                    break;
                }
                if let Some((at, generation)) = owned.derived.timers.pop_first() {
                    due.push((*bucket, at, generation));
                }
            }
        }
        due.sort_unstable();
        for (bucket, at, generation) in due {
            let fire = TimerFire { name: (&*at.name).into(), generation, attempts: 0 };
            let work = self.new_work(WorkKind::Timer(Arc::new(fire)));
            self.enqueue(at.key(), bucket, work);
        }
    }

    fn sweep(&mut self) {
        let mut buckets: Vec<Bucket> = self.buckets.keys().copied().collect();
        buckets.sort_unstable();
        for bucket in &buckets {
            self.log_what_waits(*bucket, limits::CHECKPOINT_AGE_MS);
            self.tell_low_waters(*bucket);
            self.widen_horizon(*bucket);
        }
        self.checkpoint_if_due();
        self.passivate();
        self.next_timer_ms = self.next_timer_ms.min(self.now_ms);
        self.fire_timers();
    }

    /// Appends a record of the bucket itself, if acknowledgements or marks have waited this long.
    pub(super) fn log_what_waits(&mut self, bucket: Bucket, age_ms: u64) {
        let Some(owned) = self.buckets.get(&bucket) else { return };
        let since = owned.unlogged_since_ms;
        if since == 0 || self.now_ms.saturating_sub(since) < age_ms {
            return;
        }
        let record = rec::Record { time_ms: self.time_in(bucket), ..rec::Record::default() };
        self.append_bucket_record(bucket, record);
    }

    /// Reads the timers of the next window before they are due.
    fn widen_horizon(&mut self, bucket: Bucket) {
        let now_ms = self.now_ms;
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let derived = &mut owned.derived;
        if derived.timers_loading || derived.timers_until_ms > now_ms + limits::TIMER_HORIZON_MS / 2 {
            return;
        }
        let from_ms = derived.timers_until_ms;
        let until_ms = now_ms + limits::TIMER_HORIZON_MS;
        derived.timers_loading = true;
        derived.timers_until_ms = until_ms;
        let taken = derived.taken.iter().flat_map(|taken| &taken.timers);
        let newer: Vec<_> = taken
            .chain(&derived.dirty.timers)
            .filter(|(at, _)| (from_ms..until_ms).contains(&at.due_ms))
            .map(|(at, timer)| (at.clone(), timer.as_ref().map(|t| t.generation)))
            .collect();
        for (at, generation) in newer {
            match generation {
                Some(generation) => {
                    derived.timers.insert(at, generation);
                }
                None => {
                    derived.timers.remove(&at);
                }
            }
        }
        self.out.push(Output::LoadTimers { bucket, from_ms, until_ms });
    }

    pub(super) fn timers_loaded(
        &mut self,
        bucket: Bucket,
        until_ms: u64,
        result: Result<Vec<(ActorKey, rec::Timer)>, StoreError>,
    ) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let derived = &mut owned.derived;
        if !derived.timers_loading || until_ms != derived.timers_until_ms {
            // It was asked for before the bucket was given up and taken up again.
            return;
        }
        derived.timers_loading = false;
        let Ok(timers) = result else {
            // The window is read again by the next sweep.
            derived.timers_until_ms = derived.timers_until_ms.min(self.now_ms);
            return;
        };
        for (key, timer) in timers {
            // One that was cancelled meanwhile is found stale when it fires.
            derived.timers.entry(TimerAt::of(&key, &timer)).or_insert(timer.generation);
        }
        self.next_timer_ms = self.next_timer_ms.min(self.now_ms);
    }

    pub(super) fn wait_for_event(
        &mut self,
        ix: ActorIx,
        token: Token,
        until: Until,
        applied: Option<Applied>,
    ) {
        let wait_ms = until.wait_ms.min(limits::UNTIL_WAIT_MS_MAX);
        let deadline_ms = self.now_ms + wait_ms;
        let actor = &mut self.actors[ix];
        actor.busy().waiters.push(Waiter { token, events: until.events, deadline_ms, applied, seen: None });
        let key = actor.key.clone();
        self.set_alarm(wait_ms, Alarm::Until { key, token });
    }

    fn give_up_waiting(&mut self, key: &ActorKey, token: Token) {
        let Some(ix) = self.actors.find(key) else { return };
        let waiters = &mut self.actors[ix].busy().waiters;
        let Some(at) = waiters.iter().position(|w| w.token == token && w.applied.is_some()) else { return };
        let waiter = waiters.swap_remove(at);
        if let Some(applied) = waiter.applied {
            self.reply(token, Reply::Command(Ok(applied)));
        }
    }
}
