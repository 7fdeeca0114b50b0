//! The one place where the command line touches the cell it runs: starting, reloading, stopping.
//!
//! Shapes follow `corallite_cell::serve`. This build has no cell to start yet, and says so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use corallite_cell::behavior::Interface;
use corallite_cell::spec::{ActorSpec, ShardSpec};

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
#[error("{0}")]
pub struct StartError(String);

/// Why a behavior was not taken: with file and line. The old version goes on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(String);

/// A behavior was taken.
#[derive(Clone, Copy, Debug)]
pub struct VersionAccepted {
    /// 1 for the first version the shard ever had of this type, then counting up.
    pub ordinal: u32,
}

/// A running cell.
pub struct Running {
    addresses: Listeners,
    interfaces: Vec<(Arc<str>, Interface)>,
}

/// Starts a cell; it serves when this returns.
///
/// # Errors
/// The store cannot be opened, a behavior does not load, or an address is taken.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let _ = (config.spec, config.store, config.lanes, config.listeners);
    Err(StartError("this build cannot start a cell yet".to_owned()))
}

impl Running {
    /// Takes a new version of an actor type's behavior or settings.
    ///
    /// # Errors
    /// It does not load, or cannot read what is recorded.
    pub async fn reload(&self, actor: ActorSpec) -> Result<VersionAccepted, ReloadError> {
        Err(ReloadError(format!("{} cannot be reloaded yet", actor.file)))
    }

    /// Where it listens.
    pub fn addresses(&self) -> Listeners {
        self.addresses
    }

    /// What each actor type offers.
    pub fn interfaces(&self) -> &[(Arc<str>, Interface)] {
        &self.interfaces
    }

    /// Stops taking commands, answers those it took, and closes the store.
    pub async fn shutdown(self) {}
}
