//! The world around the lanes: one store, one clock, packets between lanes, processes that crash,
//! restart or go on as zombies. Every choice comes from the seed, so equal seeds make equal histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::account::json;
use super::clients::{Attempt, Clients, Next, Stamp};
use super::faults::{Profile, Rule};
use super::process::{BUCKETS, Done, Flag, Phase, Process, SPACE, Task};
use super::sabotage;
use super::trace::Trace;
use crate::env::{Clock, ManualClock};
use crate::ids::{ActorKey, Bucket, SessionId, TypeId};
use crate::lane::input::{CommandInput, Delivery, DeliveryAnswer, LowWaterNotice, ReadInput};
use crate::lane::io::Performed;
use crate::lane::output::{Output, Reply};
use crate::lane::{Input, moved};
use crate::request::{Consistency, Until};
use crate::router::owner::{ClaimError, Session};
use crate::store::key::{KeyRange, Keys};
use crate::store::memory::{Fate, MemoryStore, OpKind};
use crate::store::{Store, Transaction, Write};

/// The instant a simulated history begins at, in milliseconds since the epoch.
pub const BEGIN_MS: u64 = 1_000_000;

/// Something on its way between lanes.
#[derive(Clone, Debug)]
pub enum Packet {
    Deliver(Delivery),
    Answer(DeliveryAnswer),
    LowWater(LowWaterNotice),
}

/// A record in the log.
pub struct Logged {
    pub value: Bytes,
    pub stamp: Stamp,
}

/// Everything there is.
pub struct World {
    pub rng: SmallRng,
    pub clock: ManualClock,
    pub store: MemoryStore,
    pub keys: Keys,
    pub profile: Profile,
    pub rule: Rule,
    pub stamp: Stamp,
    pub clients: Clients,
    /// The log as it became durable.
    pub log: BTreeMap<(u32, u64), Logged>,
    pub trace: Trace,
    pub processes: Vec<Process>,
    pub tasks: Vec<Task>,
    pub packets: Vec<(u32, Packet)>,
    pub violations: Vec<String>,
    /// Coming to rest: nothing goes wrong any more.
    pub resting: bool,
    next_process: u32,
}

impl World {
    /// A world in which nothing has happened. It does without `rule`, and is as unkind as suits
    /// `suited`.
    pub fn new(seed: u64, rule: Rule, suited: Rule, traced: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let profile = Profile::of(&mut rng).suited_to(suited);
        let clock = ManualClock::at(BEGIN_MS);
        let store = MemoryStore::simulated(Arc::new(clock.clone()));
        let mut trace = Trace::new(traced);
        trace.add(0, || format!("seed {seed}, {rule:?}, {profile:?}"));
        Self {
            rng,
            clock,
            store,
            keys: Keys::new("default/bank"),
            profile,
            rule,
            stamp: 0,
            clients: Clients::new(suited == Rule::HistoryUnchecked),
            log: BTreeMap::new(),
            trace,
            processes: Vec::new(),
            tasks: Vec::new(),
            packets: Vec::new(),
            violations: Vec::new(),
            resting: false,
            next_process: 1,
        }
    }

    /// A row of the store as it is now.
    pub fn row(&self, key: &Bytes) -> Option<Bytes> {
        let end = Bytes::from([key, &[0][..]].concat());
        self.store.dump_range(&KeyRange { begin: key.clone(), end }).remove(key)
    }

    fn chance(&mut self, per_thousand: u32) -> bool {
        self.rng.random_range(0..1_000) < per_thousand
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.stamp += 1;
        self.trace.add(self.stamp, what);
    }

    // Processes.

    /// Starts a new run of the cell.
    pub fn start_process(&mut self) {
        let number = self.next_process;
        self.next_process += 1;
        self.processes.push(Process::new(number));
        self.note(|| format!("process {number} starts"));
        self.start_session(number);
    }

    fn start_session(&mut self, number: u32) {
        let id = SessionId(u128::from(self.rng.next_u64()));
        let store: Arc<dyn Store> = Arc::new(self.store.clone());
        let (keys, now_ms) = (self.keys.clone(), self.clock.now_ms());
        self.spawn(number, 0, async move {
            let started = async {
                let session = Session::start(store, keys, "cell-0", id, now_ms).await?;
                session.plan_alone(BUCKETS).await?;
                Ok(Box::new(session))
            };
            Done::Started(started.await)
        });
    }

    /// The process that clients find first.
    pub fn current(&self) -> Option<usize> {
        self.processes.iter().rposition(|process| !process.zombie)
    }

