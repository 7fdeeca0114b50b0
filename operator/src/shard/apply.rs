//! Step four: makes the children be as they should. The only writer of children.
//!
//! Guarantees: an object that is as it should be is not written, and not even asked for; one that is
//! not (missing, edited by hand, or wanted otherwise) is applied server-side, by one field manager, by
//! force. What carries the shard's label and is not wanted is deleted. Doing it twice, or by two
//! operators at once, comes to the same.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::build::Wanted;
use super::fetch::Children;
use crate::context::Context;
use crate::error::Error;
use crate::kind::Kind;
use crate::names::{FIELD_MANAGER, LABEL_MANAGED_BY};

/// The status of an answer that says: this object would not be valid.
const UNPROCESSABLE: u16 = 422;

/// Applies what differs, in order, then removes what is left over.
///
/// # Errors
/// A request fails. What was applied before it stays.
pub async fn all(
    context: &Context,
    namespace: &str,
    uid: &str,
    wanted: &[Wanted],
    live: &Children,
) -> Result<(), Error> {
    for wanted in wanted {
        let live = live.get(&(wanted.kind, wanted.name.clone())).map(AsRef::as_ref);
        if !is_as_wanted(live, wanted) && !was_just_applied(context, uid, live, wanted) {
            apply(context, namespace, uid, wanted, live).await?;
        }
    }
    prune(context, namespace, uid, wanted, live).await
}

/// Whether the API server gave this very version as its answer to this very wish. Then applying it
/// again changes nothing, whatever the difference is: something else in the cluster insists on it.
fn was_just_applied(context: &Context, uid: &str, live: Option<&DynamicObject>, wanted: &Wanted) -> bool {
    let Some(version) = live.and_then(|live| live.metadata.resource_version.as_deref()) else { return false };
    context.remember(uid, |memory| {
        let applied = memory.applied.get(&(wanted.kind, wanted.name.clone()));
        applied.is_some_and(|(at, hash)| at == version && hash == wanted.hash())
    })
}

async fn apply(
    context: &Context,
    namespace: &str,
    uid: &str,
    wanted: &Wanted,
    live: Option<&DynamicObject>,
) -> Result<(), Error> {
    let (kind, name) = (wanted.kind, &wanted.name);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let api = api(context, kind, namespace);
    let apply = async || api.patch(name, &params, &Patch::Apply(&wanted.object)).await;
    let applied = match (apply().await, live.and_then(|live| lists(live, wanted))) {
        (Err(kube::Error::Api(status)), Some(lists)) if status.code == UNPROCESSABLE => {
            write_lists(context, namespace, wanted, &lists).await?;
            apply().await
        }
        (applied, _) => applied,
    };
    let applied = applied.map_err(Error::of(format!("apply {} {name}", kind.name())))?;
    tracing::info!(kind = kind.name(), namespace, name, "applied");
    context.metrics.wrote(kind.name());
    let version = applied.metadata.resource_version.unwrap_or_default();
    context.remember(uid, |memory| {
        memory.applied.insert((kind, name.clone()), (version, wanted.hash().to_owned()));
    });
    Ok(())
}

/// Writes whole lists over those that there are. Applying leaves the items of others in a list, and
/// an item that somebody edited is one of theirs as soon as its key is another: a Service whose port
/// was given another number would then have two ports of one name, which the API server refuses.
async fn write_lists(
    context: &Context,
    namespace: &str,
    wanted: &Wanted,
    lists: &Value,
) -> Result<(), Error> {
    let (kind, name) = (wanted.kind, &wanted.name);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let written = api(context, kind, namespace).patch(name, &params, &Patch::Merge(lists)).await;
    written.map_err(Error::of(format!("put back {} {name}", kind.name())))?;
    tracing::info!(kind = kind.name(), namespace, name, "lists put back");
    context.metrics.wrote(kind.name());
    Ok(())
}

/// The lists of the spec that are not as wanted, for a merge patch of just the version that was looked
/// at; `None` if there are none.
fn lists(live: &DynamicObject, wanted: &Wanted) -> Option<Value> {
    let spec = differing_lists(live.data.get("spec")?, wanted.object.get("spec")?)?;
    Some(json!({ "metadata": { "resourceVersion": live.metadata.resource_version }, "spec": spec }))
}

