//! ConfigMaps that shards refer to: their contents, and the way back from a ConfigMap to shards.
//!
//! Guarantees: a ConfigMap is fetched once per version of it; a version is known from a watch of
//! metadata, so that the operator does not hold every ConfigMap of the cluster in memory. A ConfigMap
//! that is not there is an answer, not an error: whoever creates it is noticed by the same watch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use corallite_crds::{ActorShardSpec, ConfigMapKeyRef};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client};
use parking_lot::Mutex;

use crate::context::Stores;
use crate::error::Error;

/// Text content of a ConfigMap.
pub type Content = Arc<BTreeMap<String, String>>;

/// (namespace, name).
type Key = (String, String);

/// A reference of a spec to a key in a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Where the spec has it, such as `spec.actors[Order].behavior`.
    pub field: String,
    /// What it names.
    pub target: &'a ConfigMapKeyRef,
}

/// Contents, and who refers to them.
#[derive(Debug, Default)]
pub struct Inputs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Contents by ConfigMap, with the version they are of.
    contents: HashMap<Key, (String, Content)>,
    /// ConfigMaps by shard.
    named: HashMap<Key, BTreeSet<Key>>,
}

/// Every reference in a spec.
#[must_use]
pub fn references(spec: &ActorShardSpec) -> Vec<Reference<'_>> {
    let behaviors = spec.actors.iter().filter_map(|actor| {
        let target = actor.behavior.config_map_key_ref.as_ref()?;
        Some(Reference { field: format!("spec.actors[{}].behavior", actor.type_name), target })
    });
    let cluster_file = spec.store.foundationdb.iter().map(|store| Reference {
        field: "spec.store.foundationdb.clusterFile".to_owned(),
        target: &store.cluster_file.config_map_key_ref,
    });
    behaviors.chain(cluster_file).collect()
}

impl Inputs {
    /// The shards that refer to a ConfigMap, as (namespace, name).
    #[must_use]
    pub fn referrers(&self, namespace: &str, name: &str) -> Vec<Key> {
        let key = (namespace.to_owned(), name.to_owned());
        let state = self.state.lock();
        state.named.iter().filter(|(_, names)| names.contains(&key)).map(|(shard, _)| shard.clone()).collect()
    }

    /// Notes what a shard refers to and reads it. ConfigMaps that are not there are left out.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn load(
        &self,
        client: &Client,
        stores: &Stores,
        namespace: &str,
        shard: &str,
        spec: &ActorShardSpec,
    ) -> Result<BTreeMap<String, Content>, Error> {
        let names: BTreeSet<&str> = references(spec).iter().map(|it| it.target.name.as_str()).collect();
        let keys = names.iter().map(|name| (namespace.to_owned(), (*name).to_owned())).collect();
        self.state.lock().named.insert((namespace.to_owned(), shard.to_owned()), keys);
        let mut contents = BTreeMap::new();
        for name in names {
            if let Some(content) = self.content(client, stores, namespace, name).await? {
                contents.insert(name.to_owned(), content);
            }
        }
        Ok(contents)
    }

    async fn content(
        &self,
        client: &Client,
        stores: &Stores,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Content>, Error> {
        let Some(known) = stores.config_maps.get(&ObjectRef::new(name).within(namespace)) else {
            return Ok(None);
        };
        let key = (namespace.to_owned(), name.to_owned());
        let version = known.metadata.resource_version.as_deref();
        let cached = self.state.lock().contents.get(&key).cloned();
        if let Some((_, content)) = cached.filter(|(cached, _)| Some(cached.as_str()) == version) {
            return Ok(Some(content));
        }
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let read = api.get_opt(name).await.map_err(Error::of(format!("read ConfigMap {name}")))?;
        let Some(map) = read else { return Ok(None) };
        let content = Arc::new(map.data.unwrap_or_default());
        let version = map.metadata.resource_version.unwrap_or_default();
        self.state.lock().contents.insert(key, (version, Arc::clone(&content)));
        Ok(Some(content))
    }

    /// Forgets shards that are gone, and contents that no shard refers to.
    pub fn retain(&self, exists: impl Fn(&(String, String)) -> bool) {
        let state = &mut *self.state.lock();
        state.named.retain(|shard, _| exists(shard));
        let named: BTreeSet<&Key> = state.named.values().flatten().collect();
        state.contents.retain(|key, _| named.contains(key));
    }
}
