//! Inputs that are not there.

use corallite_crds::{condition, reason};
use corallite_e2e::Case;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams};

use super::users::Users;
use crate::support::operator::Operator;
use crate::support::shop::{CELL, Shop, load_cell, pod_uid, wait_condition, wait_ready};

#[tokio::test]
async fn fault_a_missing_config_map_is_named_and_then_used() {
    let Some(case) = Case::on_nodes(1).await else { return };
    load_cell(&case, CELL).await;
    let _operator = Operator::start(&case, &[]).await;
    case.kubectl(["apply", "-f", "examples/shop/shard.yaml"]).await;
    let missing = wait_condition(&case, condition::ACCEPTED, "False", reason::INPUT_MISSING).await;
    for words in ["ConfigMap shop-behaviors is not there", "spec.actors[User].behavior"] {
        assert!(missing.message.contains(words), "{}", missing.message);
    }
    wait_condition(&case, condition::READY, "False", reason::NOT_ACCEPTED).await;
    assert!(case.api::<Pod>().list(&ListParams::default()).await.unwrap().items.is_empty(), "a pod");

    let files = ["--from-file=examples/shop/user.js", "--from-file=examples/shop/product.js"];
    case.kubectl(["create", "configmap", "shop-behaviors", files[0], files[1]]).await;
    let case_ref = &case;
    corallite_e2e::eventually(
        "only what is missing is named",
        crate::support::shop::READY_WITHIN,
        async || {
            let now = wait_condition(case_ref, condition::ACCEPTED, "False", reason::INPUT_MISSING).await;
            let named = now.message.contains("has no key order.js") && !now.message.contains("user.js");
            if named { Ok(()) } else { Err(now.message) }
        },
    )
    .await;

    case.kubectl(["apply", "-k", "examples/shop"]).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let pod = pod_uid(&case).await.unwrap();

    // A cell that runs does not need it any more, and is not disturbed.
    case.api::<ConfigMap>().delete("shop-behaviors", &DeleteParams::default()).await.unwrap();
    wait_condition(&case, condition::ACCEPTED, "False", reason::INPUT_MISSING).await;
    wait_condition(&case, condition::READY, "True", reason::SERVING).await;
    users.more(5).await;
    case.kubectl(["apply", "-k", "examples/shop"]).await;
    wait_condition(&case, condition::ACCEPTED, "True", reason::ACCEPTED).await;
    users.all_there().await;
    assert_eq!(pod_uid(&case).await.unwrap(), pod, "the pod was replaced");
}
