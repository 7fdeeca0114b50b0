//! What the API server takes and refuses of ActorShards and Views, and with which words. The rules
//! are those of `crds`, whose own tests check them offline; here the real server does.

use corallite_crds::{ActorShard, View};
use corallite_e2e::Case;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A shard with nothing that could be left out.
fn shard() -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1", "kind": "ActorShard",
        "metadata": { "name": "shop" },
        "spec": {
            "store": { "embedded": {} },
            "actors": [{ "type": "Order", "behavior": { "source": "export default {}" } }],
        },
    })
}

/// One whose cells can be more than one.
fn large_shard() -> Value {
    let file = json!({ "configMapKeyRef": { "name": "fdb", "key": "cluster-file" } });
    with(shard(), "/spec/store", json!({ "foundationdb": { "clusterFile": file } }))
}

fn view() -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1", "kind": "View",
        "metadata": { "name": "orders" },
        "spec": { "shard": "shop", "query": "SELECT o.id FROM \"Order\" o" },
    })
}

/// The object with the member at `pointer` set, or removed by `null`.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(items) => items.push(value),
        Value::Object(members) if value.is_null() => drop(members.remove(member)),
        Value::Object(members) => drop(members.insert(member.to_owned(), value)),
        _ => panic!("{parent} has no members"),
    }
    object
}

fn api(case: &Case, object: &Value) -> Api<DynamicObject> {
    let resource = if object["kind"] == "View" {
        ApiResource::erase::<View>(&())
    } else {
        ApiResource::erase::<ActorShard>(&())
    };
    Api::namespaced_with(case.client(), case.namespace(), &resource)
}

async fn create(case: &Case, object: &Value) -> Result<DynamicObject, String> {
    let typed: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let created = api(case, object).create(&PostParams::default(), &typed).await;
    created.map_err(|error| error.to_string())
}

async fn change(case: &Case, object: &Value, spec: Value) -> Result<DynamicObject, String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let patch = Patch::Merge(json!({ "spec": spec }));
    let patched = api(case, object).patch(name, &PatchParams::default(), &patch).await;
    patched.map_err(|error| error.to_string())
}

#[track_caller]
fn says(refusal: Result<DynamicObject, String>, what: &Value, words: &[&str]) {
    let Err(refusal) = refusal else { panic!("taken: {what}") };
    let missing: Vec<_> = words.iter().filter(|words| !refusal.contains(**words)).collect();
    assert!(missing.is_empty(), "{missing:?} not in: {refusal}");
}

/// Creates each of `base` with one member changed; none may be taken, and each refusal has its words.
async fn refuses_each(case: &Case, base: &Value, table: &[(&str, Value, &[&str])]) {
    for (pointer, value, words) in table {
        let object = with(base.clone(), pointer, value.clone());
        says(create(case, &object).await, &json!({ *pointer: value }), words);
    }
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let typed: DynamicObject = serde_json::from_value(base.clone()).unwrap();
    // Each change was the only reason.
    api(case, base).create(&dry, &typed).await.unwrap();
}

#[tokio::test]
async fn admit_the_shop_as_users_apply_it() {
    let case = Case::api_only().await;
    case.kubectl(["apply", "-k", "examples/shop"]).await;
    let shards = case.api::<ActorShard>();
    let shop = shards.get("shop").await.unwrap();
    case.kubectl(["apply", "-k", "examples/shop"]).await;
    let again = shards.get("shop").await.unwrap();
    assert_eq!(
        again.metadata.resource_version, shop.metadata.resource_version,
        "the second changed something"
    );
    let types: Vec<_> = shop.spec.actors.iter().map(|actor| actor.type_name.as_str()).collect();
    assert_eq!(types, ["User", "Product", "Inventory", "Order", "Payment"]);
    let columns = case.kubectl(["get", "actorshards"]).await;
    let header: Vec<_> = columns.lines().next().unwrap().split_whitespace().collect();
    assert!(
        ["NAME", "READY", "REASON", "WANTED", "CELLS", "AGE"].iter().all(|name| header.contains(name)),
        "{columns}"
    );
    assert_eq!(
        case.kubectl(["get", "corallite", "-o", "name"]).await.trim(),
        "actorshard.corallite.dev/shop"
    );
}

