//! Step three: the children that a plan comes to. Functions of the plan; they ask nobody.
//!
//! One file per kind. Objects are written as the JSON that manifests have; a test reads each as its
//! Kubernetes type and back, so that no field is misspelled.

mod access;
mod config;
mod disruption;
mod monitor;
mod secrets;
mod service;
mod statefulset;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::validate::Plan;
use crate::certificates::Turned;
use crate::config::Run;
use crate::digest;
use crate::kind::Kind;
use crate::names::{ANNOTATION_APPLIED, labels};

pub(super) use secrets::authority;

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, as it is applied.
    pub object: Value,
}

/// Everything a shard should have.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The children, in the order of their kinds.
    pub children: Vec<Wanted>,
    /// What a cell must be restarted for, as a hash.
    pub rollout_hash: String,
}

/// The children of a shard.
#[must_use]
pub fn objects(plan: &Plan, keys: &Turned, run: &Run) -> Objects {
    let (set, rollout_hash) = statefulset::build(plan, run);
    let mut children = vec![
        access::account(plan),
        secrets::authority(plan, keys),
        secrets::certificate(plan, keys),
        config::build(plan),
        service::cells(plan),
        service::clients(plan),
        access::network(plan, run),
        disruption::build(plan),
        set,
    ];
    children.extend(plan.service_monitor.then(|| monitor::build(plan)));
    Objects { children, rollout_hash }
}

impl Wanted {
    /// An object of a shard: named, labelled, owned, and marked with the hash of what it is.
    fn new(plan: &Plan, kind: Kind, name: String, content: Value) -> Self {
        let mut object = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {
                "name": name,
                "namespace": plan.namespace,
                "labels": labels(&plan.name),
                "ownerReferences": [plan.owner],
            },
        });
        merge(&mut object, content);
        let hash = digest::of_json(&object);
        object["metadata"]["annotations"][ANNOTATION_APPLIED] = hash.into();
        Self { kind, name, object }
    }

    /// The hash that it is marked with.
    #[must_use]
    pub fn hash(&self) -> &str {
        self.object["metadata"]["annotations"][ANNOTATION_APPLIED].as_str().unwrap_or_default()
    }
}

/// What server-side apply does to objects without lists, for the API server of the tests.
#[cfg(test)]
pub(in crate::shard) fn merge_for_tests(into: &mut Value, from: Value) {
    merge(into, from);
}

/// Adds members, objects within objects included.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
