//! What `dev` says about manifests it cannot serve.

mod support;

use std::path::Path;

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
