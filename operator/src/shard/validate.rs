//! Step two: what the spec and its inputs come to. A function of both; it asks nobody.
//!
//! Guarantees: whatever is wrong becomes a [`Problem`] that names the field and what to do. A shard
//! whose input went missing keeps the last content its cells were given, so that everything else is
//! still looked after.

use std::collections::BTreeMap;

use corallite_crds::{ActorShard, ActorShardSpec, ActorType, DeletionPolicy, reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::fetch::World;
use super::inputs::references;
use crate::digest;
use crate::error::Error;
use crate::kind::Kind;
use crate::names;

/// Bytes of a ConfigMap's data at most; the API server's bound is 1 MiB with everything around it.
const CONFIG_BYTES_MAX: usize = (1 << 20) - (16 << 10);
/// Key of the rendered shard in the cells' configuration.
pub const KEY_SHARD: &str = "shard.yaml";
/// Key of the cluster file in the cells' configuration, with FoundationDB.
pub const KEY_CLUSTER_FILE: &str = "fdb.cluster";
/// Key of the hash over all other keys.
pub const KEY_HASH: &str = "hash";

/// Why a spec is not in use as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A constant of `corallite_crds::reason`.
    pub reason: &'static str,
    /// What is wrong and what to do, in a sentence.
    pub message: String,
}

/// What children are made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Namespace of the shard.
    pub namespace: String,
    /// Name of the shard.
    pub name: String,
    /// The shard as owner of its children.
    pub owner: OwnerReference,
    /// The spec, with defaults.
    pub spec: ActorShardSpec,
    /// What cells read, by file name; `hash` is one of them.
    pub config: BTreeMap<String, String>,
    /// Size of the cells' volume; `None` without the embedded store.
    pub volume_size: Option<String>,
    /// Whether to make a ServiceMonitor.
    pub service_monitor: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What to build; `None` when nothing can be built.
    pub plan: Option<Plan>,
    /// Why the spec is not accepted.
    pub problem: Option<Problem>,
    /// What of the spec cannot be followed, though the rest is.
    pub limitation: Option<Problem>,
}

impl Plan {
    /// The hash of what cells read.
    #[must_use]
    pub fn config_hash(&self) -> &str {
        self.config.get(KEY_HASH).map_or("", String::as_str)
    }
}

/// Judges a shard.
///
/// # Errors
/// The shard cannot be written as YAML, which its types rule out.
pub fn judge(shard: &ActorShard, world: &World) -> Result<Judgement, Error> {
    if let Some(problem) = unsupported(&shard.spec) {
        return Ok(Judgement { problem: Some(problem), ..Judgement::default() });
    }
    let missing = missing_inputs(&shard.spec, world);
    let Some(texts) = texts(shard, world) else {
        return Ok(Judgement { problem: missing, ..Judgement::default() });
    };
    let config = config(shard, texts)?;
    let bytes: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > CONFIG_BYTES_MAX {
        let message = format!(
            "the shard and its behaviors are {bytes} bytes, more than the {CONFIG_BYTES_MAX} that fit into a ConfigMap; \
             make the behaviors smaller, or spread the types over several ActorShards"
        );
        let problem = Some(Problem { reason: reason::INPUT_TOO_LARGE, message });
        return Ok(Judgement { problem, ..Judgement::default() });
    }
    let (volume_size, limitation) = volume(&shard.spec, &shard.name_any(), world);
    let plan = Plan {
        namespace: shard.namespace().unwrap_or_default(),
        name: shard.name_any(),
        owner: shard.controller_owner_ref(&()).unwrap_or_default(),
        spec: shard.spec.clone(),
        config,
        volume_size,
        service_monitor: world.service_monitors,
    };
    Ok(Judgement { plan: Some(plan), problem: missing, limitation })
}

fn unsupported(spec: &ActorShardSpec) -> Option<Problem> {
    let erases = spec.deletion_policy == DeletionPolicy::Delete && spec.store.foundationdb.is_some();
    erases.then(|| Problem {
        reason: reason::NOT_SUPPORTED,
        message: "spec.deletionPolicy Delete is not supported with spec.store.foundationdb yet; \
                  write Retain and clear the key range by hand"
            .to_owned(),
    })
}

