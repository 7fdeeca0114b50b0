//! The thread around a lane: takes what comes, performs what the lane asks for, sleeps until there
//! is more.
//!
//! A burst of messages is handed to the lane before the lane is flushed, so that a burst shares one
//! commit. Store futures are polled in place first: the embedded store answers reads at once. What is
//! pending wakes the thread through its own channel; no other thread carries results.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustc_hash::FxHashMap;
use slab::Slab;
use std::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::input::Input;
use super::io::{Performed, StoreIo};
use super::output::{Output, Reply};
use super::stats::LaneStats;
use super::work::Token;
use super::{Lane, bucket::BucketBoot};
use crate::behavior::{Engine, ScriptError};
use crate::cell::Answer;
use crate::env::Clock;
use crate::ids::{Bucket, TypeId};
use crate::limits;
use crate::metrics::{LaneMetrics, TypeMetrics};
use crate::outcome::Failure;
use crate::request::{DeadLetter, EventsPage, ReadAnswer};

/// Messages handed to the lane before it is flushed.
const BURST_MESSAGES_MAX: usize = 1_024;
/// How often the metrics are brought up to date.
const METRICS_INTERVAL: Duration = Duration::from_millis(250);

/// Who waits for an answer.
pub(crate) enum Waiting {
    Command(Answer),
    Read(oneshot::Sender<Result<ReadAnswer, Failure>>),
    Events(oneshot::Sender<Result<EventsPage, Failure>>),
    DeadLetters(oneshot::Sender<Result<Vec<DeadLetter>, Failure>>),
    DeadChanged(oneshot::Sender<Result<(), Failure>>),
    Prepared(oneshot::Sender<Result<(), ScriptError>>),
}

/// A message to a lane's thread.
pub(crate) enum ToLane {
    /// An input that nobody waits for.
    Input(Box<Input>),
    /// An input, made with the token of whoever waits.
    Ask(Box<dyn FnOnce(Token) -> Input + Send>, Waiting, usize),
    /// Something pending may be ready.
    Wake,
    /// Write everything out, then end.
    Stop,
}

/// How others reach a lane.
#[derive(Clone)]
pub(crate) struct LaneHandle {
    sender: Sender<ToLane>,
    load: Arc<Load>,
}

/// What was handed to a lane and is not answered.
#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl LaneHandle {
    /// A handle and the end that the lane's thread takes.
    pub fn new() -> (Self, Receiver<ToLane>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (Self { sender, load: Arc::default() }, receiver)
    }

    /// Hands in a request of about `bytes` bytes, unless too many are under way.
    ///
    /// # Errors
    /// Gives back whoever waits, with the failure to tell.
    pub fn ask(
        &self,
        bytes: usize,
        input: impl FnOnce(Token) -> Input + Send + 'static,
        waiting: Waiting,
    ) -> Result<(), (Waiting, Failure)> {
        let requests = self.load.requests.fetch_add(1, Ordering::Relaxed);
        let held = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        if requests >= limits::LANE_QUEUE_COMMANDS_MAX || held + bytes > limits::LANE_QUEUE_BYTES_MAX {
            self.load.done(bytes);
            let message = format!(
                "the lane has {requests} requests with {held} bytes under way; at most {} and {} are taken",
                limits::LANE_QUEUE_COMMANDS_MAX,
                limits::LANE_QUEUE_BYTES_MAX
            );
            return Err((waiting, Failure::overloaded(message)));
        }
        // A lane that has ended drops the message, and with it whoever waits: they hear "unknown".
        let _ = self.sender.send(ToLane::Ask(Box::new(input), waiting, bytes));
        Ok(())
    }

    /// Hands in an input that nobody waits for.
    pub fn send(&self, input: Input) {
        let _ = self.sender.send(ToLane::Input(Box::new(input)));
    }

    /// Asks the lane to write everything out and end.
    pub fn stop(&self) {
        let _ = self.sender.send(ToLane::Stop);
    }
}

impl Load {
    fn done(&self, bytes: usize) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Wakes a lane's thread through its channel, once until it looks.
struct LaneWaker {
    sender: Sender<ToLane>,
    woken: AtomicBool,
}

impl Wake for LaneWaker {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            let _ = self.sender.send(ToLane::Wake);
        }
    }
}

/// What a lane's thread has beside the lane.
pub(crate) struct Surroundings {
    /// The store.
    pub io: StoreIo,
    /// Every lane, by number; this one included.
    pub lanes: Arc<[LaneHandle]>,
    /// This lane's number.
    pub number: usize,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// This lane's metrics.
    pub metrics: LaneMetrics,
    /// Metrics by type.
    pub types: Vec<Arc<TypeMetrics>>,
    /// Buckets this lane gave up, for whoever wants to know.
    pub dropped: tokio::sync::mpsc::UnboundedSender<(Bucket, bool)>,
}

