//! The lane: a state machine without I/O that owns a subset of a cell's buckets.
//!
//! Guarantees, given that the world performs outputs as they say and loses none silently:
//! - One turn at a time per actor; turns of one actor run in the order they came, also when a commit
//!   failed and they run again.
//! - Nothing leaves the lane before it is durable: replies, messages, acknowledgements and refusals
//!   wait for the batch they rest on, and answers without a record of their own also for a check of
//!   the session row that was asked for after their turn.
//! - At most one commit is under way; the next batch gathers meanwhile.
//! - Equal inputs give equal outputs: no clock, no chance, no I/O. Time comes with each input,
//!   chance from the seed.
//!
//! What it does not do: talk to clients or the store, decide who owns a bucket, or route between
//! lanes. `run` and `io` do the first, `router::owner` the second, the cell the third.
//!
//! In reading order: `input`, `output`; `work`, `turn` (a command runs) and `internal` (so do messages,
//! timers and refusals), `batch` and `commit`
//! (it becomes durable), `land` (what follows from it), `message`, `alarm` (time), `checkpoint`,
//! `residency` (memory), `version` (behaviors change).

mod actor;
mod adopt;
mod alarm;
mod batch;
pub mod bucket;
mod checkpoint;
mod commit;
mod dead;
mod held;
pub mod input;
mod internal;
pub mod io;
mod land;
mod message;
pub mod output;
mod read;
mod residency;
pub mod row;
pub mod run;
#[cfg(test)]
mod sim;
pub mod stats;
mod turn;
pub mod version;
pub mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustc_hash::FxHashMap;

use crate::behavior::{BehaviorSource, Engine, Interface, ScriptError, VersionKey};
use crate::ids::{ActorKey, BatchId, Bucket, TypeId};
use crate::limits;
use crate::outcome::{Class, Failure};
use crate::router::BucketSpace;
use crate::store::key::Keys;
use actor::{ActorIx, Actors};
use alarm::Alarm;
use batch::Batch;
use bucket::BucketState;
use commit::Flight;
use held::Held;
pub use input::Input;
use input::{CommandInput, ReadInput};
pub use output::{Output, Reply};
use read::{Load, Lookup};
pub use stats::LaneStats;
use work::{Token, Work, WorkKind};

/// What a lane is told once.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// The shard's bucket space.
    pub space: BucketSpace,
    /// The shard's keys.
    pub keys: Keys,
    /// Most live states.
    pub hot_actors_max: usize,
    /// Most bytes of states and rows in memory, hot and warm together.
    pub memory_bytes_max: usize,
    /// Seeds every chance the lane takes.
    pub seed: u64,
    /// When messages, timers and refusals that fail are tried again, and when no more.
    pub deliveries: DeliveryLimits,
}

/// How often, and after which pauses, a message, timer or refusal that fails is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// Tries before it goes to dead letters; at least 1.
    pub attempts_max: u32,
    /// The first pause, in milliseconds; it doubles up to the next.
    pub backoff_ms_min: u64,
    /// The longest pause, in milliseconds.
    pub backoff_ms_max: u64,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            attempts_max: limits::DELIVERY_ATTEMPTS_MAX,
            backoff_ms_min: limits::DELIVERY_BACKOFF_MS_MIN,
            backoff_ms_max: limits::DELIVERY_BACKOFF_MS_MAX,
        }
    }
}

impl DeliveryLimits {
    /// The pause before try number `attempts`, in milliseconds: doubling between the limits.
    fn backoff_ms(self, attempts: u32) -> u64 {
        let doubled = self.backoff_ms_min << attempts.saturating_sub(1).min(20);
        doubled.min(self.backoff_ms_max)
    }
}

/// One actor type as a lane serves it.
pub(crate) struct TypeState {
    /// The version in use.
    pub source: Arc<BehaviorSource>,
    /// What it offers.
    pub interface: Interface,
    /// Its settings.
    pub settings: TypeSettings,
}

/// Settings of an actor type that are not the script's.
#[derive(Clone, Copy, Debug)]
pub struct TypeSettings {
    /// Events between snapshots.
    pub snapshot_every_events: u64,
    /// Idle time before an actor leaves memory, in milliseconds.
    pub idle_ms: u64,
    /// Commands waiting for one actor.
    pub mailbox_commands: usize,
}