    /// A process dies with everything it holds; its commits on the way may still land.
    pub fn kill(&mut self, at: usize) {
        let number = self.processes.remove(at).number;
        self.note(|| format!("process {number} dies"));
        self.tasks.retain(|task| task.process != number);
        self.packets.retain(|(process, _)| *process != number);
        self.clients.process_died(number);
    }

    /// The current process goes on without knowing that another has started.
    pub fn make_zombie(&mut self) {
        if let Some(old) = self.processes.iter().position(|process| process.zombie) {
            self.kill(old);
        }
        if let Some(at) = self.current() {
            let process = &mut self.processes[at];
            process.zombie = true;
            let number = process.number;
            self.note(|| format!("process {number} is a zombie"));
        }
        self.start_process();
    }

    /// Claims a bucket that a process does not have.
    pub fn boot(&mut self, at: usize, bucket: Bucket) {
        let lane = self.rng.random_range(0..self.profile.lanes);
        let process = &mut self.processes[at];
        let (Some(session), Some(io)) = (process.session.clone(), process.io.clone()) else { return };
        process.buckets[bucket.0 as usize] = Phase::Booting(lane);
        let number = process.number;
        let clock = self.clock.clone();
        let unchecked = self.rule == Rule::ClaimUnchecked;
        self.note(|| format!("process {number} claims bucket {} for lane {lane}", bucket.0));
        self.spawn(number, lane, async move {
            let booted = async {
                let session = if unchecked { sabotage::current_session(session).await? } else { session };
                let claimed = session.claim(bucket).await?;
                let boot = session.read_bucket(&io, bucket, claimed, clock.now_ms()).await?;
                Ok::<_, ClaimError>(Box::new(boot))
            };
            Done::Booted(bucket, booted.await)
        });
    }

    fn free(&mut self, at: usize, bucket: Bucket) {
        let process = &mut self.processes[at];
        let Some(session) = process.session.clone() else { return };
        process.buckets[bucket.0 as usize] = Phase::Freeing;
        let number = process.number;
        self.spawn(number, 0, async move { Done::Freed(bucket, session.release(bucket).await) });
    }

    // Tasks.

    fn spawn(&mut self, process: u32, lane: usize, future: impl Future<Output = Done> + 'static) {
        self.tasks.push(Task { process, lane, woken: Flag::set(), future: Box::pin(future) });
    }

    /// Polls what was woken until nothing is.
    pub fn poll_tasks(&mut self) {
        while let Some(at) = self.tasks.iter().position(|task| task.woken.take()) {
            let waker = Waker::from(Arc::clone(&self.tasks[at].woken));
            let polled = self.tasks[at].future.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(done) = polled {
                let task = self.tasks.remove(at);
                self.done(task.process, task.lane, done);
            }
        }
    }

    fn done(&mut self, number: u32, lane: usize, done: Done) {
        let Some(at) = self.processes.iter().position(|process| process.number == number) else { return };
        match done {
            Done::Performed(performed) => match *performed {
                Performed::Input(input) => self.give(at, lane, input),
                Performed::Reply(token, reply) => {
                    self.note(|| format!("{number}: {token:?} gets {reply:?}"));
                    self.clients.answered(token, reply, self.stamp, self.clock.now_ms());
                }
            },
            Done::Started(Ok(session)) => {
                self.note(|| format!("process {number} has a session"));
                let seed = self.rng.next_u64() >> 8;
                self.processes[at].started(*session, &self.profile, self.rule, seed);
                for bucket in 0..BUCKETS {
                    self.boot(at, Bucket(bucket));
                }
            }
            // Another session may have started meanwhile: an old one does not try again.
            Done::Started(Err(error)) if !self.processes[at].zombie => {
                self.note(|| format!("process {number} has no session: {error}"));
                self.start_session(number);
            }
            Done::Started(Err(_)) => {}
            Done::Booted(bucket, Ok(boot)) => {
                self.processes[at].buckets[bucket.0 as usize] = Phase::Served(lane);
                self.give(at, lane, Input::Adopt(boot));
            }
            Done::Booted(bucket, Err(error)) => {
                self.note(|| format!("process {number} does not get bucket {}: {error}", bucket.0));
                let damaged = matches!(&error, ClaimError::Store(crate::store::StoreError::Damaged { .. }));
                if damaged {
                    self.violations.push(format!("bucket {} cannot be read: {error}", bucket.0));
                }
                let lost = matches!(error, ClaimError::SessionLost(_)) || damaged;
                self.processes[at].buckets[bucket.0 as usize] = if lost { Phase::Lost } else { Phase::Free };
            }
            Done::Freed(bucket, Ok(())) => self.processes[at].buckets[bucket.0 as usize] = Phase::Free,
            Done::Freed(bucket, Err(_)) => self.free(at, bucket),
        }
    }

