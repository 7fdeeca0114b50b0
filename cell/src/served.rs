//! What a running cell serves, as it is reported and as it changes while it runs: versions of
//! behaviors, and buckets.
//!
//! Guarantees: versions are taken one at a time, and what [`Served::behaviors`] says of a type is what
//! the lanes use. Buckets are read from the store, whose owner rows are the truth; nothing here
//! changes who owns one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corallite_proto::store as rec;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::behavior::ScriptError;
use crate::behavior::quickjs::QuickJsEngine;
use crate::cell::Cell;
use crate::ids::{Bucket, SessionId, TypeId};
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError, Version};
use crate::spec::ActorSpec;
use crate::store::{Snapshot, StoreError, record};

/// Buckets read from one snapshot: a snapshot may be read from for a short time only.
const BUCKETS_AT_ONCE: u32 = 256;
/// How often it is looked whether everything is written out.
const WRITTEN_POLL: Duration = Duration::from_millis(20);

/// What a running cell serves. Clones share it.
#[derive(Clone)]
pub struct Served {
    inner: Arc<Inner>,
}

struct Inner {
    cell: Cell,
    registry: Registry,
    session: SessionId,
    buckets: u32,
    /// Every type the shard ever had, by [`TypeId`].
    type_names: Arc<[Arc<str>]>,
    metrics: Arc<Metrics>,
    /// By [`TypeId`].
    behaviors: Mutex<Vec<ServedBehavior>>,
    /// Held while a version is taken: two at once would draw the same number.
    taking: tokio::sync::Mutex<()>,
}

/// An actor type and the version that is served.
#[derive(Clone, Debug)]
pub struct ServedBehavior {
    /// The type's name.
    pub type_name: Arc<str>,
    /// 1 for the first version the shard ever had of this type, then counting up.
    pub ordinal: u32,
    /// What identifies the version's content.
    pub content: Bytes,
    /// Why the configured behavior is not the one served, if it is not.
    pub refused: Option<ScriptError>,
}

/// A bucket this cell owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// Grows with every change of owner.
    pub epoch: u64,
    /// The offset of its next record.
    pub next_offset: u64,
    /// Everything before this offset is in its checkpoint: a start does not read it again.
    pub checkpoint: u64,
}

