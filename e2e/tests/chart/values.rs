//! The schema of the values: it knows every value there is, and takes no other.

use serde_json::Value;

use crate::{files, helm};

fn schema(chart: &str) -> Value {
    serde_json::from_str(&files::read(&format!("{chart}/values.schema.json"))).unwrap()
}

fn defaults(chart: &str) -> Value {
    serde_yaml::from_str(&files::read(&format!("{chart}/values.yaml"))).unwrap()
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    for (chart, set, key) in [
        (helm::OPERATOR, "replica=2", "replica"),
        (helm::OPERATOR, "image.operator.repo=x", "repo"),
        (helm::OPERATOR, "operator.certificates.lifes=24h", "lifes"),
        (helm::OPERATOR, "resources.request.cpu=1", "request"),
        (helm::DEFINITIONS, "kep=false", "kep"),
    ] {
        let error = helm::refusal(chart, &["--set", set]);
        assert!(error.contains(&format!("'{key}' not allowed")), "{set}: {error}");
    }
}

#[test]
fn a_value_that_cannot_be_is_refused() {
    for (set, field) in [
        ("operator.workers=0", "/operator/workers"),
        ("operator.rolloutDeadline=soon", "/operator/rolloutDeadline"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.cell.digest=latest", "/image/cell/digest"),
        ("cell.memory=lots", "/cell/memory"),
        ("watchNamespace=My_Shops", "/watchNamespace"),
        ("replicas=two", "/replicas"),
    ] {
        let error = helm::refusal(helm::OPERATOR, &["--set", set]);
        assert!(error.contains(field), "{set}: {error}");
    }
}

#[test]
fn what_cannot_work_together_is_refused_with_a_sentence() {
    let set = "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false";
    assert!(helm::refusal(helm::OPERATOR, &["--set", set]).contains("needs metrics.service.enabled"));
    let set = "prometheusRule.enabled=true,prometheusRule.disabled={CoralliteDeadLetter}";
    assert!(
        helm::refusal(helm::OPERATOR, &["--set", set]).contains("there is no alert CoralliteDeadLetter;")
    );
}

#[test]
fn schema_and_defaults_know_the_same_keys() {
    for chart in [helm::OPERATOR, helm::DEFINITIONS] {
        let mut schema = schema(chart);
        // Helm hands it to charts within other charts.
        schema["properties"].as_object_mut().unwrap().remove("global").unwrap();
        compare(&schema, &defaults(chart), chart);
    }
}

fn compare(schema: &Value, defaults: &Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path} takes unknown keys");
    let defaults = defaults.as_object().unwrap_or_else(|| panic!("{path} is no object"));
    for key in defaults.keys() {
        assert!(properties.contains_key(key), "{path}.{key} is not in the schema");
    }
    // What is empty by default has its members in the schema only; so have amounts of resources.
    if defaults.is_empty() || path.ends_with("requests") || path.ends_with("limits") {
        return;
    }
    for (key, property) in properties {
        let value = defaults.get(key).unwrap_or_else(|| panic!("{path}.{key} has no default"));
        compare(property, value, &format!("{path}.{key}"));
    }
}

#[test]
fn every_default_says_what_it_means() {
    for chart in [helm::OPERATOR, helm::DEFINITIONS] {
        let text = files::read(&format!("{chart}/values.yaml"));
        let top = text.split("\n\n").filter(|block| !block.trim().is_empty());
        for block in top {
            assert!(block.contains('#') || block.lines().all(plain), "{chart}: no comment in\n{block}");
        }
    }
}

/// Whether a line is a member that every Kubernetes user knows.
fn plain(line: &str) -> bool {
    [
        "serviceAccount",
        "podAnnotations",
        "podLabels",
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
    ]
    .iter()
    .any(|name| line.starts_with(name))
}
