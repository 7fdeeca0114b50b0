//! How a cell starts and stops.
//!
//! Start: store, identity, types, behaviors, session, plan, claims, lanes, listeners. Stop: listeners
//! finish what is under way, lanes write everything out, the store closes. A lane that ends early
//! ends the cell: [`Running::ended`] says so, and the process should follow.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use futures_util::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::behavior::quickjs::QuickJsEngine;
use crate::behavior::{Interface, ScriptError};
use crate::cell::Cell;
use crate::env::{Clock, MachineClock};
use crate::gateway;
use crate::ids::{Bucket, SessionId, TypeId};
pub use crate::lane::DeliveryLimits;
use crate::lane::bucket::BucketBoot;
use crate::lane::run::{LaneHandle, Surroundings, lane_of, run};
use crate::lane::{Lane, LaneConfig, TypeSettings};
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError, Version};
use crate::router::BucketSpace;
use crate::router::owner::{ClaimError, Session};
pub use crate::served::{ReloadError, VersionAccepted};
use crate::served::{Served, on_scratch_engine};
use crate::spec::{ActorSpec, ShardSpec};
use crate::store::embedded::{EmbeddedStore, OpenError, Options};
use crate::store::key::Keys;
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError};

/// Buckets that are claimed at once.
const CLAIMS_AT_ONCE: usize = 64;

/// What to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The shard.
    pub spec: ShardSpec,
    /// Where it is kept.
    pub store: StoreConfig,
    /// Threads that run behaviors.
    pub lanes: usize,
    /// Where it listens.
    pub listeners: Listeners,
    /// Most live states, all lanes together.
    pub hot_actors_max: usize,
    /// Most bytes of actors in memory, all lanes together.
    pub memory_bytes_max: usize,
    /// When messages, timers and refusals that fail are tried again, and when no more.
    pub deliveries: DeliveryLimits,
}

/// Where a shard is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a folder of its own.
    Embedded {
        /// The folder; made if it is not there.
        path: PathBuf,
    },
    /// Nowhere: gone when the process ends.
    Memory,
}

/// Addresses to listen on, or listened on; port 0 takes a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listeners {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// Why the cell did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store holds another shard, or a behavior cannot be served.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The buckets cannot be claimed.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A lane did not start.
    #[error("a lane cannot start: {0}")]
    Lane(String),
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running cell.
pub struct Running {
    served: Served,
    addresses: Listeners,
    interfaces: Vec<(Arc<str>, Interface)>,
    refused: Vec<(Arc<str>, ScriptError)>,
    lanes: Arc<[LaneHandle]>,
    threads: Vec<JoinHandle<()>>,
    lane_ended: mpsc::UnboundedReceiver<usize>,
    serving: Arc<AtomicBool>,
    stop_gateway: Option<oneshot::Sender<()>>,
    gateway: tokio::task::JoinHandle<gateway::Stopped>,
    /// Closes the store when everything else is gone.
    _store: Arc<dyn Store>,
}

/// Starts a cell; it serves when this returns.
///
/// # Errors
/// The store cannot be opened or holds something else, a behavior does not load, or an address is
/// taken.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock);
    let listeners = bind(config.listeners).await?;
    let early = gateway::Early::start(&listeners, "the store to be opened");
    let store = open(&config.store, &clock).await?;
    // A folder is one shard's.
    let alone = matches!(config.store, StoreConfig::Embedded { .. });
    start_with(config, listeners, early, store, clock, alone).await
}

/// As [`start`], on a store that is open already; `config.store` is not looked at.
///
/// # Errors
/// As [`start`].
pub async fn start_on(config: Config, store: Arc<dyn Store>) -> Result<Running, StartError> {
    let listeners = bind(config.listeners).await?;
    let early = gateway::Early::start(&listeners, "the store");
    start_with(config, listeners, early, store, Arc::new(MachineClock), false).await
}

