//! The operator's listener: is it alive, is it ready, what does it count.
//!
//! Guarantees: `/livez` says only that the process serves, so that a cell that waits for its store is
//! not restarted; `/readyz` is 503 with a sentence while anything is waited for, and while stopping.

use std::sync::Arc;

use hyper::StatusCode;
use tokio::sync::watch;
use warp::Filter;
use warp::reply::Response;

use super::{Service, reply};
use crate::metrics::{CONTENT_TYPE, Metrics};

/// The routes of the admin listener.
pub(super) fn filter<S: Service>(
    service: S,
    metrics: Arc<Metrics>,
    stopping: watch::Receiver<bool>,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone {
    let livez = warp::path!("livez").map(|| reply::text(StatusCode::OK, "ok\n".to_owned()));
    let readyz = warp::path!("readyz").map(move || ready(&service, *stopping.borrow()));
    let metrics = warp::path!("metrics").map(move || reply::typed(CONTENT_TYPE, metrics.encode()));
    warp::get().and(livez.or(readyz).unify().or(metrics).unify())
}

fn ready(service: &impl Service, stopping: bool) -> Response {
    if stopping {
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match service.ready() {
        Ok(()) => reply::text(StatusCode::OK, "ready\n".to_owned()),
        Err(waits_for) => reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("{waits_for}\n")),
    }
}