/// Why a behavior was not taken: with file and line. The old version goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The shard has no such actor type; types are added by a restart.
    #[error("the running shard has no actor type {0}; restart to add it")]
    UnknownType(Arc<str>),
    /// The version is not taken.
    #[error(transparent)]
    Refused(#[from] RegistryError),
    /// The version cannot read a state that is in memory.
    #[error(transparent)]
    States(#[from] ScriptError),
}

impl ReloadError {
    /// What is wrong with the behavior itself; `None` when it may be taken another time as it is.
    #[must_use]
    pub fn script(&self) -> Option<&ScriptError> {
        match self {
            Self::Refused(RegistryError::Behavior { error, .. }) | Self::States(error) => Some(error),
            Self::UnknownType(_) | Self::Refused(_) => None,
        }
    }
}

/// A behavior was taken.
#[derive(Clone, Copy, Debug)]
pub struct VersionAccepted {
    /// 1 for the first version the shard ever had of this type, then counting up.
    pub ordinal: u32,
}

impl Served {
    pub(crate) fn new(
        cell: Cell,
        registry: Registry,
        session: SessionId,
        buckets: u32,
        versions: &[Version],
        metrics: Arc<Metrics>,
    ) -> Self {
        let behavior = |version: &Version| ServedBehavior {
            type_name: version.source.type_name.clone(),
            ordinal: version.source.key.ordinal,
            content: version.content.clone(),
            refused: version.refused.clone(),
        };
        let behaviors: Vec<ServedBehavior> = versions.iter().map(behavior).collect();
        behaviors.iter().for_each(|behavior| count(&metrics, behavior));
        let type_names = behaviors.iter().map(|behavior| behavior.type_name.clone()).collect();
        let (behaviors, taking) = (Mutex::new(behaviors), tokio::sync::Mutex::default());
        let inner = Inner { cell, registry, session, buckets, type_names, metrics, behaviors, taking };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a new version of an actor type's behavior: prepared by every lane, then stored, then
    /// used.
    ///
    /// # Errors
    /// It does not load, or cannot read what is recorded.
    pub async fn reload(&self, actor: ActorSpec) -> Result<VersionAccepted, ReloadError> {
        let at = self.inner.type_names.iter().position(|name| *name == actor.type_name);
        let at = at.ok_or_else(|| ReloadError::UnknownType(actor.type_name.clone()))?;
        let _taking = self.inner.taking.lock().await;
        let taken = self.take(at, actor).await;
        let mut behaviors = self.inner.behaviors.lock();
        let behavior = &mut behaviors[at];
        match &taken {
            Ok(version) => {
                behavior.ordinal = version.source.key.ordinal;
                behavior.content = version.content.clone();
                behavior.refused = None;
            }
            // A store that could not be asked says nothing of the behavior.
            Err(error) => behavior.refused = error.script().cloned().or(behavior.refused.take()),
        }
        count(&self.inner.metrics, behavior);
        taken.map(|version| VersionAccepted { ordinal: version.source.key.ordinal })
    }

    async fn take(&self, at: usize, actor: ActorSpec) -> Result<Version, ReloadError> {
        let inner = &*self.inner;
        let type_id = TypeId(u32::try_from(at).unwrap_or(u32::MAX));
        let (registry, known) = (inner.registry.clone(), inner.type_names.clone());
        let handle = tokio::runtime::Handle::current();
        let (version, row) = on_scratch_engine(move |engine| {
            handle.block_on(registry.candidate(engine, type_id, &actor, &known))
        })
        .await?;
        let Some(row) = row else { return Ok(version) };
        if let Err(error) = inner.cell.prepare(&version.source).await {
            inner.cell.settle_version(&version.source, false);
            return Err(error.into());
        }
        let written = inner.registry.write_version(version.source.key, &row).await;
        inner.cell.settle_version(&version.source, written.is_ok());
        written?;
        Ok(version)
    }

    /// Every actor type and its version, by name.
    #[must_use]
    pub fn behaviors(&self) -> Vec<ServedBehavior> {
        let mut behaviors = self.inner.behaviors.lock().clone();
        behaviors.sort_by(|a, b| a.type_name.cmp(&b.type_name));
        behaviors
    }

    /// The buckets this session owns, by number.
    ///
    /// # Errors
    /// The store failed.
    pub async fn buckets(&self) -> Result<Vec<OwnedBucket>, StoreError> {
        let mut owned = Vec::new();
        for first in (0..self.inner.buckets).step_by(BUCKETS_AT_ONCE as usize) {
            let snapshot = self.inner.registry.store.snapshot().await?;
            let end = self.inner.buckets.min(first + BUCKETS_AT_ONCE);
            for bucket in (first..end).map(Bucket) {
                owned.extend(self.owned(&*snapshot, bucket).await?);
            }
        }
        Ok(owned)
    }

    async fn owned(
        &self,
        snapshot: &dyn Snapshot,
        bucket: Bucket,
    ) -> Result<Option<OwnedBucket>, StoreError> {
        let keys = &self.inner.registry.keys;
        let Some(owner) = snapshot.get(&keys.owner(bucket)).await? else { return Ok(None) };
        let owner: rec::Owner = record::decode(&owner)?;
        if owner.free || owner.session != self.inner.session.0.to_be_bytes()[..] {
            return Ok(None);
        }
        let head = snapshot.get(&keys.head(bucket)).await?;
        let head: rec::Head = head.as_ref().map(record::decode).transpose()?.unwrap_or_default();
        let checkpoint = snapshot.get(&keys.checkpoint(bucket)).await?;
        let checkpoint: Option<rec::Checkpoint> = checkpoint.as_ref().map(record::decode).transpose()?;
        Ok(Some(OwnedBucket {
            bucket,
            epoch: owner.epoch,
            next_offset: head.next_offset,
            checkpoint: checkpoint.map_or(0, |checkpoint| checkpoint.offset),
        }))
    }

    /// Waits until the checkpoints cover every record that was there when this was called, so that a
    /// stop has little to write and a start little to read. Lanes write old records out by
    /// themselves ([`crate::limits::CHECKPOINT_AGE_MS`]); this does not hurry them. Gives the number
    /// of buckets owned, or `None` if it took longer than `patience`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn written_out(&self, patience: Duration) -> Result<Option<u32>, StoreError> {
        let until = Instant::now() + patience;
        let wanted = self.buckets().await?;
        let mut now = wanted.clone();
        loop {
            // Buckets that left meanwhile are another's to write.
            let mut left = wanted.iter().filter(|wanted| {
                let found = now.iter().find(|now| now.bucket == wanted.bucket);
                found.is_some_and(|now| now.checkpoint < wanted.next_offset)
            });
            if left.next().is_none() {
                return Ok(Some(u32::try_from(now.len()).unwrap_or(u32::MAX)));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(WRITTEN_POLL).await;
            now = self.buckets().await?;
        }
    }

    /// This run of the cell.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.inner.session
    }

    /// The cell itself.
    #[must_use]
    pub fn cell(&self) -> &Cell {
        &self.inner.cell
    }
}

fn count(metrics: &Metrics, behavior: &ServedBehavior) {
    let metrics = metrics.declare_type(&behavior.type_name);
    metrics.behavior_version.set(i64::from(behavior.ordinal));
    metrics.behavior_refused.set(i64::from(behavior.refused.is_some()));
}

/// Runs `work` with an engine of its own, on a thread of its own: engines do not change threads.
pub(crate) async fn on_scratch_engine<T: Send + 'static>(
    work: impl FnOnce(&mut QuickJsEngine) -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    let ended = tokio::task::spawn_blocking(move || {
        let mut engine = QuickJsEngine::new().map_err(|error| RegistryError::Engine(error.to_string()))?;
        work(&mut engine)
    })
    .await;
    ended.unwrap_or_else(|error| Err(RegistryError::Engine(error.to_string())))
}