    // Lanes.

    /// Hands an input to a lane and performs what follows; batches start now or later.
    pub fn give(&mut self, at: usize, lane: usize, input: Input) {
        let number = self.processes[at].number;
        self.note(|| format!("{number}.{lane} < {input:?}"));
        let now_ms = self.clock.now_ms();
        self.processes[at].lanes[lane].handle(now_ms, input);
        if self.resting || self.rng.random_ratio(7, 10) {
            self.processes[at].lanes[lane].flush();
        }
        self.perform_outputs(at, lane);
    }

    /// Lets a lane start what has gathered.
    pub fn flush(&mut self, at: usize, lane: usize) {
        self.processes[at].lanes[lane].flush();
        self.perform_outputs(at, lane);
    }

    fn perform_outputs(&mut self, at: usize, lane: usize) {
        let mut outputs = Vec::new();
        self.processes[at].lanes[lane].drain(&mut outputs);
        for output in outputs {
            self.perform(at, lane, output);
        }
    }

    fn perform(&mut self, at: usize, lane: usize, output: Output) {
        let number = self.processes[at].number;
        self.note(|| format!("{number}.{lane} > {output:?}"));
        match output {
            Output::Reply(token, reply) => {
                self.clients.answered(token, reply, self.stamp, self.clock.now_ms());
            }
            Output::Deliver(mut delivery) => {
                if self.rule == Rule::LowWaterTooHigh {
                    delivery.low_water = delivery.offset + 1;
                }
                self.send(number, Packet::Deliver(delivery));
            }
            Output::Answer(answer) => self.send(number, Packet::Answer(answer)),
            Output::LowWater(notice) => self.send(number, Packet::LowWater(notice)),
            Output::Dropped { bucket, released: true } => self.free(at, bucket),
            Output::Dropped { bucket, released: false } => {
                self.processes[at].buckets[bucket.0 as usize] = Phase::Lost;
            }
            Output::Flushed => self.processes[at].flushed[lane] = true,
            mut store => {
                let Some(io) = self.processes[at].io.clone() else { return };
                sabotage::rewrite(self.rule, &self.keys, &mut store);
                let rule = self.rule;
                self.spawn(number, lane, async move {
                    Done::Performed(Box::new(sabotage::perform(rule, &io, store).await))
                });
            }
        }
    }

    fn send(&mut self, process: u32, packet: Packet) {
        if !self.resting && self.chance(self.profile.lose) {
            return self.note(|| "it is lost".to_owned());
        }
        if !self.resting && self.chance(self.profile.duplicate) {
            self.packets.push((process, packet.clone()));
        }
        self.packets.push((process, packet));
    }

    /// Brings a packet to its lane.
    pub fn deliver(&mut self, index: usize) {
        let (number, packet) = self.packets.remove(index);
        if !self.resting && self.chance(self.profile.duplicate) {
            self.packets.push((number, packet.clone()));
        }
        let Some(at) = self.processes.iter().position(|process| process.number == number) else { return };
        let (bucket, input) = match packet {
            Packet::Deliver(delivery) => (delivery.target_bucket, Input::Deliver(delivery)),
            Packet::Answer(answer) => (answer.source_bucket, Input::Answered(answer)),
            Packet::LowWater(notice) => (notice.target_bucket, Input::LowWater(notice)),
        };
        let lane = self.processes[at].lane_of(bucket);
        self.give(at, lane, input);
    }

    /// Moves the clock on and ticks the lanes that want it.
    pub fn advance(&mut self, by_ms: u64) {
        self.clock.advance_ms(by_ms);
        let now_ms = self.clock.now_ms();
        self.note(|| format!("it is {now_ms}"));
        for at in 0..self.processes.len() {
            for lane in 0..self.processes[at].lanes.len() {
                if self.processes[at].lanes[lane].next_tick_ms() <= now_ms {
                    self.give(at, lane, Input::Tick);
                }
            }
        }
    }

    // The store.