type Pending = Pin<Box<dyn Future<Output = Performed> + Send>>;

struct Runner<E: Engine> {
    lane: Lane<E>,
    around: Surroundings,
    receiver: Receiver<ToLane>,
    waker: Arc<LaneWaker>,
    pending: FuturesUnordered<Pending>,
    waiting: Slab<(Waiting, usize)>,
    /// Outputs of the lane, and inputs that follow from them at once.
    outputs: Vec<Output>,
    inputs: VecDeque<Input>,
    counted: LaneStats,
    counted_at: Instant,
    commit_started: Option<Instant>,
    /// Loads under way: since when, and of which type.
    loads: FxHashMap<u64, (Instant, TypeId)>,
    stopping: bool,
    stopped: bool,
}

/// Runs a lane on the calling thread until it is told to stop.
pub(crate) fn run<E: Engine>(
    lane: Lane<E>,
    boots: Vec<BucketBoot>,
    receiver: Receiver<ToLane>,
    around: Surroundings,
) {
    let sender = around.lanes[around.number].sender.clone();
    let mut runner = Runner {
        lane,
        around,
        receiver,
        waker: Arc::new(LaneWaker { sender, woken: AtomicBool::new(false) }),
        pending: FuturesUnordered::new(),
        waiting: Slab::new(),
        outputs: Vec::new(),
        inputs: boots.into_iter().map(|boot| Input::Adopt(Box::new(boot))).collect(),
        counted: LaneStats::default(),
        counted_at: Instant::now(),
        commit_started: None,
        loads: FxHashMap::default(),
        stopping: false,
        stopped: false,
    };
    while !runner.stopped {
        runner.settle();
        runner.count();
        if !runner.stopped {
            runner.receive();
        }
    }
}

impl<E: Engine> Runner<E> {
    /// Waits for a message or the next tick, then takes what else is there.
    fn receive(&mut self) {
        let now_ms = self.around.clock.now_ms();
        let wait = Duration::from_millis(self.lane.next_tick_ms().saturating_sub(now_ms));
        let Ok(first) = self.receiver.recv_timeout(wait) else {
            return self.inputs.push_back(Input::Tick);
        };
        self.take(first);
        for _ in 0..BURST_MESSAGES_MAX {
            let Ok(next) = self.receiver.try_recv() else { break };
            self.take(next);
        }
        if self.around.clock.now_ms() >= self.lane.next_tick_ms() {
            self.inputs.push_back(Input::Tick);
        }
    }

    fn take(&mut self, message: ToLane) {
        match message {
            ToLane::Input(input) => self.inputs.push_back(*input),
            ToLane::Ask(input, waiting, bytes) => {
                let token = Token(self.waiting.insert((waiting, bytes)) as u64);
                self.inputs.push_back(input(token));
            }
            ToLane::Wake => {}
            ToLane::Stop => {
                self.stopping = true;
                self.inputs.push_back(Input::Flush);
            }
        }
    }

