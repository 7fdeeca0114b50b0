//! What `dev` says about data folders that do not fit its manifests, and that they stay as they are.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::dev::Shard;
use support::http;

fn manifest(name: &str, more: &str) -> String {
    format!(
        "apiVersion: corallite.dev/v1alpha1\nkind: ActorShard\nmetadata: {{ name: {name} }}\nspec:\n  buckets: 16\n  \
         cells: 1\n  store: {{ embedded: {{ size: 1Gi }} }}\n{more}  actors:\n    - type: Counter\n      behavior:\n        \
         source: |\n          export default {{\n            initial: 0,\n            \
         commands: {{ add(n, by, ctx) {{ ctx.emit(\"Added\", by); return ctx.state; }} }},\n            \
         events: {{ Added: (n, by) => n + by }},\n          }};\n"
    )
}

/// A manifest that can change between runs, and the shard it declares.
struct World {
    _folder: tempfile::TempDir,
    path: PathBuf,
    shard: Shard,
}

impl World {
    /// A shard that was served once and counted to three.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("shard.yaml");
        fs::write(&path, manifest("one", "")).expect("write");
        let shard = Shard::new(&[&path]);
        let dev = shard.start();
        http::command(dev.http, "Counter/a", "add", "k-1", "3").expect("an answer");
        assert!(dev.stop("TERM").0.success());
        Self { _folder: folder, path, shard }
    }

    /// What is said about the folder with this manifest; afterwards the old one goes on.
    fn refused(&self, manifest_now: &str) -> String {
        fs::write(&self.path, manifest_now).expect("write");
        let said = self.shard.try_start().err().expect("must not start");
        fs::write(&self.path, manifest("one", "")).expect("write");
        let dev = self.shard.start();
        let state = http::get(dev.http, "/v1/actors/Counter/a").expect("an answer").json();
        assert_eq!(state["state"], 3, "{state}");
        assert!(dev.stop("TERM").0.success());
        said
    }
}

#[test]
fn what_cannot_change_says_why() {
    let world = World::new();
    let said = world.refused(&manifest("one", "").replace("buckets: 16", "buckets: 32"));
    assert!(
        said.contains("error: spec.buckets is 32, but the data was written with 16")
            && said.contains("set spec.buckets back to 16"),
        "{said}"
    );
    let said = world.refused(&manifest("one", "  idRoot: BeforeColon\n"));
    assert!(said.contains("error: spec.idRoot differs from what the data was written with"), "{said}");
    let said = world.refused(&manifest("two", ""));
    assert!(said.contains("error: the data belongs to shard default/one, not to default/two"), "{said}");
}

#[test]
fn a_folder_in_use_by_another_process() {
    let world = World::new();
    let first = world.shard.start();
    let said = world.shard.try_start().err().expect("must not start");
    assert!(said.contains("is in use by another process"), "{said}");
    let added = http::command(first.http, "Counter/a", "add", "k-2", "1").expect("an answer");
    assert_eq!(added.json()["reply"], 4, "the first goes on");
    assert!(first.stop("TERM").0.success());
}

fn journal(data: &Path) -> PathBuf {
    let files = fs::read_dir(data).expect("reads").map(|entry| entry.expect("reads").path());
    files.into_iter().find(|file| file.extension().is_some_and(|e| e == "jnl")).expect("a journal")
}

#[test]
fn a_damaged_file_is_named() {
    let world = World::new();
    let journal = journal(&world.shard.data());
    let whole = fs::read(&journal).expect("reads");
    let mut damaged = whole.clone();
    let used = whole.iter().rposition(|byte| *byte != 0).expect("used");
    damaged[used / 2] ^= 0x55;
    fs::write(&journal, &damaged).expect("writes");
    let said = world.shard.try_start().err().expect("must not start");
    assert!(said.contains(".jnl is damaged: ") && said.contains("from a copy"), "{said}");
    fs::write(&journal, &whole).expect("writes");
    let said = world.refused(&manifest("two", ""));
    assert!(said.contains("belongs to shard"), "as it was: {said}");
}

#[test]
fn a_behavior_that_is_missing_is_named_with_its_place() {
    let world = World::new();
    let at = world.path.with_file_name("shard.yaml");
    let start = manifest("one", "");
    let start = start.split("        source:").next().expect("a first part");
    let said = world.refused(&format!("{start}        configMapKeyRef: {{ name: code, key: counter.js }}\n"));
    assert!(
        said.contains(&format!("{}:11:", at.display())) && said.contains("there is no ConfigMap \"code\""),
        "{said}"
    );
    let said = world.refused(&manifest("one", "  colour: red\n"));
    assert!(said.contains(&format!("{}:8:3: error", at.display())) && said.contains("colour"), "{said}");
}