/// One lane. Lives on its thread; see the module for what it guarantees.
pub struct Lane<E: Engine> {
    config: LaneConfig,
    types: Vec<TypeState>,
    buckets: FxHashMap<Bucket, BucketState>,
    actors: Actors<E::State>,
    /// Gathers records until the flight has landed.
    batch: Batch,
    /// Being committed, or looked into.
    flight: Option<Flight>,
    /// Most records of a batch; falls while a culprit is looked for.
    batch_records_max: usize,
    held: Vec<Held>,
    /// The check that the next flush asks for.
    next_check: u64,
    /// Actors with work that wait for room in the batch.
    ready: VecDeque<ActorIx>,
    lookups: FxHashMap<u64, Lookup>,
    alarms: BTreeMap<(u64, u64), Alarm>,
    hot: VecDeque<ActorIx>,
    warm: VecDeque<ActorIx>,
    memory: residency::Memory,
    /// Loads under way, by number.
    loads: FxHashMap<u64, Load>,
    out: Vec<Output>,
    rng: SmallRng,
    /// Numbers arrivals, loads, lookups and alarms.
    counter: u64,
    now_ms: u64,
    last_sweep_ms: u64,
    /// When the first timer in memory is due, in milliseconds since the epoch, or earlier.
    next_timer_ms: u64,
    queued_commands: usize,
    /// State versions of behavior versions that were in use before.
    state_versions: FxHashMap<VersionKey, u32>,
    /// Accepted versions that wait for the end of the batch: until then there are no turns.
    accepted: Vec<Arc<BehaviorSource>>,
    /// Where the search for idle actors goes on.
    sweep_at: usize,
    /// The engine's heap after the last collection.
    collected_heap_bytes: usize,
    /// Who waits for a change of dead letters, by batch.
    dead_waiting: Vec<(u64, Bucket, Token)>,
    flushing: bool,
    /// Some bucket is being released.
    releasing: bool,
    stats: LaneStats,
    /// Rules this lane leaves out, for simulations that show what each is for.
    #[cfg(test)]
    pub(crate) sabotage: sim::faults::Sabotage,
    /// Last: live states must go before it.
    engine: E,
}

impl<E: Engine> Lane<E> {
    /// A lane that owns no bucket yet. `types` are indexed by [`TypeId`].
    ///
    /// # Errors
    /// A behavior does not load.
    pub fn new(
        config: LaneConfig,
        mut engine: E,
        types: Vec<(Arc<BehaviorSource>, TypeSettings)>,
    ) -> Result<Self, ScriptError> {
        let mut loaded = Vec::with_capacity(types.len());
        for (source, settings) in types {
            let interface = engine.load(&source)?;
            loaded.push(TypeState { source, interface, settings });
        }
        let mut rng = SmallRng::seed_from_u64(config.seed);
        let batch = Batch::new(1, batch_id(&mut rng));
        Ok(Self {
            config,
            types: loaded,
            buckets: FxHashMap::default(),
            actors: Actors::new(),
            batch,
            flight: None,
            batch_records_max: limits::BATCH_RECORDS_MAX,
            held: Vec::new(),
            next_check: 1,
            ready: VecDeque::new(),
            lookups: FxHashMap::default(),
            alarms: BTreeMap::new(),
            hot: VecDeque::new(),
            warm: VecDeque::new(),
            memory: residency::Memory::default(),
            loads: FxHashMap::default(),
            out: Vec::new(),
            rng,
            counter: 0,
            now_ms: 0,
            last_sweep_ms: 0,
            next_timer_ms: u64::MAX,
            queued_commands: 0,
            state_versions: FxHashMap::default(),
            accepted: Vec::new(),
            sweep_at: 0,
            collected_heap_bytes: 0,
            dead_waiting: Vec::new(),
            flushing: false,
            releasing: false,
            stats: LaneStats::default(),
            #[cfg(test)]
            sabotage: sim::faults::Sabotage::default(),
            engine,
        })
    }

    /// Takes one input at `now_ms`. What follows is in [`Lane::drain`]; batches start in
    /// [`Lane::flush`].
    pub fn handle(&mut self, now_ms: u64, input: Input) {
        self.now_ms = self.now_ms.max(now_ms);
        match input {
            Input::Command(command) => self.take_command(command),
            Input::Read(read) => self.take_read(read),
            Input::Dead(dead) => self.take_dead(dead),
            Input::Deliver(delivery) => self.take_delivery(delivery),
            Input::Answered(answer) => self.take_answer(answer),
            Input::LowWater(notice) => self.take_low_water(notice),
            Input::Adopt(boot) => self.adopt(*boot),
            Input::Release(bucket) => self.release(bucket),
            Input::Loaded { load, result } => self.loaded(load, result),
            Input::Committed { batch, result } => self.committed(batch, result),
            Input::Resolved { batch, result } => self.resolved(batch, result),
            Input::Checkpointed { bucket, result } => self.checkpointed(bucket, result),
            Input::SessionChecked { check, result } => self.session_checked(check, result),
            Input::RecordFound { lookup, result } => self.record_found(lookup, result),
            Input::DeadFound { lookup, result } => self.dead_found(lookup, result),
            Input::TimersLoaded { bucket, until_ms, result } => self.timers_loaded(bucket, until_ms, result),
            Input::PastRead { token, key, at, position, result } => {
                let answer = result.and_then(|records| self.past_state(&key, at, position, &records));
                self.reply(token, Reply::Read(answer));
            }
            Input::Prepare { source, token } => self.prepare(&source, token),
            Input::Activate { source } => self.activate(source),
            Input::Abandon { source } => self.engine.unload(source.key),
            Input::Flush => self.flushing = true,
            Input::Tick => self.tick(),
        }
    }

