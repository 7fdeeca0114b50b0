//! Children of small shards. Names differ from each other, so that mixed-up ones fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Parser;
use corallite_crds::ActorShard;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::certificates::{Policy, turn};
use crate::config::{Arguments, Command};
use crate::shard::fetch::World;
use crate::shard::validate::{KEY_HASH, KEY_SHARD, judge};

fn shard() -> ActorShard {
    serde_json::from_value(json!({
        "apiVersion": "corallite.dev/v1alpha1",
        "kind": "ActorShard",
        "metadata": { "name": "shop", "namespace": "blue", "uid": "u-1" },
        "spec": {
            "store": { "embedded": { "size": "3Gi" } },
            "actors": [
                { "type": "Order", "behavior": { "configMapKeyRef": { "name": "texts", "key": "o.js" } } },
                { "type": "User", "behavior": { "source": "export default { commands: {} }" } },
            ],
        },
    }))
    .expect("a shard")
}

fn world(order: &str) -> World {
    let content = Arc::new(BTreeMap::from([("o.js".to_owned(), order.to_owned())]));
    World { inputs: [("texts".to_owned(), content)].into(), service_monitors: true, ..World::default() }
}

fn run(image: &str) -> Run {
    let arguments = ["x", "run", "--cell-image", image, "--namespace", "control"];
    let Command::Run(run) = Arguments::try_parse_from(arguments).expect("a command line").command;
    *run
}

fn build(shard: &ActorShard, order: &str, image: &str) -> Objects {
    let plan = judge(shard, &world(order)).expect("judged").plan.expect("a plan");
    let keys = turn(None, None, &["n".into()], Timestamp::UNIX_EPOCH, &Policy::default()).expect("keys");
    objects(&plan, &keys, &run(image))
}

fn child(objects: &Objects, kind: Kind, name: &str) -> Value {
    let found = objects.children.iter().find(|child| child.kind == kind && child.name == name);
    found.unwrap_or_else(|| panic!("no {} {name}", kind.name())).object.clone()
}

/// What a type makes of an object is the object: every field is one that the type knows.
fn same<T: Serialize + DeserializeOwned>(object: &Value) {
    let read: T = serde_json::from_value(object.clone()).expect("the type reads it");
    assert_eq!(&serde_json::to_value(read).expect("JSON"), object);
}

#[test]
fn every_object_is_what_its_type_says() {
    for Wanted { kind, object, .. } in &build(&shard(), "export default {}", "cell:1").children {
        match kind {
            Kind::ServiceAccount => same::<ServiceAccount>(object),
            Kind::Secret => same::<Secret>(object),
            Kind::ConfigMap => same::<ConfigMap>(object),
            Kind::Service => same::<Service>(object),
            Kind::NetworkPolicy => same::<NetworkPolicy>(object),
            Kind::PodDisruptionBudget => same::<PodDisruptionBudget>(object),
            Kind::StatefulSet => same::<StatefulSet>(object),
            Kind::ServiceMonitor => assert_eq!(object["spec"]["endpoints"][0]["port"], "admin"),
        }
        assert_eq!(object["metadata"]["labels"]["corallite.dev/shard"], "shop");
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(object["metadata"]["ownerReferences"][0]["controller"], true);
        assert_eq!(object["metadata"]["namespace"], "blue");
    }
}

#[test]
fn the_children_have_the_agreed_names() {
    let objects = build(&shard(), "x", "cell:1");
    let names: Vec<_> =
        objects.children.iter().map(|child| (child.kind.name(), child.name.as_str())).collect();
    let expected = [
        ("ServiceAccount", "shop"),
        ("Secret", "shop-ca"),
        ("Secret", "shop-tls"),
        ("ConfigMap", "shop-config"),
        ("Service", "shop-cells"),
        ("Service", "shop"),
        ("NetworkPolicy", "shop"),
        ("PodDisruptionBudget", "shop"),
        ("StatefulSet", "shop"),
        ("ServiceMonitor", "shop"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_authority_is_not_mounted_and_no_token_is() {
    let set = child(&build(&shard(), "x", "cell:1"), Kind::StatefulSet, "shop");
    let pod = &set["spec"]["template"]["spec"];
    assert!(!pod.to_string().contains("shop-ca"), "{pod}");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(container["allowPrivilegeEscalation"], false);
}

#[test]
fn the_configuration_has_texts_of_references_and_a_hash() {
    let data = child(&build(&shard(), "let order", "cell:1"), Kind::ConfigMap, "shop-config")["data"].clone();
    assert_eq!(data["Order.js"], "let order");
    assert_eq!(data.get("User.js"), None, "its text is in the shard itself");
    let manifest: Value = serde_yaml::from_str(data[KEY_SHARD].as_str().expect("text")).expect("YAML");
    assert_eq!(manifest["metadata"], json!({ "namespace": "blue", "name": "shop" }));
    assert_eq!(manifest["spec"]["buckets"], 256, "defaults are filled in");
    assert_eq!(manifest["spec"]["actors"][0]["behavior"]["configMapKeyRef"]["name"], "texts");
    let changed = child(&build(&shard(), "let other", "cell:1"), Kind::ConfigMap, "shop-config");
    assert_ne!(changed["data"][KEY_HASH], data[KEY_HASH]);
}

#[test]
fn only_what_needs_a_restart_rolls() {
    let base = build(&shard(), "x", "cell:1").rollout_hash;
    assert_eq!(build(&shard(), "another text", "cell:1").rollout_hash, base, "a behavior");
    let mut scaled = shard();
    scaled.spec.cells = 1;
    scaled.spec.deletion_policy = corallite_crds::DeletionPolicy::Delete;
    scaled.spec.actors[1].behavior.source = Some("changed".into());
    assert_eq!(build(&scaled, "x", "cell:1").rollout_hash, base, "an inline behavior, the policy");
    assert_ne!(build(&shard(), "x", "cell:2").rollout_hash, base, "the image");
    let mut limited = shard();
    limited.spec.actors[0].limits.state_bytes = 77;
    assert_ne!(build(&limited, "x", "cell:1").rollout_hash, base, "a limit");
}

#[test]
fn the_deletion_policy_is_the_volumes() {
    let policy = |shard: &ActorShard| {
        child(&build(shard, "x", "c"), Kind::StatefulSet, "shop")["spec"]["persistentVolumeClaimRetentionPolicy"]
            ["whenDeleted"]
            .clone()
    };
    let mut shard = shard();
    assert_eq!(policy(&shard), "Retain");
    shard.spec.deletion_policy = corallite_crds::DeletionPolicy::Delete;
    assert_eq!(policy(&shard), "Delete");
}

#[test]
fn peers_are_reached_by_cells_and_the_operator_only() {
    let policy = child(&build(&shard(), "x", "c"), Kind::NetworkPolicy, "shop");
    let rules = policy["spec"]["ingress"].as_array().expect("rules");
    let peers: Vec<_> = rules.iter().filter(|rule| rule["ports"].to_string().contains("7071")).collect();
    assert_eq!(peers.len(), 1);
    let from = peers[0]["from"].to_string();
    assert!(from.contains("\"control\"") && from.contains("\"shop\""), "{from}");
    assert_eq!(peers[0]["ports"].as_array().map(Vec::len), Some(1));
}