fn differing_lists(live: &Value, wanted: &Value) -> Option<Value> {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let members = wanted.iter().filter_map(|(key, wanted)| {
                differing_lists(live.get(key)?, wanted).map(|member| (key.clone(), member))
            });
            let members: serde_json::Map<_, _> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        (Value::Array(_), Value::Array(_)) if !covers(live, wanted) => Some(wanted.clone()),
        _ => None,
    }
}

async fn prune(
    context: &Context,
    namespace: &str,
    uid: &str,
    wanted: &[Wanted],
    live: &Children,
) -> Result<(), Error> {
    for ((kind, name), object) in live {
        let is_wanted = wanted.iter().any(|wanted| wanted.kind == *kind && wanted.name == *name);
        if is_wanted || !is_ours(object, uid) || object.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let only_this = Preconditions { uid: object.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::background().preconditions(only_this);
        match api(context, *kind, namespace).delete(name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            result => {
                result.map_err(Error::of(format!("delete {} {name}", kind.name())))?;
                tracing::info!(kind = kind.name(), namespace, name, "deleted: no longer wanted");
                context.metrics.wrote(kind.name());
            }
        }
    }
    Ok(())
}

/// Whether an object with the shard's label is the operator's to delete: it says so, and belongs to
/// this shard or to nobody.
fn is_ours(object: &DynamicObject, uid: &str) -> bool {
    let managed = object.labels().get(LABEL_MANAGED_BY).is_some_and(|label| label == FIELD_MANAGER);
    let owners = object.owner_references();
    managed && (owners.is_empty() || owners.iter().any(|owner| owner.uid == uid))
}

/// An [`Api`] of a kind of child.
pub(super) fn api(context: &Context, kind: Kind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), namespace, &kind.resource())
}

/// Whether everything that is wanted is there. What others added, and what the API server filled in,
/// does not count; a field that is no longer wanted shows in the hash.
fn is_as_wanted(live: Option<&DynamicObject>, wanted: &Wanted) -> bool {
    let Some(live) = live else { return false };
    let Ok(metadata) = serde_json::to_value(&live.metadata) else { return false };
    wanted.object.as_object().is_some_and(|members| {
        members.iter().all(|(key, value)| match key.as_str() {
            "metadata" => covers(&metadata, value),
            "apiVersion" | "kind" => true,
            _ => live.data.get(key).map_or_else(|| is_empty(value), |live| covers(live, value)),
        })
    })
}

/// Whether `live` has all that `wanted` has. Lists are compared item by item.
fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| live.get(key).map_or_else(|| is_empty(value), |live| covers(live, value))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// What the API server leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_of_others_are_not_drift() {
        let wanted = json!({ "a": 1, "list": [{ "name": "x" }], "nothing": {} });
        assert!(covers(&json!({ "a": 1, "b": 2, "list": [{ "name": "x", "default": true }] }), &wanted));
        assert!(!covers(&json!({ "a": 2, "list": [{ "name": "x" }] }), &wanted), "another value");
        assert!(!covers(&json!({ "a": 1, "list": [] }), &wanted), "an item is gone");
        assert!(
            !covers(&json!({ "a": 1, "list": [{ "name": "x" }, { "name": "y" }] }), &wanted),
            "an item more"
        );
        assert!(!covers(&json!({ "list": [{ "name": "x" }] }), &wanted), "a field is gone");
    }
    #[test]
    fn only_lists_that_differ_are_put_back() {
        let wanted = json!({ "type": "ClusterIP", "ports": [{ "port": 7070 }], "same": [1] });
        let edited = json!({ "type": "NodePort", "ports": [{ "port": 9999 }], "same": [1] });
        assert_eq!(differing_lists(&edited, &wanted), Some(json!({ "ports": [{ "port": 7070 }] })));
        let defaulted = json!({ "ports": [{ "port": 7070, "protocol": "TCP" }], "same": [1] });
        assert_eq!(differing_lists(&defaulted, &wanted), None);
    }
}
