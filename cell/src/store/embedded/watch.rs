//! Who waits for a key to change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::group::Changes;
use crate::store::StoreError;

/// The watches of a store. A watch is told before the commit that changed its key is answered.
#[derive(Default)]
pub struct Watches {
    watched: Mutex<Watched>,
    /// Watched keys, so that a store without watches pays nothing. Raised before a key is read: who
    /// finds it zero after a change knows that a later watch begins with that change.
    count: AtomicUsize,
}

#[derive(Default)]
struct Watched {
    by_key: BTreeMap<Bytes, Vec<Watch>>,
    /// Keys that were watched after the committer last asked: their watch may have begun before a
    /// change the committer did not know it had to tell.
    fresh: BTreeSet<Bytes>,
}

struct Watch {
    value: Option<Bytes>,
    changed: oneshot::Sender<Result<(), StoreError>>,
}

type Read<'r> = &'r dyn Fn(&Bytes) -> Result<Option<Bytes>, StoreError>;

impl Watches {
    /// Adds a watch.
    pub fn add(
        &self,
        key: Bytes,
        read: Read<'_>,
    ) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let mut watched = self.watched.lock();
        self.count.fetch_add(1, Ordering::SeqCst);
        let (changed, waits) = oneshot::channel();
        let value = read(&key).inspect_err(|_| self.count(&watched))?;
        watched.fresh.insert(key.clone());
        let watches = watched.by_key.entry(key).or_default();
        watches.retain(|watch| !watch.changed.is_closed());
        watches.push(Watch { value, changed });
        self.count(&watched);
        Ok(waits)
    }

    /// Those of some changes that somebody waits for. Called before they are made.
    pub fn of_interest(&self, changes: &Changes) -> Changes {
        if self.count.load(Ordering::SeqCst) == 0 {
            return Changes::new();
        }
        let mut watched = self.watched.lock();
        watched.fresh.clear();
        let is_watched = |(key, _): &(&Bytes, &Option<Bytes>)| watched.by_key.contains_key(*key);
        changes.iter().filter(is_watched).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Tells the watches of changed keys. Called after the changes can be read, with `read`.
    pub fn tell(&self, mut changes: Changes, read: Read<'_>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut watched = self.watched.lock();
        for key in std::mem::take(&mut watched.fresh) {
            // A key that cannot be read wakes nobody; its next change will.
            if let Ok(value) = read(&key) {
                changes.insert(key, value);
            }
        }
        for (key, value) in changes {
            let Some(watches) = watched.by_key.get_mut(&key) else { continue };
            for watch in watches.extract_if(.., |watch| watch.value != value || watch.changed.is_closed()) {
                // Nobody waits any more: nothing to tell.
                let _ = watch.changed.send(Ok(()));
            }
            if watches.is_empty() {
                watched.by_key.remove(&key);
            }
        }
        self.count(&watched);
    }

    fn count(&self, watched: &Watched) {
        self.count.store(watched.by_key.len(), Ordering::SeqCst);
    }
}