async fn start_with(
    config: Config,
    listeners: gateway::Listeners,
    early: gateway::Early,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    alone: bool,
) -> Result<Running, StartError> {
    let spec = &config.spec;
    early.waits_for("the behaviors to be loaded");
    let keys = Keys::new(&format!("{}/{}", spec.namespace, spec.name));
    let registry = Registry { store: store.clone(), keys: keys.clone() };
    if alone {
        registry.check_alone(spec).await?;
    }
    registry.check_identity(spec).await?;
    let type_names: Arc<[Arc<str>]> = registry.intern_types(spec).await?.into();
    let versions = resolve_versions(&registry, spec, &type_names).await?;
    early.waits_for("the buckets to be claimed and read");
    let session_id = SessionId(uuid::Uuid::new_v4().as_u128());
    let session = Session::start(store.clone(), keys.clone(), "cell-0", session_id, clock.now_ms()).await?;
    session.plan_alone(spec.buckets).await?;
    let metrics = Arc::new(Metrics::new());
    let serving = Arc::new(AtomicBool::new(false));
    let lanes = start_lanes(&config, &session, &versions, &type_names, &clock, &metrics, &serving).await?;
    let space = BucketSpace { buckets: spec.buckets, root_before_colon: spec.root_before_colon };
    let cell = Cell::new(space, &type_names, lanes.handles.clone(), clock, serving.clone());
    let served = Served::new(cell.clone(), registry, session_id, spec.buckets, &versions, metrics.clone());
    let addresses = addresses(&listeners, config.listeners);
    early.stop().await;
    let (stop_gateway, stopped) = oneshot::channel::<()>();
    let gateway = tokio::spawn(gateway::serve(cell, metrics, listeners, async {
        // The sender is dropped only when the cell is.
        let _ = stopped.await;
    }));
    serving.store(true, Ordering::Release);
    let name = |version: &Version| version.source.type_name.clone();
    Ok(Running {
        served,
        addresses,
        interfaces: versions.iter().map(|v| (name(v), v.interface.clone())).collect(),
        refused: versions.iter().filter_map(|v| Some((name(v), v.refused.clone()?))).collect(),
        lanes: lanes.handles,
        threads: lanes.threads,
        lane_ended: lanes.ended,
        serving,
        stop_gateway: Some(stop_gateway),
        gateway,
        _store: store,
    })
}

impl Running {
    /// See [`Served::reload`].
    ///
    /// # Errors
    /// It does not load, or cannot read what is recorded.
    pub async fn reload(&self, actor: ActorSpec) -> Result<VersionAccepted, ReloadError> {
        self.served.reload(actor).await
    }

    /// What it serves, for those who report and change it.
    #[must_use]
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Listeners {
        self.addresses
    }

    /// The cell itself.
    #[must_use]
    pub fn cell(&self) -> &Cell {
        self.served.cell()
    }

    /// What each actor type offers.
    #[must_use]
    pub fn interfaces(&self) -> &[(Arc<str>, Interface)] {
        &self.interfaces
    }

    /// Behaviors that were refused at the start: an earlier version is served instead.
    #[must_use]
    pub fn refused(&self) -> &[(Arc<str>, ScriptError)] {
        &self.refused
    }

    /// Resolves when a part of the cell has ended that should not have; says which.
    pub async fn ended(&mut self) -> String {
        let lane = self.lane_ended.recv().await;
        self.serving.store(false, Ordering::Release);
        match lane {
            Some(lane) => format!("lane {lane} ended; its panic is in the log"),
            None => "every lane ended".to_owned(),
        }
    }

