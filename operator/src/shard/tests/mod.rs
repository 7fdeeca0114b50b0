//! Reconciles of one shard, path by path, on a fake API server.

mod bench;
pub(crate) mod fake;
mod rolling;

use serde_json::{Value, json};

use bench::{AUTHORITY, Bench, CONFIG, SET, SHARD, TEXTS, TLS, pod_path, shop, text};

#[tokio::test]
async fn a_new_shard_gets_everything_and_a_status() {
    let mut bench = Bench::shop();
    bench.reconcile().await.expect("reconciled");
    for path in [SET, CONFIG, TLS, AUTHORITY] {
        assert!(bench.fake.get(path).is_some(), "{path} was not made");
    }
    assert_eq!(bench.condition("Accepted"), ("True".into(), "Accepted".into()));
    assert_eq!(bench.condition("Ready"), ("False".into(), "CellsNotReady".into()));
    assert_eq!(bench.condition("Progressing").0, "True");
    let status = &bench.fake.get(SHARD).expect("the shard")["status"];
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["selector"], "app.kubernetes.io/name=corallite-cell,corallite.dev/shard=shop");
}

#[tokio::test]
async fn a_shard_that_is_as_it_should_be_is_not_written_to() {
    let mut bench = Bench::serving().await;
    for _ in 0..3 {
        bench.later(300);
        bench.reconcile().await.expect("reconciled");
    }
    let requests = std::mem::take(&mut bench.fake.0.lock().requests);
    assert!(requests.is_empty(), "{requests:?}");

    // Another operator, which remembers nothing, only reads the one ConfigMap.
    let mut other = Bench::of(bench.fake.clone(), "cell:1");
    other.cells_agree();
    other.reconcile().await.expect("reconciled");
    let requests = std::mem::take(&mut bench.fake.0.lock().requests);
    assert_eq!(requests, [format!("GET {TEXTS}")]);
}

