//! What a reconcile is handed: the client, what the watches know, and the little that is remembered.
//!
//! Everything remembered here may be lost at any time. It saves requests, it decides nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use corallite_crds::{ActorShard, ActorShardStatus};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::core::{DeserializeGuard, DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::Store;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::Run;
use crate::control::Control;
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::shard::inputs::Inputs;

/// What the watches know. Children are raw: they are compared as JSON, and reading them cannot fail.
#[derive(Clone)]
pub struct Stores {
    /// The shards.
    pub shards: Store<DeserializeGuard<ActorShard>>,
    /// Children, by kind.
    pub children: BTreeMap<Kind, Store<DynamicObject>>,
    /// Cells.
    pub pods: Store<DeserializeGuard<Pod>>,
    /// All ConfigMaps, without content.
    pub config_maps: Store<PartialObjectMeta<ConfigMap>>,
}

/// Everything a reconcile needs.
pub struct Context {
    /// Talks to the API server.
    pub client: Client,
    /// What the watches know.
    pub stores: Stores,
    /// Contents of referenced ConfigMaps, and who refers to them.
    pub inputs: Arc<Inputs>,
    /// Talks to cells.
    pub control: Arc<dyn Control>,
    /// Tells the time.
    pub clock: Clock,
    /// The command line.
    pub config: Run,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Whether the cluster has ServiceMonitors.
    pub service_monitors: Arc<std::sync::atomic::AtomicBool>,
    /// By uid of the shard.
    pub memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one shard.
#[derive(Debug, Default)]
pub struct Memory {
    /// Reconciles that failed in a row.
    pub failures: u32,
    /// Version of the object that the last status was written on, and that status: the watch may not
    /// have brought it yet.
    pub status: Option<(String, ActorShardStatus)>,
    /// Version that each child had after it was applied, and the hash of what was applied.
    pub applied: HashMap<(Kind, String), (String, String)>,
    /// Since when something is under way.
    pub progressing: Option<Instant>,
}

impl Context {
    /// Works with what is remembered of a shard.
    pub fn remember<T>(&self, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(self.memories.lock().entry(uid.to_owned()).or_default())
    }

    /// Forgets shards that are gone, and counts those that are there.
    pub fn tidy(&self) {
        let shards = self.stores.shards.state();
        let metas = || shards.iter().map(|shard| kube::Resource::meta(shard.as_ref()));
        let uids: HashSet<_> = metas().filter_map(|meta| meta.uid.clone()).collect();
        self.memories.lock().retain(|uid, _| uids.contains(uid));
        let names: HashSet<_> =
            metas().filter_map(|meta| meta.namespace.clone().zip(meta.name.clone())).collect();
        self.inputs.retain(|shard| names.contains(shard));
        self.metrics.set_shards("All", shards.len());
        for condition in ["Accepted", "Ready", "Progressing", "Degraded"] {
            let holds = |shard: &&Arc<DeserializeGuard<ActorShard>>| {
                let status = shard.0.as_ref().ok().and_then(|shard| shard.status.as_ref());
                status.is_some_and(|status| {
                    status.conditions.iter().any(|c| c.type_ == condition && c.status == "True")
                })
            };
            self.metrics.set_shards(condition, shards.iter().filter(holds).count());
        }
    }
}
