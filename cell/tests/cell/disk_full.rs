//! A full disk: commands are told to come again, nothing is lost, and the cell goes on by itself.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corallite_cell::env::MachineClock;
use corallite_cell::store::embedded::{EmbeddedStore, Options};
use serde_json::json;

use super::world::{World, config_in};

#[tokio::test]
async fn with_less_than_the_reserve_commands_are_503_until_there_is_space_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let mut options = Options::new(Arc::new(MachineClock));
    let told = free.clone();
    options.free_space = Arc::new(move |_| Ok(told.load(Ordering::SeqCst)));
    let world = World::on(Arc::new(EmbeddedStore::open(folder.path(), options).expect("opens"))).await;
    world.apply("Counter/a", "add", r#"{"by":1}"#).await;
    world.apply("Counter/a", "alarm", r#"{"after":"20ms"}"#).await;
    let told = json!({ "to": "r", "command": "hear", "payload": { "n": 1 } }).to_string();
    world.apply("Sender/s", "tell", &told).await;

    free.store(0, Ordering::SeqCst);
    for _ in 0..5 {
        let reply = world.post("Counter/a", "add", r#"{"by":1}"#).await;
        let said = reply.refused(503, "StoreUnavailable");
        assert!(said.contains("bytes free") && said.contains("free some space"), "{said}");
        assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
        // What needs no disk is still served.
        assert_eq!(world.get("/v1/actors/Counter/a").await.json()["state"]["n"], 1);
        world.post("Counter/b", "refuse", "\"no\"").await.refused(409, "Refused");
    }
    assert_eq!(world.get("/v1/actors/Counter/b").await.status, 404);

    free.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(world.apply("Counter/a", "add", r#"{"by":1}"#).await["reply"], 2, "none of the five happened");
    world.state_where("Counter/a", |state| state["rang"] == true).await;
    world.state_where("Receiver/r", |state| state["heard"] == json!([1])).await;
    world.stop().await;

    let world = World::start(config_in(folder.path())).await;
    assert_eq!(world.state("Counter/a").await.0, json!({ "n": 2, "heard": [], "rang": true }));
    assert_eq!(world.state("Receiver/r").await.0["heard"], json!([1]), "once");
    world.stop().await;
}

/// A small file system in memory; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
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

#[tokio::test]
async fn a_disk_that_is_really_full_loses_nothing() {
    let Some(disk) = SmallDisk::mount(80) else {
        eprintln!("SKIPPED: mounting a small disk is not permitted here");
        return;
    };
    let data = disk.path().join("data");
    let world = World::start(config_in(&data)).await;
    let large = r#"{"events":1,"bytes":900000}"#;
    let mut applied = 0;
    let refused = loop {
        let reply = world.post("Counter/a", "flood", large).await;
        if reply.status != 200 {
            break reply;
        }
        applied += 1;
        assert!(applied < 1_000, "the disk never became full");
    };
    let said = refused.refused(503, "StoreUnavailable");
    assert!(said.contains("bytes free"), "{said}");
    assert!(applied > 3, "the disk had room for some");
    // Reads go on; and with the ballast gone so do commands.
    assert_eq!(world.state("Counter/a").await.1, applied);
    let grown = Command::new("mount").args(["-o", "remount,size=300m"]).arg(disk.path()).status();
    assert!(grown.is_ok_and(|status| status.success()), "the disk was mounted by us");
    assert_eq!(world.apply("Counter/a", "flood", large).await["seq"], applied + 1);
    world.stop().await;
    let world = World::start(config_in(&data)).await;
    assert_eq!(world.state("Counter/a").await.1, applied + 1);
    world.stop().await;
}
