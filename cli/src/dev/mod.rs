//! `corallite dev`: a shard on this machine, with its behaviors taken anew whenever they change.
//!
//! Guarantees: the first Ctrl-C or SIGTERM loses nothing that was answered; the second ends at once,
//! which loses nothing that was answered either. Does not run more than one shard.

mod banner;
mod cell;
mod local;
mod watch;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use corallite_cell::signals::Signals;
use corallite_cell::spec::ShardSpec;
use corallite_cell::spec::change::{Change, changes};
use tracing_subscriber::EnvFilter;

use crate::dev::cell::{Config, DeliveryLimits, Listeners, Running, StoreConfig};
use crate::{exit, manifest};

const EXAMPLES: &str = "\
Examples:
  corallite dev examples/shop
  corallite dev shop.yaml --ephemeral --lanes 1
  corallite dev examples/shop --data /var/lib/shop --http 0.0.0.0:8080

PATH is a manifest or a folder of manifests. They must declare one ActorShard: each
run of dev serves one. A changed behavior is taken at once; if it is refused, the old one goes on.
Ctrl-C stops and loses nothing; a second one stops at once. Logs go to standard error and follow
RUST_LOG.";

/// What is logged unless `RUST_LOG` says otherwise: what the database does is its own business.
const LOGGED: &str = "info,fjall=warn,lsm_tree=warn";

/// Runs a shard on this machine.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Manifests, or folders of manifests
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where the shard is kept [default: ./corallite-data/<namespace>-<shard>]
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data: Option<PathBuf>,
    /// Keep nothing: everything is gone when this stops
    #[arg(long)]
    ephemeral: bool,
    /// Threads that run behaviors [default: one per processor]
    #[arg(long, value_name = "N", value_parser = parse_lanes)]
    lanes: Option<usize>,
    /// Where to listen for gRPC; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7070", value_name = "ADDRESS")]
    grpc: SocketAddr,
    /// Where to listen for HTTP
    #[arg(long, default_value = "127.0.0.1:7080", value_name = "ADDRESS")]
    http: SocketAddr,
    /// Where to listen for health checks and metrics
    #[arg(long, default_value = "127.0.0.1:7090", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Actors kept as live objects, all lanes together
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    hot_actors: usize,
    /// Memory for actors, all lanes together, in MiB
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    memory_mib: usize,
    /// Write the addresses to this file as JSON once everything is served
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
}

fn parse_lanes(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1_024).contains(n)).ok_or_else(|| "a number from 1 to 1024".to_owned())
}

/// Why `dev` ended before it was asked to.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the manifests have errors:\n{0}")]
    Manifest(String),
    #[error("no ActorShard is declared in {0}")]
    NoShard(String),
    #[error(
        "the manifests declare the ActorShards {0}; dev serves one at a time, so name the manifest of one"
    )]
    SeveralShards(String),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error("cannot watch the manifests for changes: {0}")]
    Watch(#[source] notify::Error),
    #[error("{0}")]
    Start(#[source] cell::StartError),
    #[error("cannot write the addresses to {path:?}: {source}")]
    AddressesFile { path: PathBuf, source: std::io::Error },
    #[error("{0}; nothing that was answered is lost, start again")]
    Ended(String),
    #[error("stopped before it was done")]
    Interrupted,
}

/// Serves until it is told to stop.
pub fn run(args: Args) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    log.with_writer(std::io::stderr).compact().init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return exit::LOCAL.into();
        }
    };
    let end = runtime.block_on(serve(&args));
    // After a second Ctrl-C nobody waits for what is still running.
    runtime.shutdown_background();
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit::LOCAL.into()
        }
    }
}

