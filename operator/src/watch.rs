//! What the operator watches, and which shard each change is about.
//!
//! Guarantees: a watch that breaks begins again, later each time. An object that cannot be read stops
//! none of the others: shards and pods are read behind a guard, children are not read at all, and of
//! ConfigMaps only metadata is. Field managers are not kept in memory.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corallite_crds::ActorShard;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::{ApiResource, DeserializeGuard, DynamicObject, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::context::Stores;
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::names::{FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_SHARD};
use crate::shard::inputs::Inputs;

/// A shard as it is watched.
pub type Shard = DeserializeGuard<ActorShard>;

/// Changes that may wait to be looked at; a watch waits when there are more.
const QUEUE: usize = 1024;
/// How often it is looked whether ServiceMonitors have come to exist.
const GATE_PERIOD: Duration = Duration::from_secs(2);

/// Everything that is watched, and the shards that changes are about.
pub struct Watches {
    /// What is known.
    pub stores: Stores,
    /// Shards to look at.
    pub queue: mpsc::Receiver<ObjectRef<Shard>>,
    /// The watches. None ends by itself.
    pub tasks: JoinSet<()>,
}

/// Where and by whom is watched.
struct Starter<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    metrics: &'a Arc<Metrics>,
    queue: mpsc::Sender<ObjectRef<Shard>>,
    tasks: JoinSet<()>,
}

/// Starts all watches.
#[must_use]
pub fn start(
    client: &Client,
    namespace: Option<&str>,
    inputs: &Arc<Inputs>,
    service_monitors: &Arc<AtomicBool>,
    metrics: &Arc<Metrics>,
) -> Watches {
    let (sender, queue) = mpsc::channel(QUEUE);
    let mut starter = Starter { client, namespace, metrics, queue: sender, tasks: JoinSet::new() };
    let stores = Stores {
        shards: starter.shards(),
        children: Kind::ALL.map(|kind| (kind, starter.children(kind, service_monitors))).into(),
        pods: starter.pods(),
        config_maps: starter.config_maps(inputs),
    };
    Watches { stores, queue, tasks: starter.tasks }
}

impl Stores {
    /// Returns when the first listing of everything that must exist has come in.
    pub async fn ready(&self) {
        // An error says that the watch is gone; then the process ends anyway.
        let _ = self.shards.wait_until_ready().await;
        let _ = self.pods.wait_until_ready().await;
        let _ = self.config_maps.wait_until_ready().await;
        for (kind, store) in &self.children {
            if *kind != Kind::ServiceMonitor {
                let _ = store.wait_until_ready().await;
            }
        }
    }
}

impl Starter<'_> {
    fn shards(&mut self) -> Store<Shard> {
        let stream = watcher(self.api::<Shard>(), watcher::Config::default());
        self.follow("ActorShard", stream, Writer::default(), |shard: &Shard| vec![ObjectRef::from_obj(shard)])
    }

    fn pods(&mut self) -> Store<DeserializeGuard<Pod>> {
        let stream = watcher(self.api::<DeserializeGuard<Pod>>(), managed());
        self.follow("Pod", stream, Writer::default(), by_label)
    }

    fn config_maps(&mut self, inputs: &Arc<Inputs>) -> Store<PartialObjectMeta<ConfigMap>> {
        let stream = watcher(self.api::<PartialObjectMeta<ConfigMap>>(), watcher::Config::default());
        let stream = stream.modify(|map| {
            map.metadata.annotations = None;
            map.metadata.labels = None;
        });
        let inputs = Arc::clone(inputs);
        self.follow("ConfigMap", stream, Writer::default(), move |map: &PartialObjectMeta<ConfigMap>| {
            let referrers =
                inputs.referrers(&ResourceExt::namespace(map).unwrap_or_default(), &map.name_any());
            referrers.iter().map(|(namespace, name)| ObjectRef::new(name).within(namespace)).collect()
        })
    }

    fn children(&mut self, kind: Kind, service_monitors: &Arc<AtomicBool>) -> Store<DynamicObject> {
        let resource = kind.resource();
        let api: Api<DynamicObject> = match self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let gate = Arc::clone(service_monitors);
        let wait = async move {
            while kind == Kind::ServiceMonitor && !gate.load(Ordering::Relaxed) {
                tokio::time::sleep(GATE_PERIOD).await;
            }
        };
        let stream =
            futures_util::stream::once(wait).map(move |()| watcher(api.clone(), managed())).flatten();
        self.follow(kind.name(), stream, Writer::<DynamicObject>::new(resource), by_label)
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Keeps a store up to date, and queues the shards that each change is about.
    fn follow<K>(
        &mut self,
        kind: &'static str,
        stream: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
        writer: Writer<K>,
        about: impl Fn(&K) -> Vec<ObjectRef<Shard>> + Send + 'static,
    ) -> Store<K>
    where
        K: Resource + Clone + Debug + Send + Sync + 'static,
        K::DynamicType: Eq + Hash + Clone + Send + Sync,
    {
        let store = writer.as_reader();
        let queue = self.queue.clone();
        let metrics = Arc::clone(self.metrics);
        let stream = stream
            .modify(|object| object.meta_mut().managed_fields = None)
            .default_backoff()
            .reflect(writer)
            .touched_objects();
        self.tasks.spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(change) = stream.next().await {
                match change {
                    Ok(object) => {
                        for shard in about(&object) {
                            // The other end is gone only when the process ends.
                            let _ = queue.send(shard).await;
                        }
                    }
                    Err(error) => {
                        metrics.watch_failed(kind);
                        tracing::warn!(kind, %error, "a watch broke; it begins again");
                    }
                }
            }
        });
        store
    }
}

/// Only what the operator made.
fn managed() -> watcher::Config {
    watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={FIELD_MANAGER}"))
}

/// The shards that an object belongs to: by its label, and by its owner in case somebody took the label
/// off.
fn by_label<K: Resource>(object: &K) -> Vec<ObjectRef<Shard>> {
    let namespace = object.namespace().unwrap_or_default();
    let owners = object.owner_references().iter();
    let owners = owners.filter(|owner| owner.kind == "ActorShard").map(|owner| &owner.name);
    let mut names: Vec<_> = object.labels().get(LABEL_SHARD).into_iter().chain(owners).collect();
    names.dedup();
    names.into_iter().map(|name| ObjectRef::new(name).within(&namespace)).collect()
}

/// Whether the API server knows a resource: `None` when it cannot be asked.
pub async fn is_served(client: &Client, resource: &ApiResource) -> Option<bool> {
    let served = async {
        // Asking for a group that is not there is an error in the client's log; so groups come first.
        let groups = client.list_api_groups().await?.groups;
        let mut versions = groups.iter().flat_map(|group| &group.versions);
        if !versions.any(|version| version.group_version == resource.api_version) {
            return Ok(false);
        }
        let list = client.list_api_group_resources(&resource.api_version).await?;
        Ok(list.resources.iter().any(|served| served.name == resource.plural))
    };
    served
        .await
        .inspect_err(|error: &kube::Error| {
            tracing::warn!(%error, resource = resource.plural, "cannot ask which resources there are");
        })
        .ok()
}
