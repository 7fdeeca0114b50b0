use super::*;

const SHARD: &str = r#"
apiVersion: corallite.dev/v1alpha1
kind: ActorShard
metadata: { name: shop, namespace: market }
spec:
  buckets: 8
  idRoot: BeforeColon
  store: { embedded: {} }
  actors:
    - type: Order
      behavior: { configMapKeyRef: { name: behaviors, key: order.js } }
      limits: { commandMilliseconds: 7 }
    - type: User
      behavior: { source: "export default {}" }
"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn refused(manifest: &str) -> String {
    let folder = folder(&[("hash", "1"), ("shard.yaml", manifest), ("Order.js", "")]);
    let error = read(folder.path()).expect_err("refused").to_string();
    assert!(error.contains("shard.yaml"), "{error}");
    error
}

#[test]
fn a_folder_becomes_a_spec_with_defaults() {
    let folder = folder(&[("hash", "abc\n"), ("shard.yaml", SHARD), ("Order.js", "export default 1")]);
    let Rendered { hash, spec } = read(folder.path()).expect("good");
    assert_eq!((&*hash, &*spec.namespace, &*spec.name), ("abc", "market", "shop"));
    assert_eq!((spec.buckets, spec.root_before_colon), (8, true));
    let [order, user] = &spec.actors[..] else { panic!("{spec:?}") };
    assert_eq!((&*order.type_name, &*order.file, &*order.source), ("Order", "order.js", "export default 1"));
    assert_eq!((order.script.command_ms, user.script.command_ms), (7, 50));
    assert_eq!((&*user.file, &*user.source), ("User.js", "export default {}"));
}

#[test]
fn what_is_missing_is_named() {
    let folder = folder(&[("shard.yaml", SHARD)]);
    let error = read(folder.path()).expect_err("no hash").to_string();
    assert!(error.contains("/hash\"") && error.contains("--config"), "{error}");
    fs::write(folder.path().join("hash"), "1").expect("written");
    let error = read(folder.path()).expect_err("no behavior").to_string();
    assert!(error.contains("Order.js") && error.contains("\"behaviors\", key \"order.js\""), "{error}");
}

#[test]
fn what_is_wrong_in_the_manifest_names_its_field() {
    assert!(refused("a: [1").contains("not YAML"));
    assert!(refused(&SHARD.replace("kind: ActorShard", "kind: Pod")).contains("kind: it is \"Pod\""));
    assert!(refused(&SHARD.replace(", namespace: market", "")).contains("metadata.namespace"));
    assert!(refused(&SHARD.replace("buckets: 8", "buckets: 0")).contains("spec.buckets: "));
    let error = refused(&SHARD.replace("commandMilliseconds: 7", "commandMilliseconds: x"));
    assert!(error.contains("spec.actors[0].limits.commandMilliseconds: "), "{error}");
    let store = "{ foundationdb: { clusterFile: { configMapKeyRef: { name: fdb, key: cluster-file } } } }";
    let error = refused(&SHARD.replace("{ embedded: {} }", store));
    assert!(error.contains("spec.store.foundationdb: "), "{error}");
}

#[test]
fn an_unknown_field_is_of_a_newer_operator() {
    let manifest = SHARD.replace("  buckets: 8", "  buckets: 8\n  someday: { more: 1 }");
    let folder = folder(&[("hash", "1"), ("shard.yaml", &manifest), ("Order.js", "")]);
    assert_eq!(read(folder.path()).expect("taken").spec.buckets, 8);
}

/// Kubernetes' way: files are links into `..data`, itself a link that is swapped.
#[test]
fn a_swap_while_reading_never_mixes_two_renderings() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let render = |n: u32| {
        let data = path.join(format!("..{n}"));
        fs::create_dir_all(&data).expect("made");
        fs::write(data.join("shard.yaml"), SHARD).expect("written");
        fs::write(data.join("Order.js"), n.to_string()).expect("written");
        fs::write(data.join("hash"), n.to_string()).expect("written");
        symlink(format!("..{n}"), path.join("..tmp")).expect("linked");
        fs::rename(path.join("..tmp"), path.join("..data")).expect("swapped");
        if n > 0 {
            fs::remove_dir_all(path.join(format!("..{}", n - 1))).expect("removed");
        }
    };
    render(0);
    for name in ["shard.yaml", "Order.js", "hash"] {
        symlink(format!("..data/{name}"), path.join(name)).expect("linked");
    }
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| (1..200).for_each(render));
        let mut read_so_far = 0;
        while !swapping.is_finished() || read_so_far == 0 {
            match read(&path) {
                Ok(rendered) => {
                    read_so_far += 1;
                    assert_eq!(*rendered.spec.actors[0].source, *rendered.hash);
                }
                Err(error) => assert!(matches!(error, ConfigError::Restless(_)), "{error}"),
            }
        }
    });
    assert_eq!(read(&path).expect("at rest").hash, "199");
}
