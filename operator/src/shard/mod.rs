//! One shard, from its spec to its cells: fetch, validate, build, apply, status.
//!
//! Guarantees: [`reconcile`] may be run at any time, any number of times, and by several operators at
//! once; a shard that is as it should be is not written to. Only `fetch`, `keys`, `apply`, `perform`
//! and `publish` talk to anybody; what they are told to do is decided by functions.

pub mod apply;
pub mod build;
pub mod cells;
pub mod fetch;
pub mod inputs;
mod keys;
mod perform;
pub mod publish;
pub mod rollout;
pub mod status;
#[cfg(test)]
pub(crate) mod tests;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use corallite_crds::{ActorShard, ActorShardStatus, condition, reason};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;

use crate::certificates::Turned;
use crate::context::Context;
use crate::error::Error;
use crate::kind::Kind;
use crate::names::ANNOTATION_ROLLOUT;
use cells::Cell;
use fetch::World;
use rollout::Step;
use status::Findings;
use validate::{Judgement, Plan};

/// How long a shard is left alone when nothing happens to it. Cells are asked again then.
const RESYNC: Duration = Duration::from_secs(300);
/// How often a shard is looked at while something is under way.
const BUSY: Duration = Duration::from_secs(2);
/// After this long of looking often, looking less often does.
const BUSY_FOR: Duration = Duration::from_secs(180);
/// How often a shard is looked at then.
const LONG_BUSY: Duration = Duration::from_secs(15);
/// Longest wait after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// What a reconcile found and did, as far as it came.
#[derive(Default)]
struct Progress {
    judgement: Judgement,
    /// Hash of what cells should be started with.
    rollout_hash: Option<String>,
    cells: Vec<Cell>,
    step: Option<Step>,
    /// When certificates are to be looked at.
    keys_due: Option<Timestamp>,
}

/// Brings one shard closer to its spec and says where it stands.
///
/// # Errors
/// The last thing that failed; it is in the status too, where that could be written.
pub async fn reconcile(
    object: Arc<DeserializeGuard<ActorShard>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let _measured = context.metrics.reconcile();
    let result = match &object.0 {
        Ok(shard) => reconcile_shard(shard, &context).await,
        Err(invalid) => reconcile_invalid(invalid, &context).await,
    };
    let uid = kube::Resource::meta(object.as_ref()).uid.clone().unwrap_or_default();
    match &result {
        Ok(_) => context.remember(&uid, |memory| memory.failures = 0),
        Err(error) => {
            context.metrics.failed(error.reason());
            context.remember(&uid, |memory| memory.failures += 1);
        }
    }
    result
}

/// When to try again after a failure: later each time, and never all shards at once.
pub fn retry(object: Arc<DeserializeGuard<ActorShard>>, error: &Error, context: Arc<Context>) -> Action {
    let meta = kube::Resource::meta(object.as_ref());
    let failures = context.remember(meta.uid.as_deref().unwrap_or_default(), |memory| memory.failures);
    let delay = backoff(failures, rand::random_range(0.5..1.0));
    tracing::warn!(namespace = meta.namespace, name = meta.name, %error, ?delay, "reconcile failed");
    Action::requeue(delay)
}

/// Half a second, doubled with each failure, times a chance between a half and one.
fn backoff(failures: u32, chance: f64) -> Duration {
    let delay = Duration::from_millis(500).saturating_mul(1 << failures.saturating_sub(1).min(16));
    delay.min(BACKOFF_MAX).mul_f64(chance)
}

async fn reconcile_shard(shard: &ActorShard, context: &Context) -> Result<Action, Error> {
    if shard.metadata.deletion_timestamp.is_some() {
        // The children go with their owner, and volumes as the StatefulSet says.
        return Ok(Action::await_change());
    }
    let before = publish::known(context, shard);
    let mut progress = Progress::default();
    let result = converge(shard, context, &mut progress).await;
    let failure = result.as_ref().err().filter(|error| error.needs_attention()).map(ToString::to_string);
    if result.is_ok() || failure.is_some() {
        let status = describe(shard, &progress, failure.as_deref(), before.as_ref(), (context.clock)());
        let written = publish::status(context, shard, before.as_ref(), status).await;
        result?;
        written?;
    } else {
        result?;
    }
    Ok(Action::requeue(next_look(shard, context, &progress)))
}

/// The five steps. What came of each is in `progress`, also when a later one fails.
async fn converge(shard: &ActorShard, context: &Context, progress: &mut Progress) -> Result<(), Error> {
    let world = fetch::world(shard, context).await?;
    progress.cells.clone_from(&world.cells);
    progress.judgement = validate::judge(shard, &world)?;
    let Some(plan) = &progress.judgement.plan else { return Ok(()) };
    let keys = keys::keep(context, plan, &world).await?;
    progress.keys_due = Some(keys.next);
    let objects = build::objects(plan, &keys, &context.config);
    progress.rollout_hash = Some(objects.rollout_hash.clone());
    let uid = shard.uid().unwrap_or_default();
    apply::all(context, &plan.namespace, &uid, &objects.children, &world.children).await?;
    perform::ask(context, plan, &keys, &mut progress.cells).await?;
    perform::tell(context, plan, &mut progress.cells).await?;
    let step = next_step(context, plan, &world, &objects.rollout_hash, &progress.cells);
    progress.step = Some(step.clone());
    roll(context, plan, &keys, &step, &progress.cells).await
}

