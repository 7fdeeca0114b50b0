//! The operator's and the peers' listener: mutual TLS, and `Control` behind it.
//!
//! Guarantees: nobody without a certificate of the shard's CA gets past the handshake, and nobody whose
//! certificate lacks the operator's name ([`OPERATOR_NAME`]) gets an answer from `Control` other than
//! PERMISSION_DENIED. Certificate, key and CA are read again when their files change; connections that
//! come later use the new ones, and older ones end within [`CONNECTION_AGE_MAX`]. A pair that does not
//! work is refused with a log line, and the one in use goes on.
//!
//! It does not revoke: a certificate is good until it ends or its CA is replaced.

mod listen;
mod service;
pub mod tls;

use std::path::PathBuf;
use std::time::Duration;

use corallite_proto::v1::control_server::ControlServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

pub use service::Status;

/// The DNS name in the operator's client certificates.
pub const OPERATOR_NAME: &str = "operator.corallite.dev";
/// A connection ends gracefully after this time, so that it does not outlive its certificates by much.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// How long calls under way may take once the listener stops.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Calls under way on one connection.
const CALLS_MAX: u32 = 64;

/// A running control listener. Dropping it stops it.
pub struct Control {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Control {
    /// Serves `status` on `listener` with the files in `folder`, of which `identity` is the first
    /// reading.
    #[must_use]
    pub fn start(listener: TcpListener, folder: PathBuf, identity: tls::Identity, status: Status) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, folder, identity, status, stopped));
        Self { stop, task }
    }

    /// Stops accepting, and ends what is under way within a second.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_GRACE, &mut self.task).await.is_err() {
            tracing::debug!("control connections were cut off");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    folder: PathBuf,
    identity: tls::Identity,
    status: Status,
    mut stopped: watch::Receiver<bool>,
) {
    let (configs, config) = watch::channel(identity.config.clone());
    let (accepted, incoming) = tokio::sync::mpsc::channel(1);
    let server = tonic::transport::Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .max_connection_age(CONNECTION_AGE_MAX)
        .add_service(ControlServer::new(status))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), async move {
            // The sender is dropped only when this listener is.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
    tokio::select! {
        ended = server => {
            if let Err(error) = ended {
                tracing::error!(%error, "the control listener ended");
            }
        }
        // Accepting ends when the server stops; calls under way then still have their time.
        never = async { listen::accept(listener, config, accepted).await; std::future::pending().await } => never,
        () = tls::follow(folder, identity, configs) => {}
    }
}
