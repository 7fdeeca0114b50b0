//! Puts the operator to work: listener, definitions, lease, watches, reconciles; and its end.
//!
//! Guarantees: the process ends when the lease is lost or a part ends early; it never works without
//! the lease. A missing definition is waited for, and does not end it. After SIGTERM the lease is
//! given up, so that the next operator begins at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corallite_crds::ActorShard;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use kube::Client;
use kube::core::ApiResource;
use kube::runtime::controller::{Action, Error as ControllerError, ReconcileRequest, applier};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::Run;
use crate::context::Context;
use crate::control::Grpc;
use crate::error::Error;
use crate::kind::Kind;
use crate::lease::Candidate;
use crate::metrics::Metrics;
use crate::readiness::{DEFINITION, Readiness, WATCHES};
use crate::shard;
use crate::shard::inputs::Inputs;
use crate::watch::{self, Shard, Watches};

/// How often it is asked which definitions there are.
const DEFINITIONS_PERIOD: Duration = Duration::from_secs(15);
/// The same, while the operator waits for one.
const WAITING_PERIOD: Duration = Duration::from_secs(2);
/// Longest that one reconcile may take; a drain is the longest part of it.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(180);
/// How often what is gone is forgotten, and what is there is counted.
const TIDY_PERIOD: Duration = Duration::from_secs(10);
/// Changes of one shard within this time are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There are no credentials, or none that can be used.
    #[error("cannot talk to Kubernetes: {0}; run it in a pod with a service account, or set KUBECONFIG")]
    Client(#[source] Box<kube::Error>),
    /// The admin address cannot be listened on.
    #[error("cannot listen on the admin address: {0}")]
    Admin(#[source] std::io::Error),
    /// Another operator leads, or may soon.
    #[error("the lease was lost; another operator may lead now")]
    LeaseLost,
    /// A part ended that should not.
    #[error("{0} ended early")]
    Ended(&'static str),
}

/// Everything that parts share.
struct Parts {
    client: Client,
    config: Run,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    service_monitors: Arc<AtomicBool>,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`].
pub async fn run(config: Run) -> Result<(), RunError> {
    let client = connect().await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Admin)?;
    let identity = config.identity();
    let parts = Parts {
        client,
        metrics: Arc::default(),
        readiness: Readiness::default(),
        service_monitors: Arc::default(),
        config,
    };
    parts.readiness.set(DEFINITION, true);
    let config = &parts.config;
    // A connection of its own: a renewal does not queue behind the work on many shards.
    let own = connect().await?;
    let mut candidate =
        Candidate::new(own, &config.namespace, &config.lease_name, &identity, clock::machine());
    let admin = crate::admin::serve(config.admin, Arc::clone(&parts.metrics), parts.readiness.clone());
    let result = tokio::select! {
        ended = admin => Err(ended.map_or_else(RunError::Admin, |()| RunError::Ended("the admin listener"))),
        error = work(&parts, &mut candidate) => Err(error),
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if !matches!(result, Err(RunError::LeaseLost))
        && let Err(error) = candidate.release().await
    {
        tracing::warn!(%error, "the lease was not given up; it runs out");
    }
    result
}

async fn connect() -> Result<Client, RunError> {
    Client::try_default().await.map_err(|error| RunError::Client(Box::new(error)))
}

/// Waits for the definition and the lease, then works. Returns when that comes to an end.
async fn work(parts: &Parts, candidate: &mut Candidate) -> RunError {
    while !look_for_definitions(parts).await {
        tokio::time::sleep(WAITING_PERIOD).await;
    }
    candidate.acquire().await;
    tracing::info!("leading");
    parts.metrics.set_leader(true);
    parts.readiness.set(WATCHES, true);
    tokio::select! {
        () = candidate.hold() => RunError::LeaseLost,
        () = keep_looking(parts) => RunError::Ended("the look for definitions"),
        error = reconcile_all(parts) => error,
    }
}

async fn keep_looking(parts: &Parts) {
    loop {
        tokio::time::sleep(DEFINITIONS_PERIOD).await;
        look_for_definitions(parts).await;
    }
}

/// Whether the definition of `ActorShard` is there, as far as can be told.
async fn look_for_definitions(parts: &Parts) -> bool {
    if let Some(served) = watch::is_served(&parts.client, &Kind::ServiceMonitor.resource()).await {
        parts.service_monitors.store(served, Ordering::Relaxed);
    }
    let served = watch::is_served(&parts.client, &ApiResource::erase::<ActorShard>(&())).await;
    if let Some(served) = served {
        parts.readiness.set(DEFINITION, !served);
        parts.metrics.set_crd_missing(!served);
    }
    served == Some(true)
}

/// Reconciles every shard for as long as it is polled.
async fn reconcile_all(parts: &Parts) -> RunError {
    let inputs = Arc::new(Inputs::default());
    let namespace = parts.config.watch_namespace.as_deref();
    let watches = watch::start(&parts.client, namespace, &inputs, &parts.service_monitors, &parts.metrics);
    let Watches { stores, mut queue, mut tasks } = watches;
    let context = Arc::new(Context {
        client: parts.client.clone(),
        stores: stores.clone(),
        inputs,
        control: Arc::new(Grpc),
        clock: clock::machine(),
        config: parts.config.clone(),
        metrics: Arc::clone(&parts.metrics),
        service_monitors: Arc::clone(&parts.service_monitors),
        memories: parking_lot::Mutex::default(),
    });
    let tidied = Arc::clone(&context);
    let requests = stream::poll_fn(move |task| queue.poll_recv(task))
        .map(|shard| Ok::<_, Infallible>(ReconcileRequest::from(shard)));
    let settings =
        kube::runtime::controller::Config::default().concurrency(parts.config.workers).debounce(DEBOUNCE);
    let reconciles = applier(boxed, shard::retry, context, stores.shards.clone(), requests, settings)
        .for_each(async |result| {
            match result {
                // A child of a shard that is gone was touched, or the failure was logged already.
                Ok(_) | Err(ControllerError::ObjectNotFound(_) | ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => tracing::error!(%error, "reconciler"),
            }
        });
    let ready = async {
        stores.ready().await;
        parts.readiness.set(WATCHES, false);
        loop {
            tidied.tidy();
            tokio::time::sleep(TIDY_PERIOD).await;
        }
    };
    tokio::select! {
        () = reconciles => RunError::Ended("the reconciler"),
        _ = tasks.join_next() => RunError::Ended("a watch"),
        () = ready => RunError::Ended("the housekeeping"),
    }
}

/// [`one`] where the reconciler can move it.
fn boxed(object: Arc<Shard>, context: Arc<Context>) -> BoxFuture<'static, Result<Action, Error>> {
    Box::pin(one(object, context))
}

/// One reconcile on a task of its own: it may take its time, and a defect in it ends only itself.
async fn one(object: Arc<Shard>, context: Arc<Context>) -> Result<Action, Error> {
    context.stores.ready().await;
    let work = tokio::time::timeout(RECONCILE_TIMEOUT, shard::reconcile(object, Arc::clone(&context)));
    match tokio::spawn(work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            let error = Error::Timeout { seconds: RECONCILE_TIMEOUT.as_secs() };
            context.metrics.failed(error.reason());
            Err(error)
        }
        Err(error) => {
            let error = Error::Panicked(error.to_string());
            context.metrics.failed(error.reason());
            Err(error)
        }
    }
}
