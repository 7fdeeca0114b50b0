//! From `kubectl apply` to the first answers.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use corallite_crds::ActorShard;
use corallite_e2e::{Case, eventually};
use corallite_proto::v1::{ActorRef, ExecuteRequest, GetRequest};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::Api;
use serde_json::{Value, json};

use crate::support::operator::Operator;
use crate::support::shop::{CELL, POD, READY_WITHIN, SHOP, Shop, apply_shop, load_cell, wait_ready};

/// How long the operator may take to make a StatefulSet before the test gives up; the figure that is
/// promised is printed, because other work on the machine counts in it.
const MADE_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn api_the_shop_comes_up_and_serves_both_protocols() {
    let Some(case) = Case::on_nodes(1).await else { return };
    load_cell(&case, CELL).await;
    let _operator = Operator::start(&case, &[]).await;
    let applied = Instant::now();
    let ((), (stored, made)) = tokio::join!(apply_shop(&case), objects_made(&case, applied));
    let shop = Shop::of(&case).await;
    let ann = json!({ "email": "ann@example.com", "name": "Ann" });
    let answer = shop.must("User/ann/register", &ann, "register-ann").await;
    let served = applied.elapsed();
    assert_eq!(answer["events"], json!(["UserRegistered"]));
    writeln!(
        std::io::stderr(),
        "e2e: from kubectl apply to the first command served: {:.1} s; the operator's part, from the stored \
         ActorShard to its StatefulSet: {:.2} s",
        served.as_secs_f64(),
        made.saturating_sub(stored).as_secs_f64(),
    )
    .unwrap();

    let mut client = shop.grpc().await.unwrap();
    let bob = ActorRef { r#type: "User".into(), id: "bob".into() };
    let request = ExecuteRequest {
        actor: Some(bob.clone()),
        command: "register".into(),
        payload: json!({ "email": "bob@example.com", "name": "Bob" }).to_string().into(),
        command_id: "register-bob".into(),
        ..ExecuteRequest::default()
    };
    let first = client.execute(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.events.as_slice(), first.seq), (["UserRegistered".to_owned()].as_slice(), 1));
    let again = client.execute(request).await.unwrap().into_inner();
    assert_eq!(again.position, first.position, "the same id must not run twice");
    let stored = client.get(GetRequest { actor: Some(bob), ..GetRequest::default() }).await.unwrap();
    let state: Value = serde_json::from_slice(&stored.into_inner().state).unwrap();
    assert_eq!(state["name"], "Bob");
    assert_eq!(shop.read("User/bob/query/profile").await["result"]["name"], "Bob");

    shows_its_columns(&case).await;
    case.kubectl(["wait", "--for=condition=Ready", "actorshard/shop", "--timeout=5m"]).await;
    take_the_tour(&shop).await;
}

/// The tour that the example's README promises: each answer is what it says.
async fn take_the_tour(shop: &Shop) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/tour.sh");
    let mut tour = Command::new("bash");
    tour.arg(script).env("SHOP", shop.http());
    let output = tokio::task::spawn_blocking(move || tour.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// When the ActorShard and then its StatefulSet were there, counted from `since`.
async fn objects_made(case: &Case, since: Instant) -> (Duration, Duration) {
    let (shards, sets): (Api<ActorShard>, Api<StatefulSet>) = (case.api(), case.api());
    let stored = eventually("the ActorShard is stored", MADE_WITHIN, async || {
        shards.get(SHOP).await.map(|_| since.elapsed()).map_err(|error| error.to_string())
    })
    .await;
    let made = eventually("the StatefulSet is made", MADE_WITHIN, async || {
        sets.get(SHOP).await.map(|_| since.elapsed()).map_err(|error| error.to_string())
    })
    .await;
    (stored, made)
}

async fn shows_its_columns(case: &Case) {
    let shard = wait_ready(case).await;
    let status = shard.status.unwrap();
    assert_eq!((status.ready_cells, status.owned_buckets), (Some(1), Some(256)));
    assert_eq!(status.cell_status[0].behaviors.len(), 5, "{:?}", status.cell_status);
    let columns = case.kubectl(["get", "actorshards", "-o", "wide"]).await;
    let mut lines = columns.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let (header, row) = (lines.next().unwrap(), lines.next().unwrap());
    let cell = |column: &str| {
        let at = header.iter().position(|name| *name == column);
        row[at.unwrap_or_else(|| panic!("no {column} in {columns}"))]
    };
    let shown = ["NAME", "READY", "REASON", "WANTED", "CELLS", "UPDATED", "BUCKETS", "OWNED"].map(cell);
    assert_eq!(shown, ["shop", "True", "Serving", "1", "1", "1", "256", "256"], "{columns}");
}

#[tokio::test]
async fn api_a_shard_scales_by_its_subresource() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let path =
        format!("/apis/corallite.dev/v1alpha1/namespaces/{}/actorshards/{SHOP}/scale", case.namespace());
    let scale: Value = serde_json::from_str(&case.kubectl(["get", "--raw", &path]).await).unwrap();
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(1), &json!(1)));
    let selector = scale["status"]["selector"].as_str().unwrap().to_owned();
    // What an autoscaler would measure.
    let pods = case.kubectl(["get", "pods", "-l", &selector, "-o", "name"]).await;
    assert_eq!(pods.trim(), format!("pod/{POD}"));

    case.kubectl(["scale", "actorshard", SHOP, "--replicas=1"]).await;
    let refused = case.try_kubectl(["scale", "actorshard", SHOP, "--replicas=2"]).await.unwrap_err();
    assert!(refused.to_string().contains("cells must be 1 with store.embedded"), "{refused}");
    let shard = eventually("the shard is as it was", READY_WITHIN, async || {
        case.api::<ActorShard>().get(SHOP).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(shard.spec.cells, 1);
}
