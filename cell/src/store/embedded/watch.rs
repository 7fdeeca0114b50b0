//! Who waits for a key to change.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// The watches of a store. A watch is told before the commit that changed its key is answered.
#[derive(Default)]
pub struct Watches {
    by_key: Mutex<BTreeMap<Bytes, Vec<Watch>>>,
    /// Watched keys, so that a store without watches pays nothing.
    count: AtomicUsize,
}

struct Watch {
    value: Option<Bytes>,
    changed: oneshot::Sender<Result<(), StoreError>>,
}

impl Watches {
    /// Adds a watch. `read` is called while no change can be told, so none is missed.
    pub fn add(
        &self,
        key: Bytes,
        read: impl FnOnce(&[u8]) -> Result<Option<Bytes>, StoreError>,
    ) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let mut by_key = self.by_key.lock();
        let (changed, waits) = oneshot::channel();
        // Counted before the key is read: a commit after the read sees the count.
        self.count.fetch_add(1, Ordering::SeqCst);
        let value = match read(&key) {
            Ok(value) => value,
            Err(error) => {
                self.count.store(by_key.len(), Ordering::SeqCst);
                return Err(error);
            }
        };
        let watches = by_key.entry(key).or_default();
        watches.retain(|watch| !watch.changed.is_closed());
        watches.push(Watch { value, changed });
        self.count.store(by_key.len(), Ordering::SeqCst);
        Ok(waits)
    }

    /// Tells the watches of changed keys. Called after the change can be read.
    pub fn tell<'w>(&self, changes: impl Iterator<Item = (&'w Bytes, &'w Option<Bytes>)>) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut by_key = self.by_key.lock();
        for (key, value) in changes {
            let Some(watches) = by_key.get_mut(key) else { continue };
            for watch in watches.extract_if(.., |watch| watch.value != *value || watch.changed.is_closed()) {
                // Nobody waits any more: nothing to tell.
                let _ = watch.changed.send(Ok(()));
            }
            if watches.is_empty() {
                by_key.remove(key);
            }
        }
        self.count.store(by_key.len(), Ordering::SeqCst);
    }
}
