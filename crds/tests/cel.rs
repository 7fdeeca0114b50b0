//! Each CEL rule of the resource types: one object that it accepts, one that it refuses, and the
//! sentence it refuses with. Evaluated here as the API server does, without a cluster.

use corallite_crds::{ActorShard, View};
use serde_json::{Value, json};

fn shard() -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1",
        "kind": "ActorShard",
        "metadata": { "name": "shop" },
        "spec": {
            "buckets": 8,
            "cells": 1,
            "idRoot": "Whole",
            "store": { "embedded": { "size": "10Gi" } },
            "actors": [{ "type": "Order", "behavior": { "source": "export default {}" } }],
        },
    })
}

fn foundationdb() -> Value {
    json!({ "clusterFile": { "configMapKeyRef": { "name": "fdb", "key": "cluster-file" } } })
}

fn view() -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1",
        "kind": "View",
        "metadata": { "name": "orders" },
        "spec": { "shard": "shop", "mode": "Materialized", "query": "SELECT 1", "cells": 2 },
    })
}

/// The object with one member of its spec replaced; `Null` removes it.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = object.pointer_mut(&format!("/spec{parent}")).expect("the parent is there");
    match (parent, value) {
        (Value::Object(map), Value::Null) => {
            map.remove(key).expect("the member is there");
        }
        (parent, value) => parent[key] = value,
    }
    object
}

fn parse<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).expect("the object fits the type")
}

#[track_caller]
fn accepts(object: &Value) {
    parse::<ActorShard>(object).validate_cel().expect("accepted");
}

#[track_caller]
fn refuses(object: &Value, sentence: &str) {
    let errors = parse::<ActorShard>(object).validate_cel().expect_err("refused");
    assert!(errors.iter().any(|e| e.message.starts_with(sentence)), "{errors:?} lacks {sentence:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[track_caller]
fn accepts_change(old: &Value, new: &Value) {
    parse::<ActorShard>(new).validate_cel_update(&parse(old)).expect("accepted");
}

#[track_caller]
fn refuses_change(old: &Value, new: &Value, sentence: &str) {
    let errors = parse::<ActorShard>(new).validate_cel_update(&parse(old)).expect_err("refused");
    assert!(errors.iter().any(|e| e.message.starts_with(sentence)), "{errors:?} lacks {sentence:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn the_name_fits_pods_and_services() {
    for (name, fits) in [("shop", true), ("s", true), ("9shop", false), ("shop.eu", false), ("shop-", false)]
    {
        let mut object = shard();
        object["metadata"]["name"] = json!(name);
        if fits {
            accepts(&object);
        } else {
            refuses(&object, "metadata.name must be 1 to 48 lower case letters");
        }
    }
    let mut long = shard();
    long["metadata"]["name"] = json!("x".repeat(48));
    accepts(&long);
    long["metadata"]["name"] = json!("x".repeat(49));
    refuses(&long, "metadata.name must be 1 to 48 lower case letters");
}

#[test]
fn a_store_is_exactly_one() {
    accepts(&shard());
    accepts(&with(shard(), "/store", json!({ "foundationdb": foundationdb() })));
    let sentence = "store needs exactly one of foundationdb and embedded";
    refuses(&with(shard(), "/store", json!({})), sentence);
    refuses(&with(shard(), "/store/foundationdb", foundationdb()), sentence);
}

#[test]
fn an_embedded_store_has_one_cell() {
    let many = with(shard(), "/cells", json!(3));
    refuses(&many, "cells must be 1 with store.embedded: that store is a volume of one cell");
    accepts(&with(many, "/store", json!({ "foundationdb": foundationdb() })));
}

#[test]
fn cells_are_not_more_than_buckets() {
    let shared = with(shard(), "/store", json!({ "foundationdb": foundationdb() }));
    accepts(&with(shared.clone(), "/cells", json!(8)));
    refuses(&with(shared, "/cells", json!(9)), "cells must not be more than buckets");
}

#[test]
fn buckets_cannot_change() {
    accepts_change(&shard(), &shard());
    refuses_change(&shard(), &with(shard(), "/buckets", json!(16)), "buckets cannot change: every actor id");
}

#[test]
fn the_id_root_cannot_change() {
    let changed = with(shard(), "/idRoot", json!("BeforeColon"));
    accepts(&changed);
    refuses_change(&shard(), &changed, "idRoot cannot change: ids with a colon");
}

#[test]
fn the_kind_of_store_cannot_change_but_its_size_can() {
    accepts_change(&shard(), &with(shard(), "/store/embedded/size", json!("20Gi")));
    let moved = with(shard(), "/store", json!({ "foundationdb": foundationdb() }));
    refuses_change(&shard(), &moved, "store cannot change between foundationdb and embedded");
}

#[test]
fn a_behavior_has_exactly_one_source() {
    let reference = json!({ "configMapKeyRef": { "name": "b", "key": "order.js" } });
    accepts(&with(shard(), "/actors/0/behavior", reference.clone()));
    let sentence = "behavior needs exactly one of source and configMapKeyRef";
    refuses(&with(shard(), "/actors/0/behavior", json!({})), sentence);
    let both = json!({ "source": "x", "configMapKeyRef": reference["configMapKeyRef"] });
    refuses(&with(shard(), "/actors/0/behavior", both), sentence);
}

#[test]
fn a_schema_is_of_exactly_one_kind() {
    let document = json!({ "commands": { "place": { "type": "object" } } });
    let protobuf = json!({
        "package": "shop.v1",
        "descriptorSet": { "configMapKeyRef": { "name": "p", "key": "shop.binpb" } },
    });
    accepts(&with(shard(), "/actors/0/schema", json!({ "jsonSchema": document })));
    accepts(&with(shard(), "/actors/0/schema", json!({ "protobuf": protobuf })));
    let sentence = "schema needs exactly one of jsonSchema and protobuf";
    refuses(&with(shard(), "/actors/0/schema", json!({})), sentence);
    let both = json!({ "jsonSchema": document, "protobuf": protobuf });
    refuses(&with(shard(), "/actors/0/schema", both), sentence);
}

#[test]
fn only_a_materialized_view_has_cells_of_its_own() {
    parse::<View>(&view()).validate_cel().expect("accepted");
    let virtual_ = with(view(), "/mode", json!("Virtual"));
    let errors = parse::<View>(&virtual_).validate_cel().expect_err("refused");
    assert!(errors[0].message.starts_with("cells is for mode Materialized"), "{errors:?}");
    parse::<View>(&with(virtual_, "/cells", Value::Null)).validate_cel().expect("accepted");
}

#[test]
fn the_shard_of_a_view_cannot_change() {
    let old: View = parse(&view());
    parse::<View>(&with(view(), "/query", json!("SELECT 2"))).validate_cel_update(&old).expect("accepted");
    let moved: View = parse(&with(view(), "/shard", json!("other")));
    let errors = moved.validate_cel_update(&old).expect_err("refused");
    assert!(errors[0].message.starts_with("shard cannot change"), "{errors:?}");
}
