//! The shard's authority, which nothing mounts, and the certificate, which cells do.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::Wanted;
use crate::certificates::Turned;
use crate::kind::Kind;
use crate::names;
use crate::shard::validate::Plan;

pub(in crate::shard) fn authority(plan: &Plan, keys: &Turned) -> Wanted {
    let content = json!({ "type": "Opaque", "data": encoded(keys.ring.data()) });
    Wanted::new(plan, Kind::Secret, names::authority(&plan.name), content)
}

pub(super) fn certificate(plan: &Plan, keys: &Turned) -> Wanted {
    let content = json!({ "type": "kubernetes.io/tls", "data": encoded(keys.leaf.data(&keys.ring)) });
    Wanted::new(plan, Kind::Secret, names::tls(&plan.name), content)
}

/// Texts as a Secret has them.
fn encoded(data: impl IntoIterator<Item = (String, String)>) -> Value {
    data.into_iter().map(|(key, text)| (key, json!(ByteString(text.into_bytes())))).collect()
}