    /// Hands everything at hand to the lane and performs what follows, until there is nothing left.
    fn settle(&mut self) {
        loop {
            self.poll_pending();
            while let Some(input) = self.inputs.pop_front() {
                // Each input has its own time: a turn may take long, and the next has a deadline.
                let now_ms = self.around.clock.now_ms();
                let load = match &input {
                    Input::Loaded { load, .. } => self.loads.remove(load),
                    _ => None,
                };
                self.lane.handle(now_ms, input);
                if let Some((since, type_id)) = load
                    && let Some(metrics) = self.around.types.get(type_id.0 as usize)
                {
                    metrics.activated(since.elapsed());
                }
            }
            self.lane.flush();
            self.lane.drain(&mut self.outputs);
            if self.outputs.is_empty() {
                return;
            }
            let mut outputs = std::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                self.perform(output);
            }
            self.outputs = outputs;
        }
    }

    fn poll_pending(&mut self) {
        self.waker.woken.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self.waker));
        let mut context = Context::from_waker(&waker);
        while let Poll::Ready(Some(performed)) = self.pending.poll_next_unpin(&mut context) {
            self.performed(performed);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Reply(token, reply) => self.answer(token, reply),
            Output::Deliver(delivery) => {
                self.hand_to_bucket(delivery.target_bucket, Input::Deliver(delivery));
            }
            Output::Answer(answer) => self.hand_to_bucket(answer.source_bucket, Input::Answered(answer)),
            Output::LowWater(notice) => self.hand_to_bucket(notice.target_bucket, Input::LowWater(notice)),
            Output::Dropped { bucket, released } => {
                let _ = self.around.dropped.send((bucket, released));
            }
            Output::Flushed => self.stopped = self.stopping,
            store => self.start(store),
        }
    }

    fn hand_to_bucket(&mut self, bucket: Bucket, input: Input) {
        let lane = lane_of(bucket, self.around.lanes.len());
        if lane == self.around.number {
            self.inputs.push_back(input);
        } else {
            self.around.lanes[lane].send(input);
        }
    }

    /// Starts a store operation; one that is done at once is not set aside.
    fn start(&mut self, output: Output) {
        if let Output::Commit { tx, .. } = &output {
            self.commit_started = Some(Instant::now());
            // Owner check, head check and head per bucket; the rest are records.
            let records = tx.writes.len().saturating_sub(tx.checks.len() / 2);
            self.around.metrics.batch_records.observe(records as f64);
        }
        if let Output::Load { load, key, .. } = &output {
            self.loads.insert(*load, (Instant::now(), key.type_id));
        }
        let io = self.around.io.clone();
        let mut future: Pending = Box::pin(async move {
            match io.perform(output).await {
                Ok(performed) => performed,
                Err(_) => Performed::Input(Input::Tick),
            }
        });
        let waker = Waker::from(Arc::clone(&self.waker));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(performed) => self.performed(performed),
            Poll::Pending => self.pending.push(future),
        }
    }

    fn performed(&mut self, performed: Performed) {
        match performed {
            Performed::Input(input) => {
                if let (Input::Committed { .. }, Some(started)) = (&input, self.commit_started.take()) {
                    self.around.metrics.committed(started.elapsed());
                }
                self.inputs.push_back(input);
            }
            Performed::Reply(token, reply) => self.answer(token, reply),
        }
    }

    fn answer(&mut self, token: Token, reply: Reply) {
        let Ok(at) = usize::try_from(token.0) else { return };
        let Some((waiting, bytes)) = self.waiting.try_remove(at) else { return };
        self.around.lanes[self.around.number].load.done(bytes);
        // Whoever stopped waiting is not told.
        match (waiting, reply) {
            (Waiting::Command(answer), Reply::Command(result)) => answer(result),
            (Waiting::Read(to), Reply::Read(result)) => drop(to.send(result)),
            (Waiting::Events(to), Reply::Events(result)) => drop(to.send(result)),
            (Waiting::DeadLetters(to), Reply::DeadLetters(result)) => drop(to.send(result)),
            (Waiting::DeadChanged(to), Reply::DeadChanged(result)) => drop(to.send(result)),
            (Waiting::Prepared(to), Reply::Prepared(result)) => drop(to.send(result)),
            _ => tracing::error!("an answer of another kind than was asked for"),
        }
    }

    fn count(&mut self) {
        if self.counted_at.elapsed() < METRICS_INTERVAL && !self.stopped {
            return;
        }
        self.counted_at = Instant::now();
        let stats = self.lane.stats().clone();
        let metrics = &self.around.metrics;
        metrics.hot_actors.set(gauge(stats.actors_hot));
        metrics.warm_actors.set(gauge(stats.actors_warm));
        metrics.queued_commands.set(gauge(stats.queued_commands));
        metrics.script_heap_bytes.set(gauge(stats.heap_bytes));
        metrics.timers_pending.set(gauge(stats.timers));
        metrics.outbox_pending.set(gauge(stats.outbox));
        metrics.dead_letters.set(i64::try_from(stats.dead_letters).unwrap_or(i64::MAX));
        metrics.records.inc_by(stats.records - self.counted.records);
        metrics.checkpoint_writes.inc_by(stats.checkpoints - self.counted.checkpoints);
        metrics.commit_failures.inc_by(stats.batch_failures - self.counted.batch_failures);
        for (at, metrics) in self.around.types.iter().enumerate() {
            metrics.events.inc_by(since(&stats.events, &self.counted.events, at));
            metrics.snapshots.inc_by(since(&stats.snapshots, &self.counted.snapshots, at));
        }
        self.counted = stats;
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn since(now: &[u64], before: &[u64], at: usize) -> u64 {
    now.get(at).copied().unwrap_or(0) - before.get(at).copied().unwrap_or(0)
}

/// The lane that serves a bucket in a cell with that many lanes.
pub(crate) fn lane_of(bucket: Bucket, lanes: usize) -> usize {
    bucket.0 as usize % lanes
}
