//! Bad shards among good ones.

use corallite_crds::{ActorShard, condition, reason};
use corallite_e2e::{Case, Cluster, eventually};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::shop::{READY_WITHIN, SHOP, Shop, apply_shop, wait_ready};

/// What the cluster has installed.
const DEFINITION: &str = include_str!("../../../../crds/yaml/actorshards.yaml");

fn shard(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1", "kind": "ActorShard", "metadata": { "name": name }, "spec": spec,
    })
}

fn raw(case: &Case) -> Api<DynamicObject> {
    Api::namespaced_with(case.client(), case.namespace(), &ApiResource::erase::<ActorShard>(&()))
}

/// Waits until a shard has this condition, and returns its message. Nothing else of it is read.
async fn says(case: &Case, name: &str, type_: &str, reason: &str) -> String {
    let shards = raw(case);
    eventually(&format!("{name} is {type_}: {reason}"), READY_WITHIN, async || {
        let shard = shards.get(name).await.map_err(|error| error.to_string())?;
        let conditions = shard.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let mut all = conditions.as_array().into_iter().flatten();
        let found = all.find(|it| it["type"] == type_ && it["reason"] == reason);
        found.map(|it| it["message"].as_str().unwrap().to_owned()).ok_or_else(|| conditions.to_string())
    })
    .await
}

#[tokio::test]
async fn fault_a_shard_that_cannot_be_built_holds_up_no_other() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let behavior = json!({ "source": "export default {}" });
    let actors = json!([{ "type": "Order", "behavior": behavior }]);
    let file = json!({ "clusterFile": { "configMapKeyRef": { "name": "fdb", "key": "cluster-file" } } });
    let store = json!({ "foundationdb": file });
    let erasing = json!({ "store": store, "actors": actors, "deletionPolicy": "Delete" });
    case.apply_object(shard("erasing", &erasing)).await.unwrap();
    let text = format!("export default {{}};\n//{}", "x".repeat(250_000));
    let large: Vec<_> = (0..5)
        .map(|number| json!({ "type": format!("Order{number}"), "behavior": { "source": text } }))
        .collect();
    let large = json!({ "store": { "embedded": {} }, "actors": large });
    case.apply_object(shard("large", &large)).await.unwrap();

    let operator = Operator::start(&case, &["--workers", "1"]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let why = says(&case, "erasing", condition::ACCEPTED, reason::NOT_SUPPORTED).await;
    assert!(why.contains("spec.deletionPolicy Delete is not supported"), "{why}");
    let why = says(&case, "large", condition::ACCEPTED, reason::INPUT_TOO_LARGE).await;
    assert!(why.contains("make the behaviors smaller"), "{why}");
    let shop = Shop::of(&case).await;
    shop.must("User/ann/register", &json!({ "email": "a@example.com", "name": "Ann" }), "ann").await;
    assert!(!operator.log().contains("panicked"), "{}", operator.log());
}

/// The definition as it is, once this is dropped.
struct Restore(&'static Cluster);

impl Drop for Restore {
    fn drop(&mut self) {
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=corallite-e2e"];
        let restored = self.0.kubectl(apply.into_iter().chain(["-f", "crds/yaml"]));
        if let Err(error) = restored {
            eprintln!("the definitions are not restored: {error}");
        }
    }
}

/// Stores objects that the definition forbids: they came in under another one.
async fn smuggle(case: &Case, objects: &[Value]) {
    let mut definition: Value = serde_yaml::from_str(DEFINITION).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let restore = Restore(case.cluster());
    // By the manager who installed the strict one, so that nothing of this outlives it.
    case.apply_object(definition).await.unwrap();
    let objects: Vec<DynamicObject> =
        objects.iter().map(|object| serde_json::from_value(object.clone()).unwrap()).collect();
    // The API server takes a moment to use another definition.
    for object in &objects {
        eventually("the loose definition is in use", READY_WITHIN, async || {
            let created = raw(case).create(&PostParams::default(), object).await;
            created.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
    tokio::task::spawn_blocking(move || drop(restore)).await.unwrap();
    eventually("the definition is in use again", READY_WITHIN, async || {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut copy = objects[0].clone();
        copy.metadata.name = Some("refused".to_owned());
        match raw(case).create(&params, &copy).await {
            Err(_) => Ok(()),
            Ok(_) => Err("it takes anything".to_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn fault_a_shard_that_cannot_be_read_holds_up_no_other() {
    let Some(case) = Case::alone_on_nodes(1).await else { return };
    let behavior = json!({ "source": "export default {}" });
    let good = json!({
        "store": { "embedded": { "size": "1Mi" } }, "actors": [{ "type": "Order", "behavior": behavior }],
    });
    let mut newer = good.clone();
    newer["deletionPolicy"] = json!("Archive");
    let mut broken = good.clone();
    broken["buckets"] = json!("many");
    smuggle(&case, &[shard("newer", &newer), shard("broken", &broken)]).await;
    let operator = Operator::start(&case, &["--workers", "1"]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let why = says(&case, "newer", condition::ACCEPTED, reason::INVALID_SPEC).await;
    assert!(why.contains("cannot be read") && why.contains("Archive"), "{why}");
    assert_eq!(says(&case, "newer", condition::READY, reason::NOT_ACCEPTED).await, why);
    // The API server takes no status of it: an event says the same.
    eventually("an event tells what is broken", READY_WITHIN, async || {
        let filter = "--field-selector=involvedObject.name=broken";
        let events = case.kubectl(["get", "events", filter, "-o", "jsonpath={.items[*].message}"]).await;
        if events.contains("cannot be read") && events.contains("many") { Ok(()) } else { Err(events) }
    })
    .await;

    // Made again as they should be, they are shards as any other.
    for name in ["newer", "broken"] {
        case.kubectl(["delete", "actorshard", name]).await;
        case.apply_object(shard(name, &good)).await.unwrap();
        says(&case, name, condition::ACCEPTED, reason::ACCEPTED).await;
    }
    assert!(case.api::<ActorShard>().get(SHOP).await.is_ok());
    assert!(!operator.log().contains("panicked"), "{}", operator.log());
}