#[tokio::test]
async fn admit_fills_in_what_is_left_out() {
    let case = Case::api_only().await;
    let spec = create(&case, &shard()).await.unwrap().data["spec"].clone();
    assert_eq!((&spec["buckets"], &spec["cells"]), (&json!(256), &json!(1)));
    assert_eq!((&spec["idRoot"], &spec["deletionPolicy"]), (&json!("Whole"), &json!("Retain")));
    assert_eq!(spec["store"]["embedded"]["size"], "10Gi");
    let order = &spec["actors"][0];
    assert_eq!(order["snapshot"]["everyEvents"], 100);
    assert_eq!(order["passivation"]["idleSeconds"], 300);
    let limits = json!({ "commandMilliseconds": 50, "stateBytes": 1_048_576, "mailboxCommands": 1000 });
    assert_eq!(order["limits"], limits);
    let view = create(&case, &view()).await.unwrap();
    assert_eq!(view.data["spec"]["mode"], "Virtual");
}

#[tokio::test]
async fn admit_refuses_each_bad_field_of_a_shard() {
    let case = Case::api_only().await;
    let long = "x".repeat(64);
    let fdb = json!({ "clusterFile": { "configMapKeyRef": { "name": "fdb", "key": "cluster-file" } } });
    let table: [(&str, Value, &[&str]); 20] = [
        ("/metadata/name", json!("0shop"), &["metadata.name must be 1 to 48 lower case letters"]),
        ("/metadata/name", json!("s".repeat(49)), &["metadata.name must be 1 to 48 lower case letters"]),
        ("/metadata/name", json!("sh.op"), &["metadata.name must be 1 to 48 lower case letters"]),
        ("/spec/cells", json!(2), &["spec.cells", "cells must be 1 with store.embedded"]),
        ("/spec/cells", json!(0), &["spec.cells", "greater than or equal to 1"]),
        ("/spec/cells", json!(1001), &["spec.cells", "less than or equal to 1000"]),
        ("/spec/buckets", json!(0), &["spec.buckets", "greater than or equal to 1"]),
        ("/spec/buckets", json!(4097), &["spec.buckets", "less than or equal to 4096"]),
        ("/spec/buckets", json!("many"), &["spec.buckets", "integer"]),
        ("/spec/idRoot", json!("Half"), &["spec.idRoot", "Unsupported value", "BeforeColon"]),
        ("/spec/deletionPolicy", json!("Burn"), &["spec.deletionPolicy", "Unsupported value", "Retain"]),
        ("/spec/store", Value::Null, &["spec.store", "Required value"]),
        ("/spec/store/embedded", Value::Null, &["spec.store", "exactly one of foundationdb and embedded"]),
        ("/spec/store/foundationdb", fdb, &["spec.store", "exactly one of foundationdb and embedded"]),
        ("/spec/store/embedded/size", json!("10GB"), &["spec.store.embedded.size", "should match"]),
        ("/spec/actors", json!([]), &["spec.actors", "at least 1 items"]),
        ("/spec/actors", Value::Null, &["spec.actors", "Required value"]),
        (
            "/spec/auth",
            json!({ "jwt": { "issuer": "i", "jwksUri": "http://i/keys" } }),
            &["spec.auth.jwt.jwksUri", "should match"],
        ),
        (
            "/spec/auth",
            json!({ "jwt": { "issuer": "i", "jwksUri": "https://i/keys", "keysMaxAge": "5 minutes" } }),
            &["spec.auth.jwt.keysMaxAge", "should match"],
        ),
        (
            "/spec/auth",
            json!({ "jwt": { "issuer": long.repeat(33), "jwksUri": "https://i/keys" } }),
            &["spec.auth.jwt.issuer", "may not be more than 2048"],
        ),
    ];
    refuses_each(&case, &shard(), &table).await;
}

