//! What the operator waits for before it can do its work.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// The list of what is waited for. Ready when it is empty.
///
/// A process that does not lead is ready: it is ready to take over. Liveness knows nothing of this:
/// a missing definition is not mended by a restart.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    waits_for: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// Waits for the definition of `ActorShard`.
pub const DEFINITION: &str =
    "the CustomResourceDefinition actorshards.corallite.dev (install the chart corallite-crds)";
/// Waits for the first listing of what it watches.
pub const WATCHES: &str = "the first listing of watched objects";

impl Readiness {
    /// Adds or removes something that is waited for.
    pub fn set(&self, what: &'static str, waiting: bool) {
        let mut waits_for = self.waits_for.lock();
        if waiting && waits_for.insert(what) {
            tracing::info!("waiting for {what}");
        } else if !waiting && waits_for.remove(what) {
            tracing::info!("there is {what}");
        }
    }

    /// What is waited for, in words; `None` when ready.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        let waits_for = self.waits_for.lock();
        let list: Vec<_> = waits_for.iter().copied().collect();
        (!list.is_empty()).then(|| format!("waiting for {}", list.join(" and ")))
    }
}
