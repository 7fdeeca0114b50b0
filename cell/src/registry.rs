//! What a shard's store says of the shard itself: whose it is, its actor types, and the versions of
//! their behaviors.
//!
//! Guarantees: the identity is written once and a mismatch stops the cell with a sentence; type names
//! are interned once and keep their numbers; behavior versions are ordered, immutable and identified
//! by content, and a version that cannot stand in for the ones before it is never written.

use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;

use crate::behavior::{BehaviorSource, Engine, Interface, ScriptError, VersionKey};
use crate::ids::TypeId;
use crate::lane::version::check_succession;
use crate::router::owner::{read_all, retry};
use crate::spec::{ActorSpec, ShardSpec};
use crate::store::key::Keys;
use crate::store::{Store, StoreError, Transaction, record};

/// The root hash this build uses: xxh3_64.
const HASH: u32 = 1;
/// The key layout this build uses.
const LAYOUT: u32 = 1;

/// Why a shard cannot be served from its store.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store holds another shard, or the same one with other immutable settings.
    #[error("{0}")]
    Identity(String),
    /// A behavior does not load, or cannot stand in for its earlier versions.
    #[error("behavior of {type_name}: {error}")]
    Behavior {
        /// The actor type.
        type_name: Arc<str>,
        /// What is wrong, with file and line.
        error: ScriptError,
    },
    /// The script engine did not start.
    #[error("the script engine cannot start: {0}")]
    Engine(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A shard's store, as far as the shard itself is concerned.
#[derive(Clone)]
pub struct Registry {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The shard's keys.
    pub keys: Keys,
}

/// A behavior version that is to be served, and what it offers.
#[derive(Clone, Debug)]
pub struct Version {
    /// The version.
    pub source: Arc<BehaviorSource>,
    /// What it offers.
    pub interface: Interface,
    /// What identifies its content: xxh3-128 of all that makes up a version.
    pub content: Bytes,
    /// Why the spec's behavior is not the one served, if it is not.
    pub refused: Option<ScriptError>,
}

impl Registry {
    /// Checks that the store holds this shard, or nothing; then writes who it is.
    ///
    /// # Errors
    /// Another shard's, other buckets, another root or another format, in a sentence.
    pub async fn check_identity(&self, spec: &ShardSpec) -> Result<(), RegistryError> {
        let mine = rec::Identity {
            namespace: spec.namespace.clone(),
            name: spec.name.clone(),
            buckets: spec.buckets,
            hash: HASH,
            layout: LAYOUT,
            root_before_colon: spec.root_before_colon,
        };
        let key = self.keys.identity();
        let value = record::encode(&mine);
        retry(async || {
            let snapshot = self.store.snapshot().await?;
            if snapshot.get(&key).await?.is_some() {
                return Ok(());
            }
            let mut tx = Transaction::default();
            tx.check(key.clone(), None);
            tx.set(key.clone(), value.clone());
            self.store.commit(tx).await
        })
        .await?;
        let snapshot = self.store.snapshot().await?;
        let Some(value) = snapshot.get(&key).await? else { return Ok(()) };
        let found: rec::Identity = record::decode(&value)?;
        difference(&mine, &found).map_or(Ok(()), |sentence| Err(RegistryError::Identity(sentence)))
    }

    /// Checks that the store holds no other shard: a data folder is one shard's, so that nobody who
    /// renames a shard, or names the wrong folder, finds an empty one beside the other.
    ///
    /// # Errors
    /// It does, in a sentence.
    pub async fn check_alone(&self, spec: &ShardSpec) -> Result<(), RegistryError> {
        let snapshot = self.store.snapshot().await?;
        for range in self.keys.others() {
            let Some((_, value)) = snapshot.range(range.read(1)).await?.pop() else { continue };
            let found: rec::Identity = record::decode(&value)?;
            return Err(RegistryError::Identity(another_shard(spec, &found)));
        }
        Ok(())
    }

    /// Interns the spec's type names; gives all names of the shard in order of their numbers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn intern_types(&self, spec: &ShardSpec) -> Result<Vec<Arc<str>>, RegistryError> {
        let key = self.keys.type_names();
        let names = async || {
            let snapshot = self.store.snapshot().await?;
            let before = snapshot.get(&key).await?;
            let mut stored: rec::TypeNames =
                before.as_ref().map(record::decode).transpose()?.unwrap_or_default();
            let known = stored.names.len();
            for actor in &spec.actors {
                if !stored.names.iter().any(|name| **name == *actor.type_name) {
                    stored.names.push(actor.type_name.to_string());
                }
            }
            let changed = stored.names.len() > known;
            Ok::<_, StoreError>((before, stored, changed))
        };
        retry(async || {
            let (before, stored, changed) = names().await?;
            if !changed {
                return Ok(());
            }
            let mut tx = Transaction::default();
            tx.check(key.clone(), before);
            tx.set(key.clone(), record::encode(&stored));
            self.store.commit(tx).await
        })
        .await?;
        let (_, stored, _) = names().await?;
        Ok(stored.names.into_iter().map(Arc::from).collect())
    }

    /// The version to serve for an actor type: the spec's, or the latest stored one if the spec's
    /// cannot stand in for it. `engine` is scratch: it loads and forgets.
    ///
    /// # Errors
    /// The spec's behavior does not load and none is stored, or the store failed.
    pub async fn resolve(
        &self,
        engine: &mut impl Engine,
        type_id: TypeId,
        actor: &ActorSpec,
        known_types: &Arc<[Arc<str>]>,
    ) -> Result<Version, RegistryError> {
        match self.accept(engine, type_id, actor, known_types).await {
            Err(RegistryError::Behavior { error, type_name }) => {
                let Some((ordinal, stored)) = self.latest(type_id).await? else {
                    return Err(RegistryError::Behavior { error, type_name });
                };
                let old =
                    ActorSpec { source: stored.source.into(), file: stored.file.into(), ..actor.clone() };
                let source = Arc::new(old.behavior(VersionKey { type_id, ordinal }, known_types));
                let interface = load_scratch(engine, &source, &type_name)?;
                Ok(Version { source, interface, content: stored.content_hash, refused: Some(error) })
            }
            accepted => accepted,
        }
    }

    /// The latest stored version of an actor type that the spec no longer has: its actors, timers and
    /// messages are still there.
    ///
    /// # Errors
    /// It does not load, or the store failed.
    pub async fn resolve_stored(
        &self,
        engine: &mut impl Engine,
        type_id: TypeId,
        type_name: &Arc<str>,
        known_types: &Arc<[Arc<str>]>,
    ) -> Result<Version, RegistryError> {
        let Some((ordinal, stored)) = self.latest(type_id).await? else {
            return Err(
                StoreError::Damaged { reason: format!("no behavior of type {type_name} is stored") }.into()
            );
        };
        let actor = ActorSpec::new(type_name, &stored.file, &stored.source);
        let source = Arc::new(actor.behavior(VersionKey { type_id, ordinal }, known_types));
        let interface = load_scratch(engine, &source, type_name)?;
        Ok(Version { source, interface, content: stored.content_hash, refused: None })
    }

    /// The stored version of the spec's behavior; written if it is new and can stand in for those
    /// before it.
    ///
    /// # Errors
    /// It does not load, cannot stand in, or the store failed.
    pub async fn accept(
        &self,
        engine: &mut impl Engine,
        type_id: TypeId,
        actor: &ActorSpec,
        known_types: &Arc<[Arc<str>]>,
    ) -> Result<Version, RegistryError> {
        let (version, stored) = self.candidate(engine, type_id, actor, known_types).await?;
        if let Some(stored) = stored {
            self.write_version(version.source.key, &stored).await?;
        }
        Ok(version)
    }

    /// The version that the spec's behavior is or would be, and its row if it is not stored yet.
    ///
    /// # Errors
    /// It does not load, cannot stand in for those before it, or the store failed.
    pub async fn candidate(
        &self,
        engine: &mut impl Engine,
        type_id: TypeId,
        actor: &ActorSpec,
        known_types: &Arc<[Arc<str>]>,
    ) -> Result<(Version, Option<rec::BehaviorVersion>), RegistryError> {
        let latest = self.latest(type_id).await?;
        let hash = content_hash(actor);
        let same = latest.as_ref().is_some_and(|(_, stored)| stored.content_hash == hash);
        let before = latest.as_ref().map_or(0, |(ordinal, _)| *ordinal);
        let ordinal = if same { before } else { before + 1 };
        let source = Arc::new(actor.behavior(VersionKey { type_id, ordinal }, known_types));
        let interface = load_scratch(engine, &source, &actor.type_name)?;
        let version = Version { source, interface, content: hash.clone(), refused: None };
        if same {
            return Ok((version, None));
        }
        let mut events: Vec<String> = version.interface.events.iter().map(ToString::to_string).collect();
        if let Some((_, stored)) = latest {
            let recorded: Vec<Arc<str>> = stored.events.iter().map(|event| event.as_str().into()).collect();
            check_succession(&version.source, &version.interface, &recorded, stored.state_version)
                .map_err(|error| RegistryError::Behavior { type_name: actor.type_name.clone(), error })?;
            events.extend(stored.events);
            events.sort_unstable();
            events.dedup();
        }
        let row = rec::BehaviorVersion {
            source: actor.source.to_string(),
            file: actor.file.to_string(),
            state_version: version.interface.state_version,
            events,
            content_hash: hash,
        };
        Ok((version, Some(row)))
    }

    /// Stores a version under its number, which must be free.
    ///
    /// # Errors
    /// The store failed, or another version took the number.
    pub async fn write_version(
        &self,
        key: VersionKey,
        row: &rec::BehaviorVersion,
    ) -> Result<(), RegistryError> {
        let key = self.keys.behavior_version(key.type_id, key.ordinal);
        let value = record::encode(row);
        retry(async || {
            let snapshot = self.store.snapshot().await?;
            if crate::store::chunk::read_value(&*snapshot, &key).await?.as_ref() == Some(&value) {
                return Ok(());
            }
            let mut tx = Transaction::default();
            tx.check(key.clone(), None);
            crate::store::chunk::write_new_value(&mut tx, key.clone(), value.clone());
            self.store.commit(tx).await
        })
        .await?;
        Ok(())
    }

    async fn latest(&self, type_id: TypeId) -> Result<Option<(u32, rec::BehaviorVersion)>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let rows = read_all(&*snapshot, self.keys.behavior_version_range(type_id)).await?;
        let Some((key, value)) = rows.last() else { return Ok(None) };
        let (_, ordinal) = self.keys.parse_behavior_version(key)?;
        Ok(Some((ordinal, record::decode(value)?)))
    }
}