#[tokio::test]
async fn admit_refuses_each_bad_field_of_an_actor_type() {
    let case = Case::api_only().await;
    let same = shard()["spec"]["actors"][0].clone();
    let both = json!({ "source": "x", "configMapKeyRef": { "name": "a", "key": "b" } });
    let index = json!({ "name": "byUser", "field": "userId" });
    let reaction = |on: &str, command: &str| {
        json!([{
            "name": "r", "on": on, "to": { "index": "byUser", "equals": "event.id" }, "command": command,
        }])
    };
    let table: [(&str, Value, &[&str]); 21] = [
        ("/spec/actors/-", same, &["spec.actors[1]", "Duplicate value", "Order"]),
        ("/spec/actors/0/type", json!("2Order"), &["spec.actors[0].type", "should match"]),
        ("/spec/actors/0/type", json!("Or-der"), &["spec.actors[0].type", "should match"]),
        ("/spec/actors/0/type", json!(""), &["spec.actors[0].type", "at least 1 chars"]),
        ("/spec/actors/0/type", json!("T".repeat(64)), &["spec.actors[0].type", "may not be more than 63"]),
        ("/spec/actors/0/behavior", Value::Null, &["spec.actors[0].behavior", "Required value"]),
        (
            "/spec/actors/0/behavior",
            json!({}),
            &["spec.actors[0].behavior", "exactly one of source and configMapKeyRef"],
        ),
        (
            "/spec/actors/0/behavior",
            both,
            &["spec.actors[0].behavior", "exactly one of source and configMapKeyRef"],
        ),
        (
            "/spec/actors/0/behavior",
            json!({ "source": "" }),
            &["spec.actors[0].behavior.source", "at least 1 chars"],
        ),
        (
            "/spec/actors/0/behavior",
            json!({ "configMapKeyRef": { "name": "A_b", "key": "x" } }),
            &["spec.actors[0].behavior.configMapKeyRef.name", "should match"],
        ),
        (
            "/spec/actors/0/behavior",
            json!({ "configMapKeyRef": { "name": "a", "key": "x/y" } }),
            &["spec.actors[0].behavior.configMapKeyRef.key", "should match"],
        ),
        (
            "/spec/actors/0/schema",
            json!({}),
            &["spec.actors[0].schema", "exactly one of jsonSchema and protobuf"],
        ),
        (
            "/spec/actors/0/schema",
            json!({ "jsonSchema": { "commands": { "place": "object" } } }),
            &["spec.actors[0].schema.jsonSchema.commands.place", "must be of type object"],
        ),
        ("/spec/actors/0/indexes", json!([index, index]), &["spec.actors[0].indexes[1]", "Duplicate value"]),
        (
            "/spec/actors/0/indexes",
            json!([{ "name": "byUser", "field": "user..id" }]),
            &["spec.actors[0].indexes[0].field", "should match"],
        ),
        (
            "/spec/actors/0/snapshot",
            json!({ "everyEvents": 0 }),
            &["spec.actors[0].snapshot.everyEvents", "greater than or equal to 1"],
        ),
        (
            "/spec/actors/0/passivation",
            json!({ "idleSeconds": 86_401 }),
            &["spec.actors[0].passivation.idleSeconds", "less than or equal to 86400"],
        ),
        (
            "/spec/actors/0/limits",
            json!({ "commandMilliseconds": 1001 }),
            &["spec.actors[0].limits.commandMilliseconds", "less than or equal to 1000"],
        ),
        (
            "/spec/actors/0/limits",
            json!({ "stateBytes": 1023 }),
            &["spec.actors[0].limits.stateBytes", "greater than or equal to 1024"],
        ),
        (
            "/spec/actors/0/reactions",
            reaction("Delisted", "invalidate"),
            &["spec.actors[0].reactions[0].on", "should match"],
        ),
        (
            "/spec/actors/0/reactions",
            reaction("Product.Delisted", "in-validate"),
            &["spec.actors[0].reactions[0].command", "should match"],
        ),
    ];
    refuses_each(&case, &shard(), &table).await;
}