    /// Stops taking commands, answers those it took, writes everything out, and closes the store.
    pub async fn shutdown(mut self) {
        self.serving.store(false, Ordering::Release);
        drop(self.stop_gateway.take());
        // A gateway that panicked has nothing left to wait for.
        let _ = (&mut self.gateway).await;
        for lane in self.lanes.iter() {
            lane.stop();
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A lane that panicked has said so.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

async fn bind(addresses: Listeners) -> Result<gateway::Listeners, StartError> {
    let listen = async |what, address| {
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
    };
    Ok(gateway::Listeners {
        grpc: listen("gRPC", addresses.grpc).await?,
        http: listen("HTTP", addresses.http).await?,
        admin: listen("admin", addresses.admin).await?,
    })
}

fn addresses(listeners: &gateway::Listeners, wanted: Listeners) -> Listeners {
    Listeners {
        grpc: listeners.grpc.local_addr().unwrap_or(wanted.grpc),
        http: listeners.http.local_addr().unwrap_or(wanted.http),
        admin: listeners.admin.local_addr().unwrap_or(wanted.admin),
    }
}

async fn open(store: &StoreConfig, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Store>, StartError> {
    match store {
        StoreConfig::Memory => Ok(Arc::new(MemoryStore::new(clock.clone()))),
        StoreConfig::Embedded { path } => {
            let (path, options) = (path.clone(), Options::new(clock.clone()));
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path, options)).await;
            let store = opened.map_err(|error| StartError::Lane(error.to_string()))??;
            Ok(Arc::new(store))
        }
    }
}

async fn resolve_versions(
    registry: &Registry,
    spec: &ShardSpec,
    type_names: &Arc<[Arc<str>]>,
) -> Result<Vec<Version>, StartError> {
    let (registry, spec, type_names) = (registry.clone(), spec.clone(), type_names.clone());
    let handle = tokio::runtime::Handle::current();
    let versions = on_scratch_engine(move |engine| {
        let mut versions = Vec::new();
        for (id, name) in (0..).map(TypeId).zip(type_names.iter()) {
            let actor = spec.actors.iter().find(|actor| actor.type_name == *name);
            let resolved = match actor {
                Some(actor) => handle.block_on(registry.resolve(engine, id, actor, &type_names)),
                None => handle.block_on(registry.resolve_stored(engine, id, name, &type_names)),
            };
            versions.push(resolved?);
        }
        Ok(versions)
    });
    Ok(versions.await?)
}

struct Lanes {
    handles: Arc<[LaneHandle]>,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<usize>,
}

async fn start_lanes(
    config: &Config,
    session: &Session,
    versions: &[Version],
    type_names: &Arc<[Arc<str>]>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    serving: &Arc<AtomicBool>,
) -> Result<Lanes, StartError> {
    let spec = &config.spec;
    let space = BucketSpace { buckets: spec.buckets, root_before_colon: spec.root_before_colon };
    let io = &session.io(type_names.clone());
    let mut boots: Vec<Vec<BucketBoot>> = (0..config.lanes).map(|_| Vec::new()).collect();
    let now_ms = clock.now_ms();
    let mut claims = futures_util::stream::iter((0..spec.buckets).map(Bucket))
        .map(|bucket| async move {
            let rows = session.claim(bucket).await?;
            session.read_bucket(io, bucket, rows, now_ms).await.map_err(ClaimError::Store)
        })
        .buffer_unordered(CLAIMS_AT_ONCE);
    while let Some(boot) = claims.next().await {
        let boot = boot?;
        boots[lane_of(Bucket(boot.bucket), config.lanes)].push(boot);
    }
    drop(claims);
    let (handles, receivers): (Vec<_>, Vec<_>) = (0..config.lanes).map(|_| LaneHandle::new()).unzip();
    let handles: Arc<[LaneHandle]> = handles.into();
    let (tell_ended, ended) = mpsc::unbounded_channel();
    let (dropped, mut lost) = mpsc::unbounded_channel::<(Bucket, bool)>();
    let mut threads = Vec::new();
    let mut started = Vec::new();
    for (number, (receiver, mut boots)) in receivers.into_iter().zip(boots).enumerate() {
        boots.sort_by_key(|boot| boot.bucket);
        let around = Surroundings {
            io: io.clone(),
            lanes: handles.clone(),
            number,
            clock: clock.clone(),
            metrics: metrics.lane(number),
            types: type_names.iter().map(|name| metrics.declare_type(name)).collect(),
            dropped: dropped.clone(),
        };
        let lane_config = LaneConfig {
            space,
            keys: session.keys.clone(),
            hot_actors_max: (config.hot_actors_max / config.lanes).max(1),
            memory_bytes_max: config.memory_bytes_max / config.lanes,
            // Two sessions, and two lanes of one, never draw the same numbers.
            #[allow(clippy::cast_possible_truncation)]
            seed: (session.id.0 as u64) ^ (number as u64),
            deliveries: config.deliveries,
        };
        let types: Vec<_> =
            versions.iter().map(|v| (v.source.clone(), settings_of(spec, &v.source.type_name))).collect();
        let (tell_started, hear_started) = oneshot::channel();
        let tell_ended = EndGuard { number, tell: tell_ended.clone() };
        let thread = std::thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
            let guard = tell_ended;
            let engine = match QuickJsEngine::new() {
                Ok(engine) => engine,
                Err(error) => return drop(tell_started.send(Err(error.to_string()))),
            };
            match Lane::new(lane_config, engine, types) {
                Ok(lane) => {
                    drop(tell_started.send(Ok(())));
                    run(lane, boots, receiver, around);
                }
                Err(error) => drop(tell_started.send(Err(error.to_string()))),
            }
            drop(guard);
        });
        threads.push(thread.map_err(|error| StartError::Lane(error.to_string()))?);
        started.push(hear_started);
    }
    for hear in started {
        hear.await.unwrap_or_else(|_| Err("it ended".to_owned())).map_err(StartError::Lane)?;
    }
    let serving = serving.clone();
    tokio::spawn(async move {
        while let Some((bucket, released)) = lost.recv().await {
            serving.store(false, Ordering::Release);
            tracing::error!(bucket = bucket.0, released, "a bucket is no longer served by this cell");
        }
    });
    Ok(Lanes { handles, threads, ended })
}

/// Tells that a lane's thread has ended, however it ended.
struct EndGuard {
    number: usize,
    tell: mpsc::UnboundedSender<usize>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        // Nobody listens any more when the cell itself is stopping.
        let _ = self.tell.send(self.number);
    }
}

fn settings_of(spec: &ShardSpec, type_name: &str) -> TypeSettings {
    let found = spec.actors.iter().find(|actor| *actor.type_name == *type_name);
    let fallback = ActorSpec::new(type_name, "", "");
    let actor = found.unwrap_or(&fallback);
    TypeSettings {
        snapshot_every_events: u64::from(actor.snapshot_every_events.max(1)),
        idle_ms: u64::from(actor.passivation_idle_seconds) * 1_000,
        mailbox_commands: actor.mailbox_commands as usize,
    }
}
