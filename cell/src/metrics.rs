//! Every metric of a cell: its name, its labels, and what makes it move.
//!
//! Guarantees: labels are bounded. A type is one the shard declares (anything else a caller writes
//! counts as `(unknown)`), a lane is its number, an outcome is one of four words; ids never are
//! labels. Handles are looked up once per type and lane; using one is an atomic add, or for a
//! histogram a short lock. Nothing here reads the wall clock.
//!
//! All names begin with `corallite_`; base units are seconds and bytes, and are part of the name.
//! The text is OpenMetrics 1.0, which Prometheus reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustc_hash::FxBuildHasher;

use crate::outcome::{Failure, Outcome};

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What a type is called that the shard does not declare; outside the id grammar.
const UNKNOWN_TYPE: &str = "(unknown)";
/// From 100 µs, below which a durable answer does not come, to 10 s, the default deadline.
const LATENCY_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Activations and commits have parts that take a few microseconds.
const WORK_SECONDS: [f64; 15] = [
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0,
    10.0,
];

type Labels = Vec<(&'static str, Arc<str>)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// All metrics of one cell.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    types: RwLock<HashMap<Arc<str>, Arc<TypeMetrics>, FxBuildHasher>>,
    unknown_type: Arc<TypeMetrics>,
    shared: Shared,
}

/// Metrics with labels, by which handles are made.
#[derive(Debug)]
struct Families {
    commands: Family<Labels, Counter>,
    command_duration: Histograms,
    activation_duration: Histograms,
    events: Family<Labels, Counter>,
    snapshots: Family<Labels, Counter>,
    behavior_version: Family<Labels, Gauge>,
    behavior_refused: Family<Labels, Gauge>,
    resident_actors: Family<Labels, Gauge>,
    queued_commands: Family<Labels, Gauge>,
    script_heap: Family<Labels, Gauge>,
    timers_pending: Family<Labels, Gauge>,
    outbox_pending: Family<Labels, Gauge>,
    dead_letters: Family<Labels, Gauge>,
}

/// Metrics without labels: every lane has the same handles.
#[derive(Clone, Debug)]
struct Shared {
    batch_records: Histogram,
    commit_duration: Histogram,
    commit_failures: Counter,
    records: Counter,
    checkpoint_writes: Counter,
}

/// What is counted per actor type.
#[derive(Debug)]
pub struct TypeMetrics {
    /// By [`outcome_index`].
    commands: [Counter; 4],
    /// By [`outcome_index`].
    command_duration: [Histogram; 4],
    activation_duration: Histogram,
    /// `corallite_events_total{type}`: events made durable; add when their batch is committed.
    pub events: Counter,
    /// `corallite_snapshots_total{type}`: snapshots made durable.
    pub snapshots: Counter,
    /// `corallite_behavior_version{type}`: number of the version served; set when it is taken.
    pub behavior_version: Gauge,
    /// `corallite_behavior_refused{type}`: 1 while the configured behavior is refused and an earlier
    /// version goes on, else 0.
    pub behavior_refused: Gauge,
}

/// What one lane says of itself. Gauges are set to what the lane holds now; a lane sets only its own.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    /// `corallite_resident_actors{lane,tier="hot"}`: actors that are live JavaScript objects.
    pub hot_actors: Gauge,
    /// `corallite_resident_actors{lane,tier="warm"}`: actors whose state is held as bytes.
    pub warm_actors: Gauge,
    /// `corallite_queued_commands{lane}`: commands in mailboxes, not yet executed.
    pub queued_commands: Gauge,
    /// `corallite_script_heap_bytes{lane}`: memory of the lane's JavaScript runtime.
    pub script_heap_bytes: Gauge,
    /// `corallite_timers_pending{lane}`: timers set and neither fired nor cancelled.
    pub timers_pending: Gauge,
    /// `corallite_outbox_pending{lane}`: messages told and not yet acknowledged.
    pub outbox_pending: Gauge,
    /// `corallite_dead_letters{lane}`: messages, timers and refusals that were given up.
    pub dead_letters: Gauge,
    /// `corallite_batch_records`: records in each batch handed to the store.
    pub batch_records: Histogram,
    /// `corallite_commit_failures_total`: commits that conflicted, timed out or failed.
    pub commit_failures: Counter,
    /// `corallite_records_total`: records appended to the log and durable.
    pub records: Counter,
    /// `corallite_checkpoint_writes_total`: checkpoints written behind the log.
    pub checkpoint_writes: Counter,
    commit_duration: Histogram,
}