fn next_step(context: &Context, plan: &Plan, world: &World, rollout_hash: &str, cells: &[Cell]) -> Step {
    rollout::next(
        cells,
        &rollout::Facts {
            rollout_hash,
            cells: plan.spec.cells,
            template_observed: template_observed(world, &plan.name, rollout_hash),
            deadline: context.config.rollout_deadline,
            now: (context.clock)(),
        },
    )
}

async fn roll(
    context: &Context,
    plan: &Plan,
    keys: &Turned,
    step: &Step,
    cells: &[Cell],
) -> Result<(), Error> {
    if let Step::Replace { cell, drain } = step
        && let Some(cell) = cells.get(*cell)
    {
        perform::replace(context, plan, keys, cell, *drain).await?;
    }
    Ok(())
}

/// Whether the StatefulSet has the wanted template, and its controller has seen it.
fn template_observed(world: &World, name: &str, rollout_hash: &str) -> bool {
    let Some(set) = world.children.get(&(Kind::StatefulSet, name.to_owned())) else { return false };
    let hash =
        set.data.pointer("/spec/template/metadata/annotations").and_then(|all| all.get(ANNOTATION_ROLLOUT));
    let seen = set.data.pointer("/status/observedGeneration").and_then(serde_json::Value::as_i64);
    hash.and_then(|hash| hash.as_str()) == Some(rollout_hash)
        && seen.is_some()
        && seen >= set.metadata.generation
}

fn describe(
    shard: &ActorShard,
    progress: &Progress,
    failure: Option<&str>,
    before: Option<&ActorShardStatus>,
    now: Timestamp,
) -> ActorShardStatus {
    let plan = progress.judgement.plan.as_ref();
    let hashes = progress.rollout_hash.as_deref().zip(plan.map(Plan::config_hash));
    let findings = Findings {
        name: &shard.name_any(),
        generation: shard.metadata.generation,
        wanted: (shard.spec.cells, shard.spec.buckets),
        problem: progress.judgement.problem.as_ref(),
        limitation: progress.judgement.limitation.as_ref(),
        hashes,
        cells: &progress.cells,
        step: progress.step.as_ref(),
        failure,
    };
    status::describe(&findings, before, now)
}

/// When to look again although nothing happened.
fn next_look(shard: &ActorShard, context: &Context, progress: &Progress) -> Duration {
    let config = progress.judgement.plan.as_ref().map(Plan::config_hash);
    let settled = match &progress.step {
        None | Some(Step::Stuck { .. }) => true,
        Some(Step::Settled) => {
            config.is_none_or(|hash| progress.cells.iter().all(|cell| cell.has_config(hash)))
        }
        Some(Step::Wait { .. } | Step::Replace { .. }) => false,
    };
    let since = context.remember(&shard.uid().unwrap_or_default(), |memory| {
        if settled {
            memory.progressing = None;
        }
        (!settled).then(|| memory.progressing.get_or_insert_with(Instant::now).elapsed())
    });
    let look = match since {
        None => RESYNC.mul_f64(rand::random_range(0.8..1.2)),
        Some(since) if since < BUSY_FOR => BUSY,
        Some(_) => LONG_BUSY,
    };
    let keys_due = progress.keys_due.map(|due| due.duration_since((context.clock)()));
    let keys_due =
        keys_due.map(|due| Duration::try_from(due).unwrap_or_default().max(Duration::from_secs(1)));
    keys_due.map_or(look, |due| look.min(due))
}

/// An object that is stored, but is not an `ActorShard`: it came in under another version of the
/// definition. It gets a condition; the others go on.
async fn reconcile_invalid(invalid: &InvalidObject, context: &Context) -> Result<Action, Error> {
    let meta = &invalid.metadata;
    let (namespace, name) =
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
    let (uid, version) =
        (meta.uid.clone().unwrap_or_default(), meta.generation.unwrap_or_default().to_string());
    let message = format!("the object cannot be read: {}; correct that field", invalid.error);
    let told = context.remember(&uid, |memory| memory.status.as_ref().is_some_and(|(on, _)| *on == version));
    if !told && meta.deletion_timestamp.is_none() {
        let now = (context.clock)();
        let not = |type_: &str, reason: &str, message: String| {
            status::conditions_of(type_, false, reason, message, meta.generation, None, now)
        };
        let status = ActorShardStatus {
            observed_generation: meta.generation,
            conditions: vec![
                not(condition::ACCEPTED, reason::INVALID_SPEC, message.clone()),
                not(condition::READY, reason::NOT_ACCEPTED, message),
            ],
            ..ActorShardStatus::default()
        };
        let object = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(corallite_crds::API_VERSION.to_owned()),
            kind: Some("ActorShard".to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()),
            ..Default::default()
        };
        // The API server takes no status at all of an object with a text where a number should be. Then
        // the event is all there is, and one of it is enough.
        if context.remember(&uid, |memory| memory.failures) == 0 {
            publish::announce(context, &object, None, &status).await;
        }
        publish::patch(context, &namespace, &name, Some(&uid), &status).await?;
        context.remember(&uid, |memory| memory.status = Some((version, status)));
    }
    Ok(Action::requeue(RESYNC))
}
