//! One run of the cell's process, from its flags to its exit code.
//!
//! Start: config, certificates, addresses, cell, then the control listener and the watch on the
//! config. Stop: the public listeners finish, the lanes write out, the control listener goes last, so
//! that the operator can see the stop.

pub mod args;
mod memory;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use corallite_cell::config::follow::{Report, follow};
use corallite_cell::config::{self, ConfigError, Rendered};
use corallite_cell::control::tls::{Identity, TlsError};
use corallite_cell::control::{Control, Status};
use corallite_cell::serve::{self, Config, DeliveryLimits, Listeners, Running, StartError, StoreConfig};
use corallite_cell::signals::Signals;
use corallite_cell::telemetry::{self, LogFormat, TelemetryError};
use tokio::net::TcpListener;

use crate::process::args::Args;

/// The store's folder in the data folder, which a volume may share with its own `lost+found`.
const STORE_FOLDER: &str = "store";
/// How long blocking work may take after everything else has ended.
const RUNTIME_GRACE: Duration = Duration::from_secs(5);

/// Why the process ended before it was asked to, in a sentence.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("--log: {0}")]
    Log(#[source] TelemetryError),
    #[error("cannot start threads: {0}")]
    Runtime(#[source] std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error(
        "--tls (CORALLITE_TLS) is missing: a cell in a cluster has no control listener without tls.crt, \
         tls.key and ca.crt; the operator mounts them from Secret <shard>-tls. To run a shard without a \
         cluster, use `corallite dev`"
    )]
    NoTls,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address} for peers: {source}")]
    Peers { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write the addresses to {path:?}: {source}")]
    AddressesFile { path: PathBuf, source: std::io::Error },
    #[error("{0}; nothing that was answered is lost, start again")]
    Ended(String),
    #[error("stopped before it was done, by a second signal; nothing that was answered is lost")]
    Interrupted,
}

/// Serves until it is told to stop.
pub fn run(args: Args) -> ExitCode {
    let termination_log = args.termination_log.clone();
    let ended = telemetry::init(LogFormat::Json, &args.log).map_err(Error::Log).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(Error::Runtime)?;
        let ended = runtime.block_on(serve(args));
        // A second signal does not wait for what is still running.
        let grace = if matches!(ended, Err(Error::Interrupted)) { Duration::ZERO } else { RUNTIME_GRACE };
        runtime.shutdown_timeout(grace);
        ended
    });
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let sentence = error.to_string();
    if matches!(error, Error::Log(_)) {
        eprintln!("error: {sentence}");
    } else {
        tracing::error!("{sentence}");
    }
    write_termination_log(&termination_log, &sentence);
    ExitCode::FAILURE
}

async fn serve(args: Args) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let folder = args.tls.clone().ok_or(Error::NoTls)?;
    let identity = Identity::read(&folder)?;
    let rendered = config::read(&args.config)?;
    let listener = TcpListener::bind(args.peers).await;
    let listener = listener.map_err(|source| Error::Peers { address: args.peers, source })?;
    let mut peers = args.peers;
    peers.set_port(listener.local_addr().map_or(args.peers.port(), |address| address.port()));
    let running = tokio::select! {
        started = serve::start(config_of(&args, &rendered)) => started?,
        () = signals.next() => return Err(Error::Interrupted),
    };
    let addresses = running.addresses();
    let (report, following) = follow_config(&args.config, rendered, &running);
    let status = Status::new(&args.name, running.served().clone(), report);
    let control = Control::start(listener, folder, identity, status.clone());
    if let Some(path) = &args.addresses_file {
        write_addresses(path, addresses, peers)
            .map_err(|source| Error::AddressesFile { path: path.clone(), source })?;
    }
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(cell = args.name, version, grpc = %addresses.grpc, http = %addresses.http, %peers, "serving");
    until_stopped(running, &mut signals, following, status).await?;
    control.stop().await;
    tracing::info!("stopped; everything that was answered is kept");
    Ok(())
}

/// Serves until a signal, then stops.
async fn until_stopped(
    mut running: Running,
    signals: &mut Signals,
    following: impl Future<Output = Infallible>,
    status: Status,
) -> Result<(), Error> {
    tokio::select! {
        () = signals.next() => {}
        part = running.ended() => return Err(Error::Ended(part)),
        never = following => match never {},
    }
    tracing::info!("stopping");
    status.drain();
    tokio::select! {
        () = running.shutdown() => Ok(()),
        () = signals.next() => Err(Error::Interrupted),
    }
}

fn config_of(args: &Args, rendered: &Rendered) -> Config {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let memory = args.memory.as_ref().map_or_else(memory::budget_bytes, corallite_crds::Quantity::bytes);
    Config {
        spec: rendered.spec.clone(),
        store: StoreConfig::Embedded { path: args.data.join(STORE_FOLDER) },
        lanes: args.lanes.map_or_else(processors, usize::from),
        listeners: Listeners { grpc: args.grpc, http: args.http, admin: args.admin },
        hot_actors_max: args.hot_actors,
        memory_bytes_max: usize::try_from(memory).unwrap_or(usize::MAX),
        deliveries: DeliveryLimits::default(),
    }
}

/// Reports the config that was started with, and follows what comes after it.
fn follow_config(
    folder: &Path,
    rendered: Rendered,
    running: &Running,
) -> (Report, impl Future<Output = Infallible> + use<>) {
    for (type_name, error) in running.refused() {
        tracing::warn!(%type_name, %error, "a behavior is refused, the stored version is served");
    }
    let report = Report::default();
    report.processed(&rendered.hash, None);
    let served = running.served().clone();
    let following = follow(folder.to_owned(), rendered, served, report.clone());
    (report, following)
}

/// Writes beside the file and renames, so that a reader sees all of it or nothing.
fn write_addresses(path: &Path, addresses: Listeners, peers: SocketAddr) -> std::io::Result<()> {
    let Listeners { grpc, http, admin } = addresses;
    let text = serde_json::json!({ "grpc": grpc, "http": http, "admin": admin, "peers": peers });
    let beside = path.with_extension("part");
    std::fs::write(&beside, format!("{text}\n"))?;
    std::fs::rename(beside, path)
}

/// Kubernetes makes the file and shows its content in the pod's status. Elsewhere there is none.
fn write_termination_log(path: &Path, sentence: &str) {
    let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
    if let Ok(mut file) = file {
        // The sentence is in the log as well.
        let _ = std::io::Write::write_all(&mut file, sentence.as_bytes());
    }
}