impl LaneMetrics {
    /// `corallite_commit_duration_seconds`: from handing a batch to the store to its answer.
    pub fn committed(&self, took: Duration) {
        self.commit_duration.observe(took.as_secs_f64());
    }
}

impl TypeMetrics {
    /// `corallite_activation_duration_seconds{type}`: from asking the store for an actor until it
    /// can execute. Its `_count` is the number of activations.
    pub fn activated(&self, took: Duration) {
        self.activation_duration.observe(took.as_secs_f64());
    }

    fn command(&self, outcome: Option<Outcome>, took: Duration) {
        let index = outcome_index(outcome);
        self.commands[index].inc();
        self.command_duration[index].observe(took.as_secs_f64());
    }
}

/// Counts one command of a client when it ends: `corallite_commands_total{type,outcome}` and
/// `corallite_command_duration_seconds{type,outcome}`, from its arrival at the gateway until its
/// answer is given out. Dropped without an answer, it counts as unknown.
#[derive(Debug)]
pub struct CommandTimer {
    metrics: Arc<TypeMetrics>,
    started: Instant,
    ended: bool,
}

impl CommandTimer {
    /// The answer is given out.
    pub fn end<T>(mut self, answer: &Result<T, Failure>) {
        self.ended = true;
        self.metrics.command(answer.as_ref().err().map(|failure| failure.outcome), self.started.elapsed());
    }
}

impl Drop for CommandTimer {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.command(Some(Outcome::Unknown), self.started.elapsed());
        }
    }
}

/// `None` is applied.
fn outcome_index(outcome: Option<Outcome>) -> usize {
    match outcome {
        None => 0,
        Some(Outcome::Refused) => 1,
        Some(Outcome::NotApplied) => 2,
        Some(Outcome::Unknown) => 3,
    }
}

