//! Every metric of the operator: its name, its labels, and what makes it move.
//!
//! Guarantees: labels are bounded. Kinds and reasons come from lists in the code; names of shards are
//! never labels.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From a reconcile that finds nothing to do to one that waits for a drain.
const RECONCILE_SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

type Labels = [(&'static str, &'static str); 1];

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Counter,
    failures: Family<Labels, Counter>,
    duration: Histogram,
    writes: Family<Labels, Counter>,
    watch_failures: Family<Labels, Counter>,
    control_failures: Family<Labels, Counter>,
    replaced: Counter,
    shards: Family<Labels, Gauge>,
    leader: Gauge,
    crd_missing: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("corallite_operator"),
            reconciles: Counter::default(),
            failures: Family::default(),
            duration: Histogram::new(RECONCILE_SECONDS),
            writes: Family::default(),
            watch_failures: Family::default(),
            control_failures: Family::default(),
            replaced: Counter::default(),
            shards: Family::default(),
            leader: Gauge::default(),
            crd_missing: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("reconciles", "Reconciles that ended, well or not", self.reconciles.clone());
        r.register("reconcile_failures", "Reconciles that failed, by reason", self.failures.clone());
        r.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.duration.clone(),
        );
        r.register("writes", "Objects written to the API server, by kind", self.writes.clone());
        r.register(
            "watch_failures",
            "Watches that broke and were begun again, by kind",
            self.watch_failures.clone(),
        );
        r.register("control_failures", "Calls to cells that failed, by call", self.control_failures.clone());
        r.register("cells_replaced", "Cells deleted by a rollout", self.replaced.clone());
        r.register("shards", "Shards for which a condition is true", self.shards.clone());
        r.register("leader", "1 while this process holds the lease", self.leader.clone());
        r.register("crd_missing", "1 while the ActorShard definition is not there", self.crd_missing.clone());
    }

    /// The text for a scrape.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Begins to measure a reconcile; it is counted when the guard goes.
    #[must_use]
    pub fn reconcile(self: &Arc<Self>) -> Reconcile {
        Reconcile { metrics: Arc::clone(self), start: Instant::now() }
    }

    /// A reconcile failed.
    pub fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&[("reason", reason)]).inc();
    }

    /// An object was written.
    pub fn wrote(&self, kind: &'static str) {
        self.writes.get_or_create(&[("kind", kind)]).inc();
    }

    /// A watch broke.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&[("kind", kind)]).inc();
    }

    /// A call to a cell failed.
    pub fn control_failed(&self, call: &'static str) {
        self.control_failures.get_or_create(&[("call", call)]).inc();
    }

    /// A rollout deleted a cell.
    pub fn cell_replaced(&self) {
        self.replaced.inc();
    }

    /// How many shards there are for which a condition is true; `All` counts every shard.
    pub fn set_shards(&self, condition: &'static str, count: usize) {
        self.shards.get_or_create(&[("condition", condition)]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Whether the definition is missing.
    pub fn set_crd_missing(&self, missing: bool) {
        self.crd_missing.set(missing.into());
    }
}

/// A reconcile under way.
#[derive(Debug)]
pub struct Reconcile {
    metrics: Arc<Metrics>,
    start: Instant,
}

impl Drop for Reconcile {
    fn drop(&mut self) {
        self.metrics.reconciles.inc();
        self.metrics.duration.observe(self.start.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_names_what_happened() {
        let metrics = Arc::new(Metrics::default());
        drop(metrics.reconcile());
        metrics.failed("refused");
        metrics.wrote("StatefulSet");
        metrics.set_shards("Ready", 2);
        let text = metrics.encode();
        for line in [
            "corallite_operator_reconciles_total 1",
            "corallite_operator_reconcile_failures_total{reason=\"refused\"} 1",
            "corallite_operator_reconcile_duration_seconds_count 1",
            "corallite_operator_writes_total{kind=\"StatefulSet\"} 1",
            "corallite_operator_shards{condition=\"Ready\"} 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