#[tokio::test]
async fn the_status_says_what_each_cell_runs() {
    let bench = Bench::serving().await;
    let status = &bench.fake.get(SHARD).expect("the shard")["status"];
    assert_eq!(
        (&status["cells"], &status["readyCells"], &status["updatedCells"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(status["ownedBuckets"], 256);
    assert_eq!(
        status["cellStatus"],
        json!([{ "name": "shop-0", "ready": true, "buckets": 256, "behaviors": { "Order": 1 } }])
    );
}

#[tokio::test]
async fn what_was_edited_or_deleted_by_hand_is_put_back() {
    let mut bench = Bench::serving().await;
    bench.fake.edit(SET, |set| set["spec"]["replicas"] = 5.into());
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.get(SET).expect("there")["spec"]["replicas"], 1);
    assert_eq!(bench.fake.writes(), [format!("PATCH {SET}")]);

    bench.fake.edit(SET, |set| {
        set["metadata"]["labels"].as_object_mut().expect("labels").remove("corallite.dev/shard");
    });
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.get(SET).expect("there")["metadata"]["labels"]["corallite.dev/shard"], "shop");

    bench.fake.remove(SET);
    bench.reconcile().await.expect("reconciled");
    assert!(bench.fake.get(SET).is_some(), "the StatefulSet is made again");
}

#[tokio::test]
async fn what_others_add_is_no_drift() {
    let mut bench = Bench::serving().await;
    bench.fake.edit(SET, |set| {
        set["spec"]["template"]["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    });
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_insists_on_is_not_fought_over() {
    let mut bench = Bench::serving().await;
    // A webhook changes every StatefulSet, whatever is applied.
    bench.fake.0.lock().insist = Some(|object| {
        if object["kind"] == "StatefulSet" {
            object["spec"]["replicas"] = 7.into();
        }
    });
    bench.fake.edit(SET, |set| set["spec"]["replicas"] = 7.into());
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.writes(), [format!("PATCH {SET}")], "tried once");
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.writes(), Vec::<String>::new(), "and left at that");
}

#[tokio::test]
async fn a_missing_input_is_named_and_waited_for() {
    let mut bench = Bench::new();
    bench.fake.put(SHARD, shop());
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Accepted"), ("False".into(), "InputMissing".into()));
    assert_eq!(
        bench.message("Accepted"),
        "ConfigMap texts is not there (named by spec.actors[Order].behavior)"
    );
    assert_eq!(bench.condition("Ready").1, "NotAccepted");
    assert!(bench.fake.get(SET).is_none());
    assert_eq!(bench.fake.list("events").len(), 1);
    // Whoever creates it wakes this shard.
    assert_eq!(bench.context.inputs.referrers("blue", "texts"), [("blue".to_owned(), "shop".to_owned())]);

    bench.fake.put(TEXTS, json!({ "metadata": { "name": "texts", "namespace": "blue" }, "data": {} }));
    bench.reconcile().await.expect("reconciled");
    assert!(
        bench.message("Accepted").contains("ConfigMap texts has no key o.js"),
        "{}",
        bench.message("Accepted")
    );

    bench.fake.put(TEXTS, text("export default {}"));
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Accepted").0, "True");
    assert!(bench.fake.get(SET).is_some());

    bench.fake.remove(SHARD);
    bench.watch();
    bench.context.tidy();
    assert!(bench.context.inputs.referrers("blue", "texts").is_empty(), "a shard that is gone is forgotten");
}

#[tokio::test]
async fn an_input_that_goes_missing_changes_no_cell() {
    let mut bench = Bench::serving().await;
    let config = bench.fake.get(CONFIG);
    bench.fake.remove(TEXTS);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Accepted"), ("False".into(), "InputMissing".into()));
    assert_eq!(bench.condition("Ready").0, "True", "what runs goes on");
    assert_eq!(bench.fake.get(CONFIG), config);
    // And the rest is still looked after.
    bench.fake.remove(SET);
    bench.reconcile().await.expect("reconciled");
    assert!(bench.fake.get(SET).is_some());
}

#[tokio::test]
async fn a_changed_behavior_reaches_cells_without_a_restart() {
    let mut bench = Bench::serving().await;
    let pod = bench.fake.get(&pod_path(0)).expect("a pod")["metadata"]["uid"].clone();
    bench.fake.put(TEXTS, text("export default { commands: {} }"));
    bench.reconcile().await.expect("reconciled");
    let hash = bench.fake.get(CONFIG).expect("there")["data"]["hash"].clone();
    let after = bench.fake.get(&pod_path(0)).expect("the pod stays");
    assert_eq!(after["metadata"]["uid"], pod);
    assert_eq!(after["metadata"]["annotations"]["corallite.dev/config-hash"], hash);
    assert_eq!(bench.condition("Progressing"), ("True".into(), "TakingOver".into()));
    bench.cells_agree();
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Progressing"), ("False".into(), "Settled".into()));
}

#[tokio::test]
async fn a_refused_behavior_is_a_condition_and_one_event() {
    let mut bench = Bench::serving().await;
    bench.control.0.lock().report.as_mut().expect("a report").behaviors[0].refused =
        Some("Order.js:12: unexpected token".into());
    for _ in 0..3 {
        bench.reconcile().await.expect("reconciled");
    }
    assert_eq!(bench.condition("Accepted"), ("False".into(), "BehaviorRefused".into()));
    assert!(bench.message("Accepted").starts_with("Order: Order.js:12: unexpected token"));
    assert_eq!(bench.condition("Ready").0, "True", "the version before goes on");
    let events = bench.fake.list("events");
    assert_eq!(events.len(), 1);
    assert!(events[0]["note"].as_str().is_some_and(|note| note.contains("Order.js:12")), "{events:?}");

    // Another mistake is another event, with its own line.
    bench.control.0.lock().report.as_mut().expect("a report").behaviors[0].refused =
        Some("Order.js:13: no".into());
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.list("events").len(), 2);
}

#[tokio::test]
async fn leftovers_go_and_what_is_of_others_stays() {
    let mut bench = Bench::serving().await;
    let service = |name: &str, manager: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name, "namespace": "blue", "labels": {
                "corallite.dev/shard": "shop", "app.kubernetes.io/managed-by": manager,
            }},
        })
    };
    let path = |name: &str| format!("/api/v1/namespaces/blue/services/{name}");
    bench.fake.put(&path("shop-old"), service("shop-old", "corallite-operator"));
    bench.fake.put(&path("shop-web"), service("shop-web", "somebody"));
    bench.reconcile().await.expect("reconciled");
    assert!(bench.fake.get(&path("shop-old")).is_none());
    assert!(bench.fake.get(&path("shop-web")).is_some());
}

