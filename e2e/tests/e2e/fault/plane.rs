//! The API server goes away under the operator's hands.

use corallite_e2e::{Case, eventually};
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;

use super::users::Users;
use crate::support::operator::Operator;
use crate::support::shop::{READY_WITHIN, Shop, apply_shop, pod_uid, wait_ready};

#[tokio::test]
async fn fault_a_restart_of_the_api_server_disturbs_nobody() {
    let Some(case) = Case::alone_on_nodes(1).await else { return };
    let mut operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let pod = pod_uid(&case).await.unwrap();
    let cluster = case.cluster();
    let restart = tokio::task::spawn_blocking(|| cluster.restart("kube-apiserver"));
    // Cells need it for nothing.
    users.more(5).await;
    restart.await.unwrap().unwrap();

    let services = case.api::<Service>();
    services.delete("shop-cells", &DeleteParams::default()).await.unwrap();
    eventually("the deleted Service is back", READY_WITHIN, async || {
        if operator.has_ended() {
            // It could not renew its lease in time. Kubernetes would start it again, too.
            assert!(operator.log().contains("lease"), "{}", operator.log());
            operator = Operator::start(&case, &[]).await;
        }
        services.get("shop-cells").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    wait_ready(&case).await;
    users.more(5).await;
    users.all_there().await;
    assert_eq!(pod_uid(&case).await.unwrap(), pod, "the pod was replaced");
}