const OUTCOMES: [&str; 4] = ["applied", "refused", "notApplied", "unknown"];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have not moved.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("corallite");
        registry.register(
            "build",
            "The version of this cell",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        let families = Families::register(&mut registry);
        let shared = Shared::register(&mut registry);
        let unknown_type = Arc::new(families.type_metrics(UNKNOWN_TYPE));
        Self { registry, families, types: RwLock::default(), unknown_type, shared }
    }

    /// The handles of a declared actor type, made when they are asked for first. Only names that
    /// come from the shard's spec may be given: each makes series that stay.
    pub fn declare_type(&self, type_name: &str) -> Arc<TypeMetrics> {
        if let Some(known) = self.types.read().get(type_name) {
            return Arc::clone(known);
        }
        let made = || Arc::new(self.families.type_metrics(type_name));
        Arc::clone(self.types.write().entry(type_name.into()).or_insert_with(made))
    }

    /// The handles of one lane.
    #[must_use]
    pub fn lane(&self, lane: usize) -> LaneMetrics {
        self.families.lane_metrics(&lane.to_string(), &self.shared)
    }

    /// Starts counting one command. A type that was not declared counts as unknown.
    #[must_use]
    pub fn start_command(&self, type_name: &str) -> CommandTimer {
        let metrics = Arc::clone(self.types.read().get(type_name).unwrap_or(&self.unknown_type));
        CommandTimer { metrics, started: Instant::now(), ended: false }
    }

    /// All metrics as text of [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail, and every metric here knows how to write itself.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be written");
        }
        text
    }
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let latency: fn() -> Histogram = || Histogram::new(LATENCY_SECONDS);
        let work: fn() -> Histogram = || Histogram::new(WORK_SECONDS);
        let families = Self {
            commands: Family::default(),
            command_duration: Family::new_with_constructor(latency),
            activation_duration: Family::new_with_constructor(work),
            events: Family::default(),
            snapshots: Family::default(),
            behavior_version: Family::default(),
            behavior_refused: Family::default(),
            resident_actors: Family::default(),
            queued_commands: Family::default(),
            script_heap: Family::default(),
            timers_pending: Family::default(),
            outbox_pending: Family::default(),
            dead_letters: Family::default(),
        };
        families.register_types(registry);
        families.register_lanes(registry);
        families
    }

    fn register_types(&self, registry: &mut Registry) {
        registry.register("commands", "Commands of clients by outcome", self.commands.clone());
        registry.register_with_unit(
            "command_duration",
            "From a command's arrival at the gateway until its answer is given out",
            Unit::Seconds,
            self.command_duration.clone(),
        );
        registry.register_with_unit(
            "activation_duration",
            "From asking the store for an actor until it can execute",
            Unit::Seconds,
            self.activation_duration.clone(),
        );
        registry.register("events", "Events made durable", self.events.clone());
        registry.register("snapshots", "Snapshots made durable", self.snapshots.clone());
        registry.register(
            "behavior_version",
            "Number of the behavior version served",
            self.behavior_version.clone(),
        );
        registry.register(
            "behavior_refused",
            "1 while the configured behavior is refused and an earlier version goes on",
            self.behavior_refused.clone(),
        );
    }

    fn register_lanes(&self, registry: &mut Registry) {
        let gauges = [
            ("resident_actors", "Actors in memory by tier", &self.resident_actors),
            ("queued_commands", "Commands in mailboxes, not yet executed", &self.queued_commands),
            ("timers_pending", "Timers set and neither fired nor cancelled", &self.timers_pending),
            ("outbox_pending", "Messages told and not yet acknowledged", &self.outbox_pending),
            ("dead_letters", "Messages, timers and refusals that were given up", &self.dead_letters),
        ];
        for (name, help, family) in gauges {
            registry.register(name, help, family.clone());
        }
        registry.register_with_unit(
            "script_heap",
            "Memory of a lane's JavaScript runtime",
            Unit::Bytes,
            self.script_heap.clone(),
        );
    }

    fn type_metrics(&self, type_name: &str) -> TypeMetrics {
        let labels: Labels = vec![("type", type_name.into())];
        let of = |outcome: &'static str| vec![("type", type_name.into()), ("outcome", outcome.into())];
        TypeMetrics {
            commands: OUTCOMES.map(|outcome| self.commands.get_or_create_owned(&of(outcome))),
            command_duration: OUTCOMES.map(|outcome| self.command_duration.get_or_create_owned(&of(outcome))),
            activation_duration: self.activation_duration.get_or_create_owned(&labels),
            events: self.events.get_or_create_owned(&labels),
            snapshots: self.snapshots.get_or_create_owned(&labels),
            behavior_version: self.behavior_version.get_or_create_owned(&labels),
            behavior_refused: self.behavior_refused.get_or_create_owned(&labels),
        }
    }

    fn lane_metrics(&self, lane: &str, shared: &Shared) -> LaneMetrics {
        let labels: Labels = vec![("lane", lane.into())];
        let tier = |tier: &'static str| vec![("lane", lane.into()), ("tier", tier.into())];
        LaneMetrics {
            hot_actors: self.resident_actors.get_or_create_owned(&tier("hot")),
            warm_actors: self.resident_actors.get_or_create_owned(&tier("warm")),
            queued_commands: self.queued_commands.get_or_create_owned(&labels),
            script_heap_bytes: self.script_heap.get_or_create_owned(&labels),
            timers_pending: self.timers_pending.get_or_create_owned(&labels),
            outbox_pending: self.outbox_pending.get_or_create_owned(&labels),
            dead_letters: self.dead_letters.get_or_create_owned(&labels),
            batch_records: shared.batch_records.clone(),
            commit_failures: shared.commit_failures.clone(),
            records: shared.records.clone(),
            checkpoint_writes: shared.checkpoint_writes.clone(),
            commit_duration: shared.commit_duration.clone(),
        }
    }
}

