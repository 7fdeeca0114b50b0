//! Operators that end in the middle of their work, and operators that do not know of each other.

use std::time::Duration;

use corallite_crds::ActorShard;
use corallite_e2e::{Case, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::users::Users;
use crate::support::operator::Operator;
use crate::support::shop::{
    CELL_NEXT, POD, READY_WITHIN, SHOP, Shop, apply_shop, load_cell, pod_uid, wait_ready,
};

/// Rounds without any write after which nobody flaps.
const ROUNDS: u32 = 5;

/// How long nothing may be written before a shard counts as settled.
const QUIET: Duration = Duration::from_secs(3);

async fn image_of_set(case: &Case) -> Result<String, String> {
    let set = case.api::<StatefulSet>().get(SHOP).await.map_err(|error| error.to_string())?;
    let pod = set.spec.and_then(|spec| spec.template.spec);
    pod.and_then(|pod| pod.containers.into_iter().next()?.image).ok_or_else(|| "no image".to_owned())
}

#[tokio::test]
async fn fault_a_rollout_goes_on_when_its_operator_is_killed_at_every_step() {
    let Some(case) = Case::on_nodes(1).await else { return };
    load_cell(&case, CELL_NEXT).await;
    let mut operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let before = pod_uid(&case).await.unwrap();
    operator.stop().await;

    let next = ["--cell-image", CELL_NEXT];
    let mut operator = Operator::start(&case, &next).await;
    eventually("the StatefulSet has the next image", READY_WITHIN, async || {
        let image = image_of_set(&case).await?;
        if image == CELL_NEXT { Ok(()) } else { Err(image) }
    })
    .await;
    operator.kill();
    let mut operator = Operator::start(&case, &next).await;
    eventually("the old pod is asked to go", READY_WITHIN, async || {
        let pod = case.api::<Pod>().get(POD).await.map_err(|error| error.to_string());
        let stays = pod.is_ok_and(|pod| {
            pod.metadata.deletion_timestamp.is_none() && pod.metadata.uid.as_deref() == Some(&before)
        });
        if stays { Err("it stays".to_owned()) } else { Ok(()) }
    })
    .await;
    operator.kill();
    let operator = Operator::start(&case, &next).await;
    // Until it leads and has looked, the status is what the ones before it saw.
    eventually("a new pod under the last operator", READY_WITHIN, async || {
        let looks = operator.metrics().await.sum("reconciles_total");
        let now = pod_uid(&case).await?;
        if looks > 0.0 && now != before { Ok(()) } else { Err(format!("{looks} looks, pod {now}")) }
    })
    .await;
    let shard = wait_ready(&case).await;
    assert_eq!(shard.status.as_ref().unwrap().updated_cells, Some(1));
    assert_eq!(shard.status.unwrap().ready_cells, Some(1));
    let pod = case.api::<Pod>().get(POD).await.unwrap();
    assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some(CELL_NEXT));
    assert_ne!(pod.metadata.uid.as_deref(), Some(before.as_str()));
    users.more(5).await;
    users.all_there().await;
    assert_eq!(operator.metrics().await.sum("cells_replaced_total"), 0.0, "replaced more than once");
}

