//! The embedded store on a disk that is really full.
//!
//! It needs a file system of its own, so it mounts a small one in memory. Where that is not permitted
//! the test says so and checks nothing; the refusal by reserve is tested beside the store.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use corallite_cell::env::MachineClock;
use corallite_cell::ids::{Bucket, Offset};
use corallite_cell::store::embedded::{EmbeddedStore, Options};
use corallite_cell::store::key::Keys;
use corallite_cell::store::{Store, StoreError, Transaction};
use tokio::runtime::Runtime;

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.path().display());
        }
    }
}

/// A record that does not compress, so that the disk fills as fast as it looks.
fn record(offset: u64) -> Transaction {
    let mut state = offset | 1;
    let bytes = (0..50_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let mut tx = Transaction::default();
    let key = Keys::new("default/shop").log(Bucket(0), Offset(offset));
    tx.check(key.clone(), None);
    tx.set(key, bytes.collect());
    tx
}

async fn stored(store: &EmbeddedStore) -> Result<Vec<u64>, StoreError> {
    let keys = Keys::new("default/shop");
    let range = keys.log_range(Bucket(0), Offset(0), None).read(usize::MAX);
    let rows = store.snapshot().await?.range(range).await?;
    rows.iter().map(|(key, _)| Ok(keys.parse_log(key)?.1.0)).collect()
}

/// Commits one record after the other, and notes what was said of each.
#[derive(Default)]
struct Writer {
    next: u64,
    acknowledged: Vec<u64>,
    doubtful: Vec<u64>,
}

impl Writer {
    fn write(&mut self, runtime: &Runtime, store: &EmbeddedStore) -> Result<(), StoreError> {
        let offset = self.next;
        self.next += 1;
        let result = runtime.block_on(store.commit(record(offset)));
        match result {
            Ok(()) => self.acknowledged.push(offset),
            Err(StoreError::Unknown { .. }) => self.doubtful.push(offset),
            Err(_) => {}
        }
        result
    }

    fn check(&self, there: &[u64]) {
        assert!(self.acknowledged.iter().all(|offset| there.contains(offset)), "a record was lost");
        let known = |offset: &u64| self.acknowledged.contains(offset) || self.doubtful.contains(offset);
        assert!(there.iter().all(known), "a record that was surely not applied is there");
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: mounting a small disk is not permitted here");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).expect("writes");

    // Blind to free space, so that the disk itself refuses, in the middle of a write.
    let mut options = Options::new(Arc::new(MachineClock));
    options.free_space = Arc::new(|_| Ok(u64::MAX));
    let store = EmbeddedStore::open(&disk.path().join("store"), options).expect("opens");
    let mut writer = Writer::default();
    while writer.doubtful.is_empty() {
        match writer.write(&runtime, &store) {
            Ok(()) | Err(StoreError::Unknown { .. }) => {}
            Err(other) => panic!("the disk was not full yet: {other}"),
        }
    }
    assert!(writer.acknowledged.len() > 10, "the disk had room for some");
    for _ in 0..5 {
        match writer.write(&runtime, &store) {
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            other => panic!("a full disk answered {other:?}"),
        }
    }

    std::fs::remove_file(&ballast).expect("removes");
    writer.write(&runtime, &store).expect("the store goes on");
    let there = runtime.block_on(stored(&store)).expect("reads");
    writer.check(&there);
    drop(store);

    let store =
        EmbeddedStore::open(&disk.path().join("store"), Options::new(Arc::new(MachineClock))).expect("opens");
    assert_eq!(runtime.block_on(stored(&store)).expect("reads"), there, "and after opening it again");
    let Err(StoreError::Unavailable { reason }) = writer.write(&runtime, &store) else {
        panic!("the reserve is larger than the disk");
    };
    assert!(reason.contains("bytes free"), "{reason}");
    drop(store);
}