impl Shared {
    fn register(registry: &mut Registry) -> Self {
        let shared = Self {
            batch_records: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            commit_duration: Histogram::new(WORK_SECONDS),
            commit_failures: Counter::default(),
            records: Counter::default(),
            checkpoint_writes: Counter::default(),
        };
        let Self { batch_records, commit_duration, commit_failures, records, checkpoint_writes } = &shared;
        registry.register("batch_records", "Records in each batch given to the store", batch_records.clone());
        registry.register_with_unit(
            "commit_duration",
            "From giving a batch to the store until its answer",
            Unit::Seconds,
            commit_duration.clone(),
        );
        registry.register(
            "commit_failures",
            "Commits that conflicted, timed out or failed",
            commit_failures.clone(),
        );
        registry.register("records", "Records appended to the log", records.clone());
        registry.register(
            "checkpoint_writes",
            "Checkpoints written behind the log",
            checkpoint_writes.clone(),
        );
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_counts_once_under_its_outcome() {
        let metrics = Metrics::new();
        metrics.declare_type("Order");
        metrics.start_command("Order").end(&Ok(()));
        metrics.start_command("Order").end::<()>(&Err(Failure::refused("AlreadyPlaced", "")));
        metrics.start_command("Order").end::<()>(&Err(Failure::overloaded("")));
        drop(metrics.start_command("Order"));
        let text = metrics.encode();
        for outcome in OUTCOMES {
            let total = format!("corallite_commands_total{{type=\"Order\",outcome=\"{outcome}\"}} 1\n");
            let count = format!(
                "corallite_command_duration_seconds_count{{type=\"Order\",outcome=\"{outcome}\"}} 1\n"
            );
            assert!(text.contains(&total) && text.contains(&count), "{outcome}:\n{text}");
        }
    }

    #[test]
    fn names_of_callers_never_become_labels() {
        let metrics = Metrics::new();
        metrics.start_command("Made-Up").end(&Ok(()));
        let text = metrics.encode();
        assert!(!text.contains("Made-Up"));
        assert!(
            text.contains("corallite_commands_total{type=\"(unknown)\",outcome=\"applied\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn handles_of_one_lane_are_one() {
        let metrics = Metrics::new();
        let (one, again, other) = (metrics.lane(0), metrics.lane(0), metrics.lane(1));
        one.hot_actors.set(5);
        again.hot_actors.inc();
        other.hot_actors.set(2);
        one.committed(Duration::from_micros(300));
        one.batch_records.observe(3.0);
        let text = metrics.encode();
        assert!(text.contains("corallite_resident_actors{lane=\"0\",tier=\"hot\"} 6\n"), "{text}");
        assert!(text.contains("corallite_resident_actors{lane=\"1\",tier=\"hot\"} 2\n"), "{text}");
        assert!(text.contains("corallite_commit_duration_seconds_bucket{le=\"0.0005\"} 1\n"), "{text}");
        assert!(text.contains("corallite_batch_records_bucket{le=\"4.0\"} 1\n"), "{text}");
    }

    #[test]
    fn every_metric_has_help_and_a_prefix() {
        let metrics = Metrics::new();
        metrics.declare_type("Order");
        let _ = metrics.lane(0);
        let text = metrics.encode();
        assert!(text.contains("corallite_build_info{version="), "{text}");
        let helped = |name: &str| text.contains(&format!("# HELP {name} "));
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap_or_default();
            assert!(name.starts_with("corallite_") && helped(name), "{name}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
