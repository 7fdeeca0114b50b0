//! Data folders that do not fit: refused with a sentence that says why, and left as they are.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use corallite_cell::serve::Config;
use serde_json::json;

use super::world::{World, config_in};

/// A folder with one counter in it, and a cell that has stopped.
async fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(config_in(folder.path())).await;
    for _ in 0..20 {
        world.apply("Counter/a", "add", r#"{"by":1}"#).await;
    }
    world.stop().await;
    folder
}

async fn refused(config: Config) -> String {
    match World::try_start(config).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("the cell started"),
    }
}

/// What was there before is there, and goes on.
async fn intact(folder: &Path) {
    let world = World::start(config_in(folder)).await;
    assert_eq!(world.state("Counter/a").await, (json!({ "n": 20, "heard": [] }), 20));
    world.apply("Counter/a", "add", r#"{"by":0}"#).await;
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_change_has_changed() {
    let folder = written().await;
    let mut config = config_in(folder.path());
    config.spec.buckets = 32;
    let said = refused(config).await;
    assert!(said.contains("spec.buckets is 32, but the data was written with 16"), "{said}");
    let mut config = config_in(folder.path());
    config.spec.root_before_colon = true;
    let said = refused(config).await;
    assert!(said.contains("spec.idRoot differs") && said.contains("set it back"), "{said}");
    let mut config = config_in(folder.path());
    config.spec.name = "other".into();
    let said = refused(config).await;
    assert!(said.contains("the data belongs to shard default/test, not to default/other"), "{said}");
    intact(folder.path()).await;
}

#[tokio::test]
async fn a_folder_in_use() {
    let folder = written().await;
    let world = World::start(config_in(folder.path())).await;
    let said = refused(config_in(folder.path())).await;
    assert!(said.contains("in use") && said.contains(&folder.path().display().to_string()), "{said}");
    assert_eq!(world.state("Counter/a").await.1, 20, "the first goes on");
    world.stop().await;
    intact(folder.path()).await;
}

#[tokio::test]
async fn a_folder_that_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").expect("writes");
    let said = refused(config_in(&file)).await;
    assert!(said.contains(&file.display().to_string()), "{said}");
}

#[tokio::test]
async fn an_address_in_use() {
    let world = World::new().await;
    let mut config = super::world::config();
    config.listeners.http = world.running.addresses().http;
    let said = refused(config).await;
    assert!(said.contains("cannot listen on") && said.contains("HTTP"), "{said}");
    world.stop().await;
}

/// Every file below a folder that holds something.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).expect("reads").len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let at = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(at.parent().expect("a folder")).expect("makes");
        fs::copy(&file, at).expect("copies");
    }
}

#[tokio::test]
async fn a_changed_byte_is_named_or_harmless() {
    let folder = written().await;
    let journal = files(folder.path()).into_iter().find(|file| file.extension().is_some_and(|e| e == "jnl"));
    let journal = journal.expect("a journal");
    let bytes = fs::read(&journal).expect("reads");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("used");
    for at in [used / 8, used / 4, used / 2] {
        let copied = tempfile::tempdir().expect("a folder");
        copy(folder.path(), copied.path());
        let damaged = copied.path().join(journal.file_name().expect("a name"));
        let mut file = OpenOptions::new().write(true).open(&damaged).expect("opens");
        file.seek(SeekFrom::Start(at as u64)).expect("seeks");
        file.write_all(&[bytes[at] ^ 0x55]).expect("writes");
        drop(file);
        let said = refused(config_in(copied.path())).await;
        assert!(said.contains("is damaged") && said.contains("restore data folder"), "{at}: {said}");
    }
    intact(folder.path()).await;
}

#[tokio::test]
async fn files_cut_off_or_gone_are_an_error_and_never_an_empty_shard() {
    let folder = written().await;
    for file in files(folder.path()) {
        for cut in [true, false] {
            let copied = tempfile::tempdir().expect("a folder");
            copy(folder.path(), copied.path());
            let damaged = copied.path().join(file.strip_prefix(folder.path()).expect("below"));
            if cut {
                let half = fs::metadata(&damaged).expect("reads").len() / 2;
                OpenOptions::new().write(true).open(&damaged).expect("opens").set_len(half).expect("cuts");
            } else {
                fs::remove_file(&damaged).expect("removes");
            }
            // Either it is refused with the folder's name, or the file held nothing that matters:
            // never a shard that has forgotten.
            match World::try_start(config_in(copied.path())).await {
                Err(error) => {
                    let said = error.to_string();
                    assert!(said.contains(&copied.path().display().to_string()), "{file:?} {cut}: {said}");
                }
                Ok(world) => {
                    assert_eq!(world.state("Counter/a").await.1, 20, "{file:?} {cut}");
                    world.stop().await;
                }
            }
        }
    }
    intact(folder.path()).await;
}
