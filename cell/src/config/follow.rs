//! Takes a changed config folder over while the cell runs.
//!
//! The `hash` file is looked at every [`POLL`]; a change of it is what counts, however the files got
//! there. Behaviors that changed are compiled first; one that is refused leaves the old one in use.
//! Everything else that changed needs a restart, which is the operator's to decide. A behavior that
//! could not be taken because the store failed is tried again.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{ConfigError, Rendered, read, read_hash};
use crate::served::{ReloadError, Served};
use crate::spec::change::{Change, changes};
use crate::spec::{ActorSpec, ShardSpec};

/// How often the folder is looked at.
pub const POLL: Duration = Duration::from_millis(500);

/// What became of the config as last processed. Clones share it.
#[derive(Clone, Default)]
pub struct Report {
    inner: Arc<Mutex<(String, Option<String>)>>,
}

impl Report {
    /// Says that the config with this hash was processed, and what of it was not taken.
    pub fn processed(&self, hash: &str, error: Option<String>) {
        *self.inner.lock() = (hash.to_owned(), error);
    }

    /// The hash, and what of that config was not taken.
    #[must_use]
    pub fn get(&self) -> (String, Option<String>) {
        self.inner.lock().clone()
    }
}

/// Follows a config folder until it is dropped; `current` is what the cell was started with.
pub async fn follow(folder: PathBuf, current: Rendered, served: Served, report: Report) -> Infallible {
    let Rendered { hash, spec: started } = current;
    let (mut done, mut spec) = (hash, started.clone());
    loop {
        tokio::time::sleep(POLL).await;
        // While the folder is swapped there may be none; it is looked at again.
        let Ok(now) = read_hash(&folder) else { continue };
        if now == done {
            continue;
        }
        match read_in_background(folder.clone()).await {
            Ok(rendered) => {
                let settled = take(&served, &mut spec, rendered.spec).await;
                let error = needs_restart(&started, &spec);
                if settled {
                    tracing::info!(hash = rendered.hash, "the changed config was processed");
                    report.processed(&rendered.hash, error);
                    done = rendered.hash;
                }
            }
            Err(ConfigError::Restless(_)) => {}
            Err(error) => {
                tracing::warn!(hash = now, %error, "the changed config is not taken");
                report.processed(&now, Some(error.to_string()));
                done = now;
            }
        }
    }
}

async fn read_in_background(folder: PathBuf) -> Result<Rendered, ConfigError> {
    let path = folder.clone();
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    read.unwrap_or(Err(ConfigError::Restless(folder)))
}

/// Takes what can be taken. Says whether every behavior is now either taken or refused; one that is
/// neither stays as it was in `before`.
async fn take(served: &Served, before: &mut ShardSpec, mut after: ShardSpec) -> bool {
    let mut settled = true;
    for change in changes(before, &after) {
        let Change::Reload(actor) = change else { continue };
        let type_name = actor.type_name.clone();
        match served.reload(actor).await {
            Ok(taken) => tracing::info!(%type_name, version = taken.ordinal, "a behavior was taken"),
            Err(error) if error.script().is_some() => {
                tracing::warn!(%type_name, %error, "a behavior is refused, the old version goes on");
            }
            // Declared since the start: it needs a restart, which is said elsewhere.
            Err(ReloadError::UnknownType(_)) => {}
            Err(error) => {
                tracing::warn!(%type_name, %error, "a behavior could not be taken; it is tried again");
                settled = false;
                let is_it = |actor: &&ActorSpec| actor.type_name == type_name;
                if let Some(old) = before.actors.iter().find(is_it)
                    && let Some(new) = after.actors.iter_mut().find(|actor| actor.type_name == type_name)
                {
                    *new = old.clone();
                }
            }
        }
    }
    *before = after;
    settled
}

/// What of a config a cell that was started with another cannot take.
fn needs_restart(started: &ShardSpec, now: &ShardSpec) -> Option<String> {
    let sentences: Vec<String> = changes(started, now)
        .into_iter()
        .filter_map(|change| match change {
            Change::NeedsRestart(why) => Some(why),
            Change::Reload(_) => None,
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}