fn missing_inputs(spec: &ActorShardSpec, world: &World) -> Option<Problem> {
    // By what is missing: one ConfigMap often has the behaviors of all types.
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for reference in references(spec) {
        let (name, key) = (&reference.target.name, &reference.target.key);
        let what = match world.inputs.get(name) {
            Some(content) if content.contains_key(key) => continue,
            Some(_) => format!("ConfigMap {name} has no key {key} in its data"),
            None => format!("ConfigMap {name} is not there"),
        };
        missing.entry(what).or_default().push(reference.field);
    }
    let sentences = missing.iter().map(|(what, fields)| format!("{what} (named by {})", fields.join(", ")));
    let message = sentences.collect::<Vec<_>>().join("; ");
    (!missing.is_empty()).then_some(Problem { reason: reason::INPUT_MISSING, message })
}

/// The texts that references stand for, by file name. What is missing is taken from what cells have;
/// `None` when they have not got it either.
fn texts(shard: &ActorShard, world: &World) -> Option<BTreeMap<String, String>> {
    let rendered = world.children.get(&(Kind::ConfigMap, names::config(&shard.name_any())));
    let last = |file: &str| rendered?.data.pointer("/data")?.get(file)?.as_str().map(str::to_owned);
    let mut texts = BTreeMap::new();
    let behaviors = shard.spec.actors.iter().filter_map(|actor| Some((file(actor), behavior_ref(actor)?)));
    let cluster_file = shard.spec.store.foundationdb.iter();
    let cluster_file =
        cluster_file.map(|store| (KEY_CLUSTER_FILE.to_owned(), &store.cluster_file.config_map_key_ref));
    for (file, target) in behaviors.chain(cluster_file) {
        let now = world.inputs.get(&target.name).and_then(|content| content.get(&target.key)).cloned();
        let text = now.or_else(|| last(&file))?;
        texts.insert(file, text);
    }
    Some(texts)
}

fn behavior_ref(actor: &ActorType) -> Option<&corallite_crds::ConfigMapKeyRef> {
    actor.behavior.config_map_key_ref.as_ref()
}

fn file(actor: &ActorType) -> String {
    format!("{}.js", actor.type_name)
}

/// Everything cells read, with the hash over it.
fn config(
    shard: &ActorShard,
    mut files: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    let manifest = serde_json::json!({
        "apiVersion": corallite_crds::API_VERSION,
        "kind": "ActorShard",
        "metadata": { "namespace": shard.namespace(), "name": shard.name_any() },
        "spec": shard.spec,
    });
    let text = serde_yaml::to_string(&manifest)
        .map_err(|error| Error::Render { what: KEY_SHARD, message: error.to_string() })?;
    files.insert(KEY_SHARD.to_owned(), text);
    let hash = digest::of_parts(files.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    files.insert(KEY_HASH.to_owned(), hash);
    Ok(files)
}

/// The size of the cells' volume. A StatefulSet cannot change it; so the one it has is kept, and said.
fn volume(spec: &ActorShardSpec, name: &str, world: &World) -> (Option<String>, Option<Problem>) {
    let Some(embedded) = &spec.store.embedded else { return (None, None) };
    let wanted = embedded.size.to_string();
    let live = world.children.get(&(Kind::StatefulSet, name.to_owned())).and_then(|set| {
        set.data
            .pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage")?
            .as_str()
            .map(str::to_owned)
    });
    let bytes = |text: &str| text.parse::<corallite_crds::Quantity>().map(|quantity| quantity.bytes()).ok();
    match live {
        Some(live) if bytes(&live) != bytes(&wanted) => {
            let message = format!(
                "spec.store.embedded.size is {wanted}, but the volume was made with {live} and its size cannot follow; \
                 write {live} again, and enlarge the PersistentVolumeClaim data-{name}-0 by hand if the storage class can"
            );
            (Some(live), Some(Problem { reason: reason::VOLUME_SIZE_FIXED, message }))
        }
        Some(live) => (Some(live), None),
        None => (Some(wanted), None),
    }
}