fn load_scratch(
    engine: &mut impl Engine,
    source: &BehaviorSource,
    type_name: &Arc<str>,
) -> Result<Interface, RegistryError> {
    let interface = engine
        .load(source)
        .map_err(|error| RegistryError::Behavior { type_name: type_name.clone(), error })?;
    engine.unload(source.key);
    Ok(interface)
}

fn content_hash(actor: &ActorSpec) -> Bytes {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(actor.source.as_bytes());
    if let Some(schema) = &actor.schema {
        hasher.update(format!("{schema:?}").as_bytes());
    }
    Bytes::copy_from_slice(&hasher.digest128().to_be_bytes())
}

fn another_shard(spec: &ShardSpec, found: &rec::Identity) -> String {
    format!(
        "the data belongs to shard {}/{}, not to {}/{}; name another data folder",
        found.namespace, found.name, spec.namespace, spec.name
    )
}

/// What differs of a shard of the same name: the name is part of every key.
fn difference(mine: &rec::Identity, found: &rec::Identity) -> Option<String> {
    if mine.buckets != found.buckets {
        return Some(format!(
            "spec.buckets is {}, but the data was written with {}; buckets cannot change, because every \
             actor's place follows from it: set spec.buckets back to {}, or start with another data folder",
            mine.buckets, found.buckets, found.buckets
        ));
    }
    if mine.root_before_colon != found.root_before_colon {
        return Some(
            "spec.idRoot differs from what the data was written with; it cannot change, because every \
             actor's place follows from it: set it back, or start with another data folder"
                .to_owned(),
        );
    }
    if (mine.hash, mine.layout) != (found.hash, found.layout) {
        return Some(format!(
            "the data has hash {} and layout {}, this version writes hash {} and layout {}; use the version that wrote it",
            found.hash, found.layout, mine.hash, mine.layout
        ));
    }
    None
}
