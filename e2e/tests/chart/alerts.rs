//! Every alert can fire, says how bad it is, and has a runbook.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{files, promql};

const ALERTS: &str = "charts/corallite/alerts";
const RUNBOOKS: &str = "charts/corallite/runbooks";

/// The file of one alert. A field that Prometheus would not know is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alert {
    alert: String,
    expr: String,
    r#for: corallite_crds::Duration,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn alerts() -> Vec<Alert> {
    let read = |(name, text): (String, String)| {
        let alert: Alert = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(alert.alert, name, "the file is named after its alert");
        alert
    };
    files::all(ALERTS, "yaml").into_iter().map(read).collect()
}

/// The labels that a text speaks of, such as `{{ $labels.pod }}`.
fn labels_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("$labels.").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn every_alert_asks_for_what_there_is() {
    for alert in alerts() {
        let query = promql::check(&alert.expr).unwrap_or_else(|error| panic!("{}: {error}", alert.alert));
        assert!(alert.expr.contains(['>', '<', '=']), "{} compares nothing", alert.alert);
        for (key, text) in &alert.annotations {
            for label in labels_in(text) {
                let kept = query.grouped.contains(label);
                assert!(kept, "{}: {key} speaks of {label}, which the query drops", alert.alert);
            }
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_it_saw() {
    for Alert { alert, r#for, labels, annotations, .. } in alerts() {
        assert!(alert.starts_with("Corallite"), "{alert} is not told apart from others' alerts");
        assert!(r#for.milliseconds() >= 60_000, "{alert} fires at one bad moment");
        let severity = labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{alert}: severity {severity:?}");
        let keys: Vec<_> = annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook_url", "summary"], "{alert}");
        for (key, text) in annotations {
            assert_eq!(text.matches("{{").count(), text.matches("}}").count(), "{alert}: {key}");
        }
    }
}

#[test]
fn every_alert_has_its_runbook() {
    let runbooks = files::all(RUNBOOKS, "md");
    let alerts = alerts();
    for Alert { alert, labels, annotations, .. } in &alerts {
        assert_eq!(annotations["runbook_url"], format!("runbooks/{alert}.md"));
        let runbook = runbooks.get(alert).unwrap_or_else(|| panic!("{alert} has no runbook in {RUNBOOKS}"));
        assert!(runbook.starts_with(&format!("# {alert}\n")), "{alert}: another title");
        assert!(runbook.contains(&annotations["summary"]), "{alert}: another summary");
        let severity = format!("Severity: {}.", labels["severity"]);
        assert!(runbook.contains(&severity), "{alert}: the runbook does not say {severity:?}");
        let headings = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect::<Vec<_>>();
        assert_eq!(headings, ["Meaning", "Impact", "Diagnosis", "Mitigation"], "{alert}");
    }
    let names: BTreeSet<_> = alerts.iter().map(|alert| &alert.alert).collect();
    for (name, runbook) in &runbooks {
        assert!(names.contains(name), "{RUNBOOKS}/{name}.md is of no alert");
        let words = runbook.split(|c: char| !c.is_alphanumeric());
        for word in words.filter(|word| word.starts_with("Corallite") && *word != "Corallite") {
            assert!(names.contains(&word.to_owned()), "{name} sends to {word}, which is no alert");
        }
    }
}