async fn serve(args: &Args) -> Result<(), Error> {
    let Reading { mut spec, files, warnings } = load(&args.paths)?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    let mut signals = Signals::listen().map_err(Error::Signals)?;
    let mut changes = watch::changes(args.paths.iter().chain(&files)).map_err(Error::Watch)?;
    let config = config(args, &spec);
    let store = config.store.clone();
    let mut running = tokio::select! {
        started = cell::start(config) => started.map_err(Error::Start)?,
        () = signals.next() => return Err(Error::Interrupted),
    };
    let addresses = running.addresses();
    say(&banner::text(&spec, &store, addresses, running.interfaces()));
    if let Some(path) = &args.addresses_file {
        write_addresses(path, addresses)
            .map_err(|source| Error::AddressesFile { path: path.clone(), source })?;
    }
    for (type_name, error) in running.refused() {
        say(&format!("{type_name}: refused, the stored version goes on: {error}\n"));
    }
    loop {
        tokio::select! {
            () = signals.next() => break,
            part = running.ended() => return Err(Error::Ended(part)),
            () = changes.next() => reload(&running, &mut spec, &args.paths).await,
        }
    }
    say("stopping; everything answered is kept. Ctrl-C again stops at once\n");
    tokio::select! {
        () = running.shutdown() => Ok(()),
        () = signals.next() => Err(Error::Interrupted),
    }
}

/// What the manifests say now, and the files that say it.
struct Reading {
    spec: ShardSpec,
    files: BTreeSet<PathBuf>,
    warnings: Vec<String>,
}

fn load(paths: &[PathBuf]) -> Result<Reading, Error> {
    let loaded = manifest::load(paths);
    let (errors, warnings): (Vec<_>, Vec<_>) = loaded.findings.iter().partition(|finding| finding.is_error());
    if !errors.is_empty() {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Error::Manifest(lines.join("\n")));
    }
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    warnings.extend(loaded.shards.iter().flat_map(local::differences).map(|finding| finding.to_string()));
    let mut specs: Vec<ShardSpec> = loaded.shards.into_iter().map(|shard| shard.spec).collect();
    match (specs.pop(), specs.is_empty()) {
        (Some(spec), true) => Ok(Reading { spec, files: loaded.files, warnings }),
        (Some(last), false) => {
            specs.push(last);
            let names: Vec<String> = specs.into_iter().map(|spec| spec.name).collect();
            Err(Error::SeveralShards(names.join(", ")))
        }
        (None, _) => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            Err(Error::NoShard(paths.join(", ")))
        }
    }
}

fn config(args: &Args, spec: &ShardSpec) -> Config {
    let store = if args.ephemeral {
        StoreConfig::Memory
    } else {
        let folder = format!("{}-{}", spec.namespace, spec.name);
        let path = args.data.clone().unwrap_or_else(|| Path::new("corallite-data").join(folder));
        StoreConfig::Embedded { path }
    };
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    Config {
        spec: spec.clone(),
        store,
        lanes: args.lanes.unwrap_or_else(processors),
        listeners: Listeners { grpc: args.grpc, http: args.http, admin: args.admin },
        hot_actors_max: args.hot_actors,
        memory_bytes_max: args.memory_mib << 20,
        deliveries: DeliveryLimits::default(),
    }
}

/// Reads the manifests again and takes what is new. What is refused is tried again only when it
/// changes again.
async fn reload(running: &Running, spec: &mut ShardSpec, paths: &[PathBuf]) {
    let after = match load(paths) {
        Ok(reading) => reading.spec,
        Err(error) => return say(&format!("not taken: {error}\n")),
    };
    for change in changes(spec, &after) {
        match change {
            Change::NeedsRestart(why) => say(&format!("{why}\n")),
            Change::Reload(actor) => {
                let (name, file) = (actor.type_name.clone(), actor.file.clone());
                match running.reload(actor).await {
                    Ok(accepted) => say(&format!("{name}: version {} taken ({file})\n", accepted.ordinal)),
                    Err(error) => say(&format!("{name}: refused, the old version goes on: {error}\n")),
                }
            }
        }
    }
    *spec = after;
}

/// Writes beside the file and renames, so that a reader sees all of it or nothing.
fn write_addresses(path: &Path, addresses: Listeners) -> std::io::Result<()> {
    let mut text = serde_json::to_string(&addresses)?;
    text.push('\n');
    let beside = path.with_extension("part");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, path)
}

/// Prints for people. A closed standard output does not end a running shard.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