    /// Starts what has gathered: call it when there are no more inputs at hand. A batch begins here,
    /// so a burst of inputs shares one commit.
    pub fn flush(&mut self) {
        self.pump_ready();
        self.ask_for_check();
        self.start_flight();
        self.swap_versions();
        self.finish_releases();
        if self.flushing {
            self.flush_everything();
        }
    }

    /// Takes the outputs since the last call, in order.
    pub fn drain(&mut self, into: &mut Vec<Output>) {
        into.append(&mut self.out);
    }

    /// What the lane counts.
    pub fn stats(&mut self) -> &LaneStats {
        self.stats.actors_hot = self.memory.hot_actors;
        self.stats.actors_warm = self.memory.warm_actors;
        self.stats.heap_bytes = self.engine.heap_bytes();
        self.stats.queued_commands = self.queued_commands;
        self.stats.outbox = self.buckets.values().map(|b| b.derived.outbox.len()).sum();
        self.stats.timers = self.buckets.values().map(|b| b.derived.timers.len()).sum();
        &self.stats
    }

    fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn new_work(&mut self, kind: WorkKind) -> Work {
        Work { arrival: self.next_number(), kind }
    }

    fn take_command(&mut self, command: CommandInput) {
        if let Err(failure) = self.admit(&command) {
            self.reply(command.token, Reply::Command(Err(failure)));
            return;
        }
        let key = command.key.clone();
        let bucket = command.bucket;
        let work = self.new_work(WorkKind::Command(Arc::new(command)));
        self.enqueue(key, bucket, work);
    }

    fn admit(&self, command: &CommandInput) -> Result<(), Failure> {
        self.check_serving(command.bucket)?;
        let kind = self.type_state(command.key.type_id);
        if !kind.interface.commands.iter().any(|name| **name == *command.name) {
            return Err(unknown_command(kind, &command.name));
        }
        self.check_mailbox(&command.key)
    }

    fn check_mailbox(&self, key: &ActorKey) -> Result<(), Failure> {
        let limit = self.type_state(key.type_id).settings.mailbox_commands;
        let waiting = self.actors.find(key).map_or(0, |ix| self.actors[ix].mailbox_len());
        if waiting >= limit {
            return Err(Failure::overloaded(format!(
                "{limit} commands wait for this actor already (limits.mailboxCommands)"
            )));
        }
        if self.queued_commands >= limits::LANE_QUEUE_COMMANDS_MAX {
            return Err(Failure::overloaded(format!(
                "{} commands wait in this lane already",
                limits::LANE_QUEUE_COMMANDS_MAX
            )));
        }
        Ok(())
    }

    fn check_serving(&self, bucket: Bucket) -> Result<(), Failure> {
        match self.buckets.get(&bucket) {
            Some(state) if !state.releasing => Ok(()),
            _ => Err(moved(bucket)),
        }
    }

    fn take_read(&mut self, read: ReadInput) {
        let admitted = self.check_serving(read.bucket).and_then(|()| self.check_mailbox(&read.key));
        if let Err(failure) = admitted {
            self.reply_read_failure(&read, failure);
            return;
        }
        let key = read.key.clone();
        let bucket = read.bucket;
        let work = self.new_work(WorkKind::Read(Arc::new(read)));
        self.enqueue(key, bucket, work);
    }

    fn enqueue(&mut self, key: ActorKey, bucket: Bucket, work: Work) {
        let ix = self.actors.find_or_insert(key, bucket);
        self.actors[ix].busy().mailbox.push_back(work);
        self.queued_commands += 1;
        self.pump(ix);
    }

    fn type_state(&self, type_id: TypeId) -> &TypeState {
        &self.types[type_id.0 as usize]
    }

    fn reply(&mut self, token: Token, reply: Reply) {
        self.out.push(Output::Reply(token, reply));
    }

    fn bucket_of(&mut self, bucket: Bucket) -> Option<&mut BucketState> {
        self.buckets.get_mut(&bucket)
    }
}

fn batch_id(rng: &mut SmallRng) -> BatchId {
    BatchId(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
}

/// The answer for a bucket that is not served here.
pub(crate) fn moved(bucket: Bucket) -> Failure {
    Failure::retryable(
        Class::Unavailable,
        "Moved",
        format!("bucket {} is not served by this cell now", bucket.0),
        limits::DELIVERY_BACKOFF_MS_MIN,
    )
}

fn unknown_command(kind: &TypeState, name: &str) -> Failure {
    let internal = kind.interface.internal.iter().any(|known| **known == *name);
    let known: Vec<&str> = kind.interface.commands.iter().map(|c| &**c).collect();
    let why = if internal { "is internal to" } else { "is not a command of" };
    Failure::not_found(
        "UnknownCommand",
        format!("{name} {why} {}; its commands are {}", kind.source.type_name, known.join(", ")),
    )
}
