//! What `dev` says about manifests it cannot serve.

mod support;

use std::path::Path;

use support::dev::Shard;
use support::{Ended, corallite};

fn shard(name: &str) -> String {
    format!(
        "apiVersion: corallite.dev/v1alpha1\nkind: ActorShard\nmetadata: {{ name: {name} }}\nspec:\n  buckets: 16\n  \
         cells: 1\n  store: {{ embedded: {{ size: 1Gi }} }}\n  actors:\n    - type: Counter\n      behavior:\n        \
         source: |\n          export default {{ initial: {{}}, commands: {{}}, events: {{}} }};\n"
    )
}

fn dev(folder: &Path) -> Ended {
    let folder = folder.to_str().expect("UTF-8");
    corallite(&["dev", folder, "--ephemeral"]).output().expect("the binary starts").into()
}

#[test]
fn a_folder_must_declare_exactly_one_shard() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let none = dev(folder.path());
    assert_eq!(none.code, 1, "{none:?}");
    std::fs::write(folder.path().join("one.yaml"), shard("one")).expect("write");
    std::fs::write(folder.path().join("two.yaml"), shard("two")).expect("write");
    let two = dev(folder.path());
    assert_eq!(two.code, 1, "{two:?}");
    assert!(two.stderr.contains("one, two") && two.stderr.contains("one at a time"), "{two:?}");
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_with_its_place() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let wrong = shard("one").replace("buckets: 16", "bukkets: 16");
    std::fs::write(folder.path().join("one.yaml"), wrong).expect("write");
    let ended = dev(folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("one.yaml:5:") && ended.stderr.contains("bukkets"), "{ended:?}");
}

#[test]
fn what_a_local_run_does_not_do_is_said_with_its_place() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let cluster = "foundationdb: { clusterFile: { configMapKeyRef: { name: fdb, key: cluster-file } } }";
    let manifest = shard("one").replace("cells: 1", "cells: 3").replace("embedded: { size: 1Gi }", cluster);
    let path = folder.path().join("one.yaml");
    std::fs::write(&path, manifest).expect("write");
    let said = Shard::new(&[&path]).with(&["--ephemeral"]).start().said();
    for part in [
        "one.yaml:7:12: warning: spec.store.foundationdb: a local run keeps the shard in the embedded store",
        "one.yaml:6:3: warning: spec.cells: 3 are declared; a local run serves every bucket from one cell",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
}

#[test]
fn a_behavior_that_does_not_load_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let broken = shard("one").replace("commands: {}", "commands: { add( }");
    std::fs::write(folder.path().join("one.yaml"), broken).expect("write");
    let ended = dev(folder.path());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("behavior of Counter: Counter.js:1:"), "{ended:?}");
}