async fn break_a_port(case: &Case) {
    let patch = json!({ "spec": { "ports": [{ "name": "grpc", "port": 9999, "targetPort": "grpc" }] } });
    case.api::<Service>().patch(SHOP, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn port_is_back(case: &Case) {
    eventually("the Service's ports are put back", READY_WITHIN, async || {
        let service = case.api::<Service>().get(SHOP).await.map_err(|error| error.to_string())?;
        let ports: Vec<_> =
            service.spec.and_then(|spec| spec.ports).unwrap_or_default().iter().map(|p| p.port).collect();
        if ports == [7070, 7080] { Ok(()) } else { Err(format!("{ports:?}")) }
    })
    .await;
}

#[tokio::test]
async fn fault_of_two_operators_one_leads_until_it_is_killed() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let mut first = Operator::start(&case, &["--identity", "first"]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let mut second = Operator::start(&case, &["--identity", "second"]).await;
    eventually("the second stands by", READY_WITHIN, async || {
        if second.log().contains("standing by") { Ok(()) } else { Err(second.log()) }
    })
    .await;
    break_a_port(&case).await;
    port_is_back(&case).await;
    let leads = async |operator: &Operator| operator.metrics().await.sum("leader");
    assert_eq!((leads(&first).await, leads(&second).await), (1.0, 0.0));
    assert_eq!(second.metrics().await.sum("writes_total"), 0.0, "a standby wrote");

    first.kill();
    break_a_port(&case).await;
    port_is_back(&case).await;
    assert_eq!(leads(&second).await, 1.0);
    // Given up in order, it is taken at once.
    let third = Operator::start(&case, &["--identity", "third"]).await;
    second.stop().await;
    break_a_port(&case).await;
    port_is_back(&case).await;
    assert_eq!(leads(&third).await, 1.0);
    wait_ready(&case).await;
}

/// Writes of both, once neither has written for a while.
async fn settled(operators: [&Operator; 2]) -> [f64; 2] {
    let writes = async || {
        let [one, other] = operators;
        [one.metrics().await.sum("writes_total"), other.metrics().await.sum("writes_total")]
    };
    let mut last = writes().await;
    eventually("both operators stop writing", READY_WITHIN, async || {
        tokio::time::sleep(QUIET).await;
        let now = writes().await;
        let before = std::mem::replace(&mut last, now);
        if before == now { Ok(now) } else { Err(format!("{before:?} became {now:?} writes")) }
    })
    .await
}

/// Makes both look at the shard, and waits until they have.
async fn look_again(case: &Case, operators: [&Operator; 2], round: &str) {
    let [one, other] = operators;
    let looks = async |operator: &Operator| operator.metrics().await.sum("reconciles_total");
    let before = [looks(one).await, looks(other).await];
    let patch = json!({ "metadata": { "annotations": { "e2e.corallite.dev/round": round } } });
    case.api::<ActorShard>().patch(SHOP, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    eventually("both have looked", READY_WITHIN, async || {
        let now = [looks(one).await, looks(other).await];
        if now[0] > before[0] && now[1] > before[1] { Ok(()) } else { Err(format!("{before:?}, {now:?}")) }
    })
    .await;
}

#[tokio::test]
async fn fault_two_leaders_at_once_do_no_harm() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let one = Operator::start(&case, &["--lease-name", "one", "--identity", "one"]).await;
    let other = Operator::start(&case, &["--lease-name", "other", "--identity", "other"]).await;
    let both = [&one, &other];
    apply_shop(&case).await;
    wait_ready(&case).await;
    for operator in both {
        assert_eq!(operator.metrics().await.sum("leader"), 1.0);
    }
    let users = Users::arrive(&Shop::of(&case).await).await;
    let writes = settled(both).await;
    for round in 0..ROUNDS {
        look_again(&case, both, &round.to_string()).await;
    }
    assert_eq!(settled(both).await, writes, "they write without need");

    break_a_port(&case).await;
    port_is_back(&case).await;
    settled(both).await;

    // Both roll the same change: the cell is replaced once.
    let before = pod_uid(&case).await.unwrap();
    let shards = case.api::<ActorShard>();
    let mut shard = shards.get(SHOP).await.unwrap();
    shard.spec.actors[0].passivation.idle_seconds += 1;
    let actors = json!({ "spec": { "actors": shard.spec.actors } });
    shards.patch(SHOP, &PatchParams::default(), &Patch::Merge(actors)).await.unwrap();
    super::cell::wait_replaced(&case, &before).await;
    let after = pod_uid(&case).await.unwrap();
    wait_ready(&case).await;
    settled(both).await;
    // Both may have asked the old pod to go, but never the new one.
    assert_eq!(pod_uid(&case).await.unwrap(), after, "the cell was replaced twice");
    users.more(5).await;
    users.all_there().await;
}
