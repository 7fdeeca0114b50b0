//! Manifests on disk, good and bad, and what is said about them.

use std::fs;

use tempfile::TempDir;

use super::*;

const HEAD: &str = "apiVersion: corallite.dev/v1alpha1\nkind: ActorShard\nmetadata: { name: shop }\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn load_folder(folder: &TempDir) -> Loaded {
    load(&[folder.path().to_owned()])
}

/// The findings of one manifest, without the folder's name.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let folder = folder(files);
    let prefix = format!("{}/", folder.path().display());
    load_folder(&folder).findings.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

#[track_caller]
fn says(manifest: &str, expected: &[&str]) {
    let findings = findings(&[("shard.yaml", manifest)]);
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, expected) in findings.iter().zip(expected) {
        assert!(finding.starts_with(expected), "{finding}\n  does not start with\n{expected}");
    }
}

fn shard(spec: &str) -> String {
    format!("{HEAD}spec:\n{}", spec.trim_start_matches('\n'))
}

const ACTORS: &str = "  actors:\n    - { type: A, behavior: { source: x } }\n";

#[test]
fn a_minimal_shard_gets_every_default() {
    let folder = folder(&[("shard.yaml", &shard(&format!("  store: {{ embedded: {{}} }}\n{ACTORS}")))]);
    let loaded = load_folder(&folder);
    assert_eq!(loaded.findings, []);
    let spec = &loaded.shards[0].spec;
    assert_eq!((spec.namespace.as_str(), spec.name.as_str(), spec.buckets), ("default", "shop", 256));
    assert!(!spec.root_before_colon);
    assert_eq!((&*spec.actors[0].type_name, &*spec.actors[0].file), ("A", "A.js"));
    assert_eq!(spec.actors[0].snapshot_every_events, 100);
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_at_its_place() {
    let manifest = shard(
        "
  bukets: 8
  cells: 0
  deletionPolicy: Keep
  colour: red
  store: { embedded: { size: 10GB } }
  actors:
    - type: A
      behaviour: { source: x }
      limits: { stateBytes: \"1\" }
    - type: A
      behavior: { source: x }
    - { type: 9x, behavior: { source: x } }
",
    );
    says(
        &manifest,
        &[
            "shard.yaml:5:3: error: spec.bukets: unknown field; did you mean buckets?",
            "shard.yaml:6:3: error: spec.cells: 0 is less than 1, the least allowed",
            "shard.yaml:7:3: error: spec.deletionPolicy: \"Keep\" is not one of \"Retain\", \"Delete\"",
            "shard.yaml:8:3: error: spec.colour: unknown field; known here: actors, auth, buckets,",
            "shard.yaml:9:24: error: spec.store.embedded.size: \"10GB\" is not an amount of bytes; write a number",
            "shard.yaml:11:7: error: spec.actors[0]: behavior is missing",
            "shard.yaml:12:7: error: spec.actors[0].behaviour: unknown field; did you mean behavior?",
            "shard.yaml:13:17: error: spec.actors[0].limits.stateBytes: \"1\" is of the wrong type; integer is",
            "shard.yaml:14:7: error: spec.actors[1].type: \"A\" is already declared on line 11",
            "shard.yaml:16:9: error: spec.actors[2].type: \"9x\" does not match ^[A-Za-z][A-Za-z0-9_]*$; Name of the",
        ],
    );
}

#[test]
fn rules_are_told_with_their_reason() {
    says(
        &shard(&format!("  cells: 2\n  store: {{ embedded: {{}} }}\n{ACTORS}")),
        &["shard.yaml:5:3: error: spec.cells: cells must be 1 with store.embedded: that store is a volume"],
    );
    says(
        &shard("  store: {}\n  actors: [{ type: A, behavior: {} }]\n"),
        &[
            "shard.yaml:5:3: error: spec.store: store needs exactly one of foundationdb and embedded",
            "shard.yaml:6:23: error: spec.actors[0].behavior: behavior needs exactly one of source and",
        ],
    );
    says(
        &shard(&format!("  store: {{ embedded: {{ size: 8Ei }} }}\n{ACTORS}")),
        &["shard.yaml:5:24: error: spec.store.embedded.size: \"8Ei\" is more than 2^63-1 bytes"],
    );
    says(
        &shard(&format!("  store: {{ embedded: }}\n{ACTORS}")),
        &["shard.yaml:5:12: error: spec.store.embedded: null is of the wrong type; object is needed"],
    );
}

#[test]
fn what_is_no_manifest_of_ours_is_told() {
    says("a: 1\n", &["shard.yaml:1:1: error: the document is no manifest: apiVersion and kind"]);
    says(
        "apiVersion: corallite.dev/v1alpha1\nkind: ActorShart\n",
        &[
            "shard.yaml:2:1: error: kind: corallite.dev has no kind \"ActorShart\"; it has ActorShard and View",
        ],
    );
    says(
        "apiVersion: corallite.dev/v9\nkind: View\n",
        &[
            "shard.yaml:1:1: error: apiVersion: \"corallite.dev/v9\" is not served; write corallite.dev/v1alpha1",
        ],
    );
    says(
        "apiVersion: apps/v1\nkind: Deployment\n",
        &["shard.yaml:2:1: warning: kind: Deployment of apps/v1 is for the cluster"],
    );
    says("a: [1\n", &["shard.yaml:1:4: error: "]);
    says("\n---\n", &[]);
}

#[test]
fn missing_files_and_empty_folders_are_told() {
    let loaded = load(&["/nowhere/shard.yaml".into()]);
    assert!(
        loaded.findings[0].to_string().starts_with("/nowhere/shard.yaml: error: the file cannot be read")
    );
    let empty = folder(&[("readme.md", "")]);
    assert!(load_folder(&empty).findings[0].message.starts_with("no manifests"));
    let binary = folder(&[("shard.yaml", "")]);
    fs::write(binary.path().join("shard.yaml"), [0xff, 0xfe]).expect("written");
    assert!(load_folder(&binary).findings[0].message.contains("not UTF-8"));
}

#[test]
fn a_name_is_declared_once_across_all_files() {
    let one = shard(&format!("  store: {{ embedded: {{}} }}\n{ACTORS}"));
    let other = one.replace("name: shop", "name: shop, namespace: eu");
    let findings = findings(&[("a.yaml", &one), ("b.yaml", &one), ("c.yaml", &other)]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("b.yaml:3:13: error: metadata.name: ActorShard default/shop is already"));
}

const REFERENCE: &str = "
  store: { embedded: {} }
  actors:
    - type: Order
      behavior: { configMapKeyRef: { name: code, key: order.js } }
";

const KUSTOMIZATION: &str = "\
resources: [shard.yaml]
configMapGenerator:
  - name: code
    files: [order.js, other.js=src.js]
generatorOptions: { disableNameSuffixHash: true }
";

#[test]
fn a_behavior_is_read_from_the_file_that_the_kustomization_names() {
    let folder = folder(&[
        ("shard.yaml", &shard(REFERENCE)),
        ("kustomization.yaml", KUSTOMIZATION),
        ("order.js", "export default {};\n"),
    ]);
    let loaded = load_folder(&folder);
    assert_eq!(loaded.findings, []);
    let actor = &loaded.shards[0].spec.actors[0];
    assert_eq!((&*actor.file, &*actor.source), ("order.js", "export default {};\n"));
    assert_eq!(loaded.shards[0].behaviors[0].file, folder.path().join("order.js"));
    let names: Vec<_> = loaded.files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
    assert_eq!(names, ["kustomization.yaml", "order.js", "shard.yaml"]);
}

#[test]
fn a_behavior_is_read_from_a_config_map_manifest_first() {
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: code }\ndata:\n  order.js: |\n    from the map\n";
    let folder = folder(&[
        ("map.yml", map),
        ("shard.yaml", &shard(REFERENCE)),
        ("kustomization.yaml", KUSTOMIZATION),
        ("order.js", "from the file"),
    ]);
    let loaded = load_folder(&folder);
    assert_eq!(loaded.findings, []);
    assert_eq!(&*loaded.shards[0].spec.actors[0].source, "from the map\n");
}

#[test]
fn references_that_lead_nowhere_say_what_is_there() {
    let shard = shard(REFERENCE);
    let alone = findings(&[("shard.yaml", &shard)]);
    assert!(alone[0].starts_with(
        "shard.yaml:8:38: error: spec.actors[0].behavior.configMapKeyRef.name: there is no ConfigMap \"code\""
    ));
    let no_key =
        findings(&[("shard.yaml", &shard), ("kustomization.yaml", &KUSTOMIZATION.replace("order.js,", ""))]);
    assert!(no_key[0].starts_with("shard.yaml:8:50: error: "), "{no_key:?}");
    assert!(no_key[0].ends_with("ConfigMap \"code\" has no key \"order.js\"; it has other.js"), "{no_key:?}");
    let no_file = findings(&[("shard.yaml", &shard), ("kustomization.yaml", KUSTOMIZATION)]);
    assert!(
        no_file[0].starts_with("kustomization.yaml:4:13: error: order.js: the file cannot be read"),
        "{no_file:?}"
    );
}

#[test]
fn a_kustomization_that_renames_its_map_is_warned_about() {
    let files = [
        ("shard.yaml", shard(REFERENCE)),
        ("kustomization.yaml", KUSTOMIZATION.replace("disableNameSuffixHash: true", "")),
        ("order.js", "export default {}".to_owned()),
    ];
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
    let findings = findings(&files);
    assert!(
        findings[0]
            .starts_with("kustomization.yaml:3:5: warning: configMapGenerator: kubectl apply -k would call")
    );
}

#[test]
fn what_is_declared_but_not_served_is_warned_about() {
    let manifest = shard(
        "
  store: { embedded: {} }
  actors:
    - type: A
      behavior: { source: x }
      indexes: [{ name: byUser, field: userId }]
      reactions: [{ name: r, on: A.E, to: { index: byUser, equals: event.id }, command: c }]
---
apiVersion: corallite.dev/v1alpha1
kind: View
metadata: { name: v }
spec: { shard: shop, query: SELECT 1 }
---
apiVersion: corallite.dev/v1alpha1
kind: View
metadata: { name: w }
spec: { shard: nowhere, query: SELECT 1 }
",
    );
    says(
        &manifest,
        &[
            "shard.yaml:9:7: warning: spec.actors[0].indexes: indexes are declared but not served by this version",
            "shard.yaml:10:7: warning: spec.actors[0].reactions: reactions are declared but not served",
            "shard.yaml:13:1: warning: View v: views are declared but not served by this version",
            "shard.yaml:20:9: error: spec.shard: there is no ActorShard \"default/nowhere\" among the manifests",
        ],
    );
}

#[test]
fn one_bad_shard_does_not_hide_the_good_one() {
    let good = shard(&format!("  store: {{ embedded: {{}} }}\n{ACTORS}"));
    let bad = good.replace("name: shop", "name: bad").replace("type: A", "tipe: A");
    let folder = folder(&[("a.yaml", &bad), ("b.yaml", &good)]);
    let loaded = load_folder(&folder);
    assert!(loaded.has_errors());
    assert_eq!(loaded.shards.len(), 1);
    assert_eq!(loaded.shards[0].spec.name, "shop");
}

#[test]
fn the_shop_is_without_findings() {
    let loaded = load(&[PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/shop")]);
    assert_eq!(loaded.findings, []);
    let types: Vec<_> = loaded.shards[0].spec.actors.iter().map(|actor| &*actor.type_name).collect();
    assert_eq!(types, ["User", "Product", "Inventory", "Order", "Payment"]);
    assert!(loaded.shards[0].spec.actors.iter().all(|actor| actor.schema.is_some()));
}