    /// Decides what becomes of a pending operation; reads that follow from it mostly go on at once.
    pub fn complete_some(&mut self) -> bool {
        let pending = self.store.pending();
        if pending.is_empty() {
            return false;
        }
        let at = self.rng.random_range(0..pending.len());
        self.complete(pending[at].id, &pending[at].kind);
        for _ in 0..30 {
            if !self.resting && self.rng.random_ratio(1, 8) {
                break;
            }
            let pending = self.store.pending();
            let mut reads = pending.iter().filter(|op| !matches!(op.kind, OpKind::Commit(_)));
            let Some(next) = reads.next_back() else { break };
            self.complete(next.id, &next.kind);
        }
        true
    }

    fn complete(&mut self, id: crate::store::memory::OpId, kind: &OpKind) {
        let fate = if self.resting { Fate::Proceed } else { self.profile.fate(&mut self.rng, kind) };
        let applied = self.store.complete(id, fate);
        if let OpKind::Commit(tx) = kind {
            self.note(|| format!("store: {fate:?} (applied: {applied}) {tx:?}"));
            if applied {
                self.applied(tx);
            }
        }
        self.poll_tasks();
    }

    /// Lets a late transaction arrive.
    pub fn land_one(&mut self) -> bool {
        let late = self.store.late();
        if late.is_empty() {
            return false;
        }
        let (id, tx) = &late[self.rng.random_range(0..late.len())];
        let applied = self.store.land(*id);
        self.note(|| format!("store: late (applied: {applied}) {tx:?}"));
        if applied {
            self.applied(tx);
        }
        true
    }

    fn applied(&mut self, tx: &Transaction) {
        for write in &tx.writes {
            let Write::Set { key, value } = write else { continue };
            let Ok((bucket, offset)) = self.keys.parse_log(key) else { continue };
            let logged = Logged { value: value.clone(), stamp: self.stamp };
            let before = self.log.insert((bucket.0, offset.0), logged);
            if before.is_some_and(|before| before.value != *value) {
                self.violations.push(format!("record {}:{} was overwritten", bucket.0, offset.0));
            }
        }
    }

    // Clients.

    /// Does what a client wants next, at a process.
    pub fn client(&mut self, at: usize, next: Next) {
        match next {
            Next::Command { op, payload } => self.send_command(at, op, payload),
            Next::Read(read) => self.send_read(at, read),
        }
    }

    fn send_command(&mut self, at: usize, op: usize, payload: usize) {
        let now_ms = self.clock.now_ms();
        let short = !self.resting && self.rng.random_ratio(1, 20);
        let deadline_ms = now_ms + if short { 5 } else { 600_000 };
        let process = self.processes[at].number;
        self.note(|| format!("a client sends command {op} with payload {payload} to {process}"));
        let sent = self.stamp;
        let attempt =
            Attempt { op, payload, process, sent, sent_ms: now_ms, deadline_ms, answer: None, lost: false };
        let token = self.clients.sent(attempt);
        let op = &self.clients.ops[op];
        let bucket = SPACE.bucket_of(&op.account);
        let input = CommandInput {
            key: ActorKey { type_id: TypeId(0), id: op.account.as_str().into() },
            bucket,
            name: op.name.into(),
            payload: json(&op.payloads[payload]),
            id: op.id.clone(),
            deadline_ms,
            claims: None,
            until: op.until.clone().map(|(events, wait_ms)| Until { events, wait_ms }),
            token,
        };
        if self.processes[at].lanes.is_empty() {
            let reply = Reply::Command(Err(moved(bucket)));
            return self.clients.answered(token, reply, self.stamp, now_ms);
        }
        let lane = self.processes[at].lane_of(bucket);
        self.give(at, lane, Input::Command(input));
    }

    fn send_read(&mut self, at: usize, read: usize) {
        let process = self.processes[at].number;
        if self.processes[at].lanes.is_empty() {
            self.clients.reads[read].lost = true;
            return;
        }
        self.note(|| format!("a client sends read {read} to {process}"));
        let token = self.clients.read_sent(read, process, self.stamp);
        let read = &self.clients.reads[read];
        let bucket = SPACE.bucket_of(&read.account);
        let input = ReadInput {
            key: ActorKey { type_id: TypeId(0), id: read.account.as_str().into() },
            bucket,
            what: read.what.clone(),
            consistency: if read.strong { Consistency::Strong } else { Consistency::Stale },
            deadline_ms: self.clock.now_ms() + 600_000,
            claims: None,
            token,
        };
        let lane = self.processes[at].lane_of(bucket);
        self.give(at, lane, Input::Read(input));
    }
}
