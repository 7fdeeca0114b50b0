//! Serves the three listeners from start to stop.
//!
//! On a stop, readiness turns first, then gRPC and HTTP take nothing new and finish what is under
//! way; the admin listener goes last, so that the stop can be watched. What outlasts the grace is cut
//! off: its callers do not know the outcome, and learn it by sending the same command id again.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::listen::listen;
use super::{Gateway, Service, admin, grpc, http};
use crate::limits::{CONNECTION_CALLS_MAX, REQUEST_HEAD_MS_MAX, SHUTDOWN_GRACE_MS};
use crate::metrics::Metrics;

/// How often readiness is asked for the gRPC health service.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);
/// How long scrapes under way may take after all else has stopped.
pub(super) const ADMIN_GRACE: Duration = Duration::from_secs(1);
/// Bytes in flight on a gRPC connection and call: enough for a stream at full rate.
const WINDOW_BYTES: u32 = 4 << 20;
/// An idle gRPC connection is asked whether it is alive this often.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Names of the gRPC health service: the whole cell, and its one service that works.
const HEALTH_NAMES: [&str; 2] = ["", "corallite.v1.Actors"];

/// Listeners that are open already, so that the caller knows their ports.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC without TLS.
    pub grpc: TcpListener,
    /// HTTP/1.1.
    pub http: TcpListener,
    /// `/livez`, `/readyz`, `/metrics`.
    pub admin: TcpListener,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every request under way was answered.
    Clean,
    /// Some requests outlasted [`SHUTDOWN_GRACE_MS`] and were cut off; their outcome is unknown to
    /// their callers.
    CutOff,
}

/// Serves until `shutdown` resolves and requests under way are done, at most [`SHUTDOWN_GRACE_MS`]
/// later. The cell must keep running until this returns.
pub async fn serve<S: Service>(
    service: S,
    metrics: Arc<Metrics>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    serve_with_grace(service, metrics, listeners, Duration::from_millis(SHUTDOWN_GRACE_MS), shutdown).await
}

/// [`serve`] with another grace.
pub(super) async fn serve_with_grace<S: Service>(
    service: S,
    metrics: Arc<Metrics>,
    listeners: Listeners,
    grace: Duration,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    let (stop, stopping) = watch::channel(false);
    let (stop_admin, admin_stopping) = watch::channel(false);
    let gateway =
        Gateway { service: service.clone(), metrics: Arc::clone(&metrics), stopping: stopping.clone() };
    let health = HealthReporter::new();
    let services = grpc::Services::new(gateway.clone(), health.clone());
    let admin = serve_admin(
        listeners.admin,
        admin::filter(service.clone(), metrics, stopping.clone()),
        admin_stopping,
    );
    let public = join(
        join(
            serve_grpc(listeners.grpc, services, stopping.clone()),
            report(health, service, stopping.clone()),
        ),
        serve_http(listeners.http, gateway, stopping),
    );
    let traffic = async {
        let mut public = pin!(public);
        tokio::select! {
            _ = &mut public => return Stopped::Clean,
            () = shutdown => {}
        }
        stop.send_replace(true);
        let done = tokio::time::timeout(grace, public).await;
        if done.is_ok() { Stopped::Clean } else { Stopped::CutOff }
    };
    let mut admin = pin!(admin);
    let stopped = tokio::select! {
        stopped = traffic => stopped,
        () = &mut admin => Stopped::CutOff,
    };
    stop_admin.send_replace(true);
    if tokio::time::timeout(ADMIN_GRACE, admin).await.is_err() {
        tracing::debug!("admin connections were cut off");
    }
    if stopped == Stopped::CutOff {
        tracing::warn!(grace_ms = grace.as_millis(), "requests outlasted the grace and were cut off");
    }
    stopped
}

async fn serve_grpc<S: Service>(
    listener: TcpListener,
    services: grpc::Services<S>,
    stop: watch::Receiver<bool>,
) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONNECTION_CALLS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE);
    listen("grpc", listener, stop, |io| builder.serve_connection(io, services.clone())).await;
}

async fn serve_http<S: Service>(listener: TcpListener, gateway: Gateway<S>, stop: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(warp::service(http::filter(gateway)));
    listen("http", listener, stop, |io| http1_builder().serve_connection(io, service.clone())).await;
}

pub(super) async fn serve_admin<F>(listener: TcpListener, filter: F, stop: watch::Receiver<bool>)
where
    F: warp::Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Extract: warp::Reply,
{
    let service = TowerToHyperService::new(warp::service(filter));
    listen("admin", listener, stop, |io| http1_builder().serve_connection(io, service.clone())).await;
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(REQUEST_HEAD_MS_MAX))
        .pipeline_flush(true);
    builder
}

/// Keeps the gRPC health service at what readiness says, until a stop.
async fn report<S: Service>(mut health: HealthReporter, service: S, mut stop: watch::Receiver<bool>) {
    let mut said = None;
    loop {
        let serving = !*stop.borrow() && service.ready().is_ok();
        if said != Some(serving) {
            let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            for name in HEALTH_NAMES {
                health.set_service_status(name, status).await;
            }
            said = Some(serving);
        }
        if *stop.borrow() {
            break;
        }
        let _ = tokio::time::timeout(HEALTH_INTERVAL, stop.wait_for(|stop| *stop)).await;
    }
    // Watches of a status never end by themselves and would use up the grace.
    for name in HEALTH_NAMES {
        health.clear_service_status(name).await;
    }
}
