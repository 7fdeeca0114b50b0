//! The metrics that there are, as the registries of the cell and the operator write them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use corallite_crds::condition;

/// Values by label of one series, such as `corallite_commands_total`.
pub type Labels = BTreeMap<String, BTreeSet<String>>;

/// Every series with its labels.
pub static SERIES: LazyLock<BTreeMap<String, Labels>> = LazyLock::new(|| {
    let mut series = BTreeMap::new();
    for text in [cell(), operator()] {
        text.lines().filter(|line| !line.starts_with('#')).for_each(|line| add(&mut series, line));
    }
    series
});

/// Every metric: a histogram is one here, and several series.
pub fn families() -> BTreeSet<String> {
    let text = cell() + &operator();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// A series shows once something made it; so everything happens once.
fn cell() -> String {
    let metrics = corallite_cell::metrics::Metrics::new();
    metrics.declare_type("Order");
    let _ = metrics.lane(0);
    metrics.start_command("Order").end(&Ok(()));
    metrics.encode()
}

fn operator() -> String {
    let metrics = Arc::new(corallite_operator::metrics::Metrics::default());
    drop(metrics.reconcile());
    metrics.failed("refused");
    metrics.wrote("StatefulSet");
    metrics.watch_failed("Pod");
    metrics.control_failed("status");
    metrics.cell_replaced();
    for condition in
        ["All", condition::ACCEPTED, condition::READY, condition::PROGRESSING, condition::DEGRADED]
    {
        metrics.set_shards(condition, 1);
    }
    metrics.encode()
}

/// Takes up one line, such as `corallite_shards{condition="Ready"} 2`.
fn add(series: &mut BTreeMap<String, Labels>, line: &str) {
    let (name, labels) = match line.split_once('{') {
        Some((name, rest)) => (name, rest.rsplit_once('}').unwrap().0),
        None => (line.split(' ').next().unwrap(), ""),
    };
    let known = series.entry(name.to_owned()).or_default();
    for label in labels.split("\",").filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once("=\"").unwrap();
        known.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
    }
}

#[test]
fn the_registries_are_read() {
    assert!(SERIES["corallite_commands_total"]["outcome"].contains("refused"), "{SERIES:#?}");
    assert!(SERIES["corallite_commit_duration_seconds_bucket"].contains_key("le"));
    assert!(SERIES["corallite_operator_leader"].is_empty());
    assert!(SERIES["corallite_build_info"].contains_key("version"));
}
