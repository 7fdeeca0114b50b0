//! Rollouts that cannot succeed.

use corallite_crds::{ActorShard, condition, reason};
use corallite_e2e::Case;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cell::wait_replaced;
use super::users::Users;
use crate::support::operator::Operator;
use crate::support::shop::{CELL, SHOP, Shop, apply_shop, pod_uid, wait_condition, wait_ready};

/// Nobody can pull it.
const NO_IMAGE: &str = "127.0.0.1:1/corallite/cell:none";

/// Long enough for a cell that can start.
const DEADLINE: [&str; 2] = ["--rollout-deadline", "60s"];

#[tokio::test]
async fn fault_an_image_that_does_not_exist_stops_the_rollout_and_can_be_taken_back() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let mut operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    operator.stop().await;
    let short = ["--cell-image", NO_IMAGE, "--rollout-deadline", "10s"];
    let mut operator = Operator::start(&case, &short).await;
    let stuck = wait_condition(&case, condition::DEGRADED, "True", reason::ROLLOUT_STUCK).await;
    for words in ["cell shop-0 is not ready", "Pull"] {
        assert!(stuck.message.contains(words), "{}", stuck.message);
    }
    wait_condition(&case, condition::PROGRESSING, "False", reason::HALTED).await;
    wait_condition(&case, condition::READY, "False", reason::CELLS_NOT_READY).await;
    assert_eq!(operator.metrics().await.sum("cells_replaced_total"), 1.0, "{}", operator.log());
    operator.stop().await;

    let _operator = Operator::start(&case, &["--cell-image", CELL]).await;
    wait_ready(&case).await;
    wait_condition(&case, condition::DEGRADED, "False", reason::HEALTHY).await;
    users.more(5).await;
    users.all_there().await;
}

#[tokio::test]
async fn fault_a_spec_that_no_cell_starts_with_is_taken_back_by_the_old_spec() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let operator = Operator::start(&case, &DEADLINE).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let before = pod_uid(&case).await.unwrap();

    // The API server cannot know: "strin" is no type of JSON Schema.
    let shards = case.api::<ActorShard>();
    let mut shard = shards.get(SHOP).await.unwrap();
    let schema = json!({ "jsonSchema": { "commands": { "register": { "type": "strin" } } } });
    shard.spec.actors[0].schema = serde_json::from_value(schema).unwrap();
    let actors = json!({ "spec": { "actors": shard.spec.actors } });
    shards.patch(SHOP, &PatchParams::default(), &Patch::Merge(actors)).await.unwrap();
    wait_replaced(&case, &before).await;
    let stuck = wait_condition(&case, condition::DEGRADED, "True", reason::ROLLOUT_STUCK).await;
    assert!(stuck.message.contains("schema"), "the cell's last words: {}", stuck.message);

    case.kubectl(["apply", "-k", "examples/shop", "--server-side", "--force-conflicts"]).await;
    wait_ready(&case).await;
    wait_condition(&case, condition::DEGRADED, "False", reason::HEALTHY).await;
    users.more(5).await;
    users.all_there().await;
    assert_eq!(operator.metrics().await.sum("cells_replaced_total"), 2.0, "{}", operator.log());
}
