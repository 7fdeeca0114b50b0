//! Tells when manifests or behaviors may have changed. What changed is found by reading them again,
//! so a signal too many does no harm.
//!
//! Editors write files in several steps; a burst of changes is one signal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A burst is over when nothing happened for this long.
const QUIET: Duration = Duration::from_millis(100);
/// A burst is reported after this long, even if it goes on.
const BURST_MAX: Duration = Duration::from_secs(2);

/// Watches files and folders until it is dropped.
pub struct Changes {
    signals: mpsc::Receiver<()>,
    // Dropping it ends the watching.
    _watcher: RecommendedWatcher,
}

/// Watches folders, and files through the folders they are in; not what is below.
///
/// # Errors
/// The system cannot watch one of them.
pub fn changes<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> notify::Result<Changes> {
    let (sender, signals) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.as_ref().is_ok_and(is_relevant) {
            // A signal that is waiting already covers this one.
            let _ = sender.try_send(());
        }
    })?;
    // Editors replace files, which would end the watching of the file itself.
    let folder = |path: &'a PathBuf| if path.is_dir() { path.as_path() } else { folder_of(path) };
    for folder in paths.into_iter().map(folder).collect::<BTreeSet<&Path>>() {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(Changes { signals, _watcher: watcher })
}

impl Changes {
    /// Waits for a burst of changes and its end.
    pub async fn next(&mut self) {
        if self.signals.recv().await.is_none() {
            // The watcher is part of self, so this is never reached; if it were, nothing changes.
            return std::future::pending().await;
        }
        let latest = Instant::now() + BURST_MAX;
        while Instant::now() < latest {
            if tokio::time::timeout(QUIET, self.signals.recv()).await.is_err() {
                break;
            }
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Reading a file is an event too, and so is every write of a store below a watched folder.
fn is_relevant(event: &notify::Event) -> bool {
    let is_source = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json" | "js" | "mjs"))
    };
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(is_source)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn changed(changes: &mut Changes) -> bool {
        tokio::time::timeout(Duration::from_secs(10), changes.next()).await.is_ok()
    }

    #[tokio::test]
    async fn a_written_or_replaced_behavior_is_told() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let behavior = folder.path().join("order.js");
        std::fs::write(&behavior, "1").expect("write");
        let mut changes = changes([&folder.path().to_owned()]).expect("watch");
        std::fs::write(&behavior, "2").expect("write");
        assert!(changed(&mut changes).await, "a file written in place");
        std::fs::write(folder.path().join("tmp"), "3").expect("write");
        std::fs::rename(folder.path().join("tmp"), &behavior).expect("rename");
        assert!(changed(&mut changes).await, "a file replaced by another");
    }

    #[tokio::test]
    async fn a_single_file_is_watched_through_its_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let manifest = folder.path().join("shop.yaml");
        std::fs::write(&manifest, "a: 1").expect("write");
        let mut changes = changes([&manifest]).expect("watch");
        std::fs::remove_file(&manifest).expect("remove");
        std::fs::write(&manifest, "a: 2").expect("write");
        assert!(changed(&mut changes).await);
    }

    #[test]
    fn reading_and_store_files_are_not_changes() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        assert!(is_relevant(&event(EventKind::Any, "a/order.js")));
        assert!(!is_relevant(&event(EventKind::Any, "corallite-data/default-shop/journal")));
        assert!(!is_relevant(&event(EventKind::Access(notify::event::AccessKind::Any), "a/order.js")));
    }
}