#[tokio::test]
async fn admit_refuses_more_cells_than_buckets_on_a_shared_store() {
    let case = Case::api_only().await;
    let tight = with(with(large_shard(), "/spec/buckets", json!(2)), "/spec/cells", json!(3));
    says(create(&case, &tight).await, &tight, &["spec.cells", "cells must not be more than buckets"]);
    let fits = with(with(large_shard(), "/spec/buckets", json!(3)), "/spec/cells", json!(3));
    create(&case, &fits).await.unwrap();
}

#[tokio::test]
async fn admit_refuses_a_change_that_would_lose_data() {
    let case = Case::api_only().await;
    create(&case, &shard()).await.unwrap();
    let fdb = large_shard()["spec"]["store"]["foundationdb"].clone();
    let table: [(Value, &[&str]); 4] = [
        (json!({ "buckets": 512 }), &["spec.buckets", "buckets cannot change"]),
        (json!({ "idRoot": "BeforeColon" }), &["spec.idRoot", "idRoot cannot change"]),
        (
            json!({ "store": { "embedded": null, "foundationdb": fdb } }),
            &["spec.store", "store cannot change"],
        ),
        (json!({ "cells": 2 }), &["spec.cells", "cells must be 1 with store.embedded"]),
    ];
    for (spec, words) in table {
        says(change(&case, &shard(), spec.clone()).await, &spec, words);
    }
    let taken = json!({ "deletionPolicy": "Delete", "store": { "embedded": { "size": "20Gi" } } });
    change(&case, &shard(), taken).await.unwrap();
}

#[tokio::test]
async fn admit_scaling_by_kubectl() {
    let case = Case::api_only().await;
    create(&case, &large_shard()).await.unwrap();
    case.kubectl(["scale", "actorshard", "shop", "--replicas=3"]).await;
    assert_eq!(case.api::<ActorShard>().get("shop").await.unwrap().spec.cells, 3);

    let small = with(shard(), "/metadata/name", json!("small"));
    create(&case, &small).await.unwrap();
    let refused = case.try_kubectl(["scale", "actorshard", "small", "--replicas=2"]).await.unwrap_err();
    assert!(refused.to_string().contains("cells must be 1 with store.embedded"), "{refused}");
}

#[tokio::test]
async fn admit_names_a_field_that_does_not_exist() {
    let case = Case::api_only().await;
    let mistyped = with(shard(), "/spec/cels", json!(1));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), mistyped.to_string()).unwrap();
    let refused = case.try_kubectl(["apply", "-f", file.path().to_str().unwrap()]).await.unwrap_err();
    assert!(refused.to_string().contains("unknown field \"spec.cels\""), "{refused}");
}

#[tokio::test]
async fn admit_refuses_each_bad_field_of_a_view() {
    let case = Case::api_only().await;
    let table: [(&str, Value, &[&str]); 8] = [
        ("/spec/shard", Value::Null, &["spec.shard", "Required value"]),
        ("/spec/shard", json!("Shop"), &["spec.shard", "should match"]),
        ("/spec/query", Value::Null, &["spec.query", "Required value"]),
        ("/spec/query", json!(""), &["spec.query", "at least 1 chars"]),
        ("/spec/query", json!("x".repeat(16_385)), &["spec.query", "may not be more than 16384"]),
        ("/spec/mode", json!("Cached"), &["spec.mode", "Unsupported value", "Materialized"]),
        ("/spec/cells", json!(1), &["spec.cells", "cells is for mode Materialized"]),
        ("/spec/cells", json!(0), &["spec.cells", "greater than or equal to 1"]),
    ];
    refuses_each(&case, &view(), &table).await;
    create(&case, &view()).await.unwrap();
    says(
        change(&case, &view(), json!({ "shard": "other" })).await,
        &view(),
        &["spec.shard", "shard cannot change"],
    );
}