#[tokio::test]
async fn a_refusal_of_the_api_server_is_in_the_status() {
    let mut bench = Bench::shop();
    bench.fake.refuse(Some(("/statefulsets/", 422)));
    let error = bench.reconcile().await.expect_err("refused");
    assert_eq!(error.reason(), "refused");
    assert_eq!(bench.condition("Degraded"), ("True".into(), "ReconcileFailed".into()));
    assert!(bench.message("Degraded").contains("apply StatefulSet shop"), "{}", bench.message("Degraded"));
    bench.fake.refuse(None);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Degraded"), ("False".into(), "Healthy".into()));
}

#[tokio::test]
async fn an_api_server_that_is_away_is_no_fault_of_the_shard() {
    let mut bench = Bench::serving().await;
    bench.fake.edit(SET, |set| set["spec"]["replicas"] = 5.into());
    bench.fake.refuse(Some(("/statefulsets/", 503)));
    assert_eq!(bench.reconcile().await.expect_err("away").reason(), "unreachable");
    assert_eq!(bench.condition("Degraded").0, "False");
}

#[tokio::test]
async fn of_two_operators_one_makes_the_authority() {
    let mut first = Bench::shop();
    let mut second = Bench::of(first.fake.clone(), "cell:1");
    // Neither has seen anything of the other when it begins.
    first.watch();
    second.watch();
    first.reconcile().await.expect("reconciled");
    let authority = first.fake.get(AUTHORITY).expect("made");
    let shard = second.context.stores.shards.state().pop().expect("the shard");
    crate::shard::reconcile(shard, std::sync::Arc::clone(&second.context)).await.expect("reconciled");
    second.reconcile().await.expect("reconciled");
    assert_eq!(first.fake.get(AUTHORITY).expect("there")["data"], authority["data"]);
}

#[tokio::test]
async fn certificates_are_renewed_and_no_cell_is_touched() {
    let mut bench = Bench::serving().await;
    let before = bench.fake.get(TLS).expect("there")["data"].clone();
    bench.later(19 * 24 * 3600);
    bench.reconcile().await.expect("reconciled");
    let after = bench.fake.get(TLS).expect("there")["data"].clone();
    assert_ne!(after["tls.crt"], before["tls.crt"]);
    assert_eq!(after["ca.crt"], before["ca.crt"], "the authority is not due");
    assert_eq!(bench.fake.writes(), [format!("PATCH {TLS}")]);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_gets_a_condition_once() {
    let mut bench = Bench::shop();
    bench.fake.edit(SHARD, |shard| shard["spec"]["actors"] = "not a list".into());
    bench.reconcile().await.expect("told");
    assert_eq!(bench.condition("Accepted"), ("False".into(), "InvalidSpec".into()));
    bench.fake.writes();
    bench.reconcile().await.expect("told");
    assert_eq!(bench.fake.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_shard_that_is_being_deleted_is_left_alone() {
    let mut bench = Bench::serving().await;
    bench.fake.edit(SHARD, |shard| shard["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());
    bench.fake.remove(SET);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.fake.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_volume_keeps_its_size_and_the_status_says_so() {
    let mut bench = Bench::serving().await;
    bench.fake.edit(SHARD, |shard| shard["spec"]["store"]["embedded"]["size"] = "9Gi".into());
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Degraded"), ("True".into(), "VolumeSizeFixed".into()));
    let claims = &bench.fake.get(SET).expect("there")["spec"]["volumeClaimTemplates"];
    assert_eq!(claims[0]["spec"]["resources"]["requests"]["storage"], "3Gi");
}

#[test]
fn tries_get_rarer_but_never_stop() {
    use std::time::Duration;
    let delay = |failures| super::backoff(failures, 1.0);
    assert_eq!(delay(1), Duration::from_millis(500));
    assert_eq!(delay(3), Duration::from_secs(2));
    assert_eq!(delay(1000), super::BACKOFF_MAX);
    assert_eq!(super::backoff(3, 0.5), Duration::from_secs(1), "chance spreads the tries");
}

#[tokio::test]
async fn a_monitor_comes_and_goes_with_its_definition() {
    let mut bench = Bench::serving().await;
    let monitors = |bench: &Bench| -> Vec<Value> { bench.fake.list("servicemonitors") };
    bench.context.service_monitors.store(true, std::sync::atomic::Ordering::Relaxed);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(monitors(&bench).len(), 1);
    bench.context.service_monitors.store(false, std::sync::atomic::Ordering::Relaxed);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(monitors(&bench).len(), 0);
}
