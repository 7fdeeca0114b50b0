//! Puts a status onto its object, and tells of what newly needs attention.

use corallite_crds::{ActorShard, ActorShardStatus, condition, reason};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::names::{FIELD_MANAGER, REPORTER};

/// Bytes of an event's note at most, which the API server enforces.
const NOTE_BYTES_MAX: usize = 1000;
/// Reasons that are worth an event when a condition comes to have them.
const TOLD: [&str; 9] = [
    reason::INPUT_MISSING,
    reason::INPUT_TOO_LARGE,
    reason::INVALID_SPEC,
    reason::NOT_SUPPORTED,
    reason::BEHAVIOR_REFUSED,
    reason::ROLLOUT_STUCK,
    reason::CELL_FAILING,
    reason::VOLUME_SIZE_FIXED,
    reason::RECONCILE_FAILED,
];

/// The status an object has, as far as anybody knows: the one written last, while the watch has not
/// brought it yet.
#[must_use]
pub fn known(context: &Context, shard: &ActorShard) -> Option<ActorShardStatus> {
    let version = shard.resource_version();
    context.remember(&shard.uid().unwrap_or_default(), |memory| match &memory.status {
        Some((on, status)) if Some(on) == version.as_ref() => Some(status.clone()),
        _ => shard.status.clone(),
    })
}

/// Writes a status if it differs from the one before.
///
/// # Errors
/// The API server does not take it. An object that is gone meanwhile is no error.
pub async fn status(
    context: &Context,
    shard: &ActorShard,
    before: Option<&ActorShardStatus>,
    status: ActorShardStatus,
) -> Result<(), Error> {
    if before == Some(&status) {
        return Ok(());
    }
    let (namespace, name) = (shard.namespace().unwrap_or_default(), shard.name_any());
    patch(context, &namespace, &name, shard.meta().uid.as_deref(), &status).await?;
    announce(context, &shard.object_ref(&()), before, &status).await;
    let version = shard.resource_version().unwrap_or_default();
    context.remember(&shard.uid().unwrap_or_default(), |memory| memory.status = Some((version, status)));
    Ok(())
}

/// Applies a status. With a uid, an object of the same name that came later does not get it.
pub(super) async fn patch(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    status: &ActorShardStatus,
) -> Result<(), Error> {
    let api: Api<ActorShard> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": corallite_crds::API_VERSION,
        "kind": "ActorShard",
        "metadata": { "name": name, "uid": uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    // The answer is not read as an ActorShard: an object that is not one gets a status too.
    let api = api.into_client();
    let resource = kube::core::ApiResource::erase::<ActorShard>(&());
    let api: Api<kube::api::DynamicObject> = Api::namespaced_with(api, namespace, &resource);
    match api.patch_status(name, &params, &Patch::Apply(&body)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => {
            result.map_err(Error::of(format!("write the status of ActorShard {name}")))?;
            context.metrics.wrote("ActorShard");
            Ok(())
        }
    }
}

/// Publishes an event for each condition that newly says something a person should hear. Failing to
/// do so is logged and nothing more.
pub(super) async fn announce(
    context: &Context,
    object: &ObjectReference,
    before: Option<&ActorShardStatus>,
    status: &ActorShardStatus,
) {
    for now in status.conditions.iter().filter(|now| TOLD.contains(&now.reason.as_str())) {
        let was = before.and_then(|before| before.conditions.iter().find(|was| was.type_ == now.type_));
        if was.is_some_and(|was| was.reason == now.reason && was.message == now.message) {
            continue;
        }
        let action = if now.type_ == condition::ACCEPTED { "Accept" } else { "Reconcile" };
        let event = Event {
            type_: EventType::Warning,
            reason: now.reason.clone(),
            note: Some(cut(&now.message).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        let reporter =
            Reporter { controller: REPORTER.to_owned(), instance: context.config.identity.clone() };
        // A recorder folds events of one reason into the first, with its text; here each text is new.
        let recorder = Recorder::new(context.client.clone(), reporter);
        if let Err(error) = recorder.publish(&event, object).await {
            tracing::warn!(%error, reason = now.reason, "event not published");
        }
    }
}

/// As much of a text as fits into a note.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(NOTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
