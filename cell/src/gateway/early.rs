//! The admin listener before there is a cell to ask.
//!
//! Guarantees: from when the addresses are taken until the cell serves, `/livez` is 200, so that a
//! cell that opens a large store is not restarted for it, and `/readyz` is 503 with what is waited
//! for. No connection is lost when the gateway takes over: both accept from the same queue.
//! There are no metrics yet: `/metrics` is 404.

use std::sync::Arc;

use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warp::Filter;

use super::reply;
use super::serve::{Listeners, serve_admin};

/// Answers on the admin listener until it is stopped or dropped.
pub struct Early {
    waits_for: Arc<Mutex<&'static str>>,
    /// Dropping it stops the task too.
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Early {
    /// Begins to answer that the cell waits for something: `the store to be opened`.
    #[must_use]
    pub fn start(listeners: &Listeners, waits_for: &'static str) -> Self {
        let waits_for = Arc::new(Mutex::new(waits_for));
        let (stop, stopped) = watch::channel(false);
        let shown = waits_for.clone();
        let livez = warp::path!("livez").map(|| reply::text(StatusCode::OK, "ok\n".to_owned()));
        let readyz = warp::path!("readyz").map(move || {
            let text = format!("starting: waits for {}\n", shown.lock());
            reply::text(StatusCode::SERVICE_UNAVAILABLE, text)
        });
        let filter = warp::get().and(livez.or(readyz).unify());
        let task = match twin(&listeners.admin) {
            Ok(listener) => Some(tokio::spawn(serve_admin(listener, filter, stopped))),
            Err(error) => {
                tracing::warn!(%error, "health is not answered before the cell serves");
                None
            }
        };
        Self { waits_for, stop, task }
    }

    /// Something else is waited for now.
    pub fn waits_for(&self, what: &'static str) {
        *self.waits_for.lock() = what;
    }

    /// Ends once the answers under way are given; another may accept from then on.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // It panicked or is done; either way nobody accepts any more.
            let _ = tokio::time::timeout(super::serve::ADMIN_GRACE, task).await;
        }
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// A second listener on the same socket.
fn twin(listener: &TcpListener) -> std::io::Result<TcpListener> {
    let socket = std::os::fd::AsFd::as_fd(listener).try_clone_to_owned()?;
    TcpListener::from_std(socket.into())
}
