//! Step one: everything that a reconcile looks at, taken from the watches where they have it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use corallite_crds::ActorShard;
use kube::ResourceExt;
use kube::core::DynamicObject;

use super::cells::Cell;
use super::inputs::Content;
use crate::context::Context;
use crate::error::Error;
use crate::kind::Kind;
use crate::names::LABEL_SHARD;

/// Children as they are, by kind and name.
pub type Children = BTreeMap<(Kind, String), Arc<DynamicObject>>;

/// What there is around a shard.
#[derive(Debug, Default)]
pub struct World {
    /// ConfigMaps that the spec names, as far as they exist.
    pub inputs: BTreeMap<String, Content>,
    /// Children that carry the shard's label.
    pub children: Children,
    /// The cells, by ordinal. Nobody has asked them yet.
    pub cells: Vec<Cell>,
    /// Whether the cluster has ServiceMonitors.
    pub service_monitors: bool,
}

/// Looks around.
///
/// # Errors
/// A ConfigMap cannot be read.
pub async fn world(shard: &ActorShard, context: &Context) -> Result<World, Error> {
    let namespace = shard.namespace().unwrap_or_default();
    let name = shard.name_any();
    let inputs =
        context.inputs.load(&context.client, &context.stores, &namespace, &name, &shard.spec).await?;
    Ok(World {
        inputs,
        children: children(context, &namespace, &name),
        cells: cells(context, &namespace, &name),
        service_monitors: context.service_monitors.load(Ordering::Relaxed),
    })
}

fn children(context: &Context, namespace: &str, shard: &str) -> Children {
    let mut children = Children::new();
    for (kind, store) in &context.stores.children {
        for object in store.state_filter(|object| belongs(object, namespace, shard)) {
            children.insert((*kind, object.name_any()), object);
        }
    }
    children
}

fn cells(context: &Context, namespace: &str, shard: &str) -> Vec<Cell> {
    let pods = context.stores.pods.state_filter(|pod| belongs(pod, namespace, shard));
    let readable = pods.iter().filter_map(|pod| pod.0.as_ref().ok());
    let mut cells: Vec<Cell> = readable.filter_map(|pod| Cell::of(pod, shard)).collect();
    cells.sort_by_key(|cell| cell.ordinal);
    cells
}

fn belongs(object: &impl kube::Resource, namespace: &str, shard: &str) -> bool {
    object.meta().namespace.as_deref() == Some(namespace)
        && object.labels().get(LABEL_SHARD).is_some_and(|label| label == shard)
}
