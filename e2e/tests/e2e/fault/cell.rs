//! Cells and their objects go away, or are changed by hand.

use corallite_e2e::{Case, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::users::Users;
use crate::support::operator::Operator;
use crate::support::shop::{POD, READY_WITHIN, SHOP, Shop, apply_shop, pod_uid, wait_ready};

/// Waits until there is a pod that is not the one of before.
pub async fn wait_replaced(case: &Case, before: &str) {
    eventually("another pod", READY_WITHIN, async || {
        let now = pod_uid(case).await?;
        if now == before { Err("still the one of before".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn fault_a_killed_pod_comes_back_with_all_that_was_answered() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let before = pod_uid(&case).await.unwrap();
    // SIGKILL, and the object goes at once: the next pod may come while the last one still dies.
    case.kubectl(["delete", "pod", POD, "--grace-period=0", "--force", "--wait=false"]).await;
    wait_replaced(&case, &before).await;
    users.more(5).await;
    wait_ready(&case).await;
    users.all_there().await;
}

#[tokio::test]
async fn fault_a_stateful_set_deleted_by_hand_comes_back_with_its_data() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let users = Users::arrive(&Shop::of(&case).await).await;
    let (sets, claims) = (case.api::<StatefulSet>(), case.api::<PersistentVolumeClaim>());
    let (set, claim) = (sets.get(SHOP).await.unwrap(), claims.get("data-shop-0").await.unwrap());
    let pod = pod_uid(&case).await.unwrap();
    sets.delete(SHOP, &DeleteParams::background()).await.unwrap();
    eventually("another StatefulSet", READY_WITHIN, async || {
        let now = sets.get(SHOP).await.map_err(|error| error.to_string())?;
        if now.metadata.uid == set.metadata.uid { Err("still the first".to_owned()) } else { Ok(()) }
    })
    .await;
    wait_replaced(&case, &pod).await;
    users.more(5).await;
    wait_ready(&case).await;
    users.all_there().await;
    assert_eq!(claims.get("data-shop-0").await.unwrap().metadata.uid, claim.metadata.uid);
}

/// Writes over a field as somebody with kubectl does, and waits until it is as before.
async fn put_back<K>(case: &Case, name: &str, patch: Value, field: &str)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + serde::Serialize
        + std::fmt::Debug,
{
    let api = case.api::<K>();
    let read = async || api.get(name).await.map(|object| field_of(&object, field));
    let before = read().await.unwrap();
    let edited = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_ne!(field_of(&edited, field), before, "{field} of {name} was not edited");
    eventually(&format!("{field} of {name} is put back"), READY_WITHIN, async || {
        let now = read().await.map_err(|error| error.to_string())?;
        if now == before { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

fn field_of(object: &impl serde::Serialize, field: &str) -> Value {
    serde_json::to_value(object).unwrap().pointer(field).cloned().unwrap_or_default()
}

#[tokio::test]
async fn fault_fields_edited_by_hand_are_put_back() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let ports = json!([{ "name": "grpc", "port": 9999, "targetPort": "grpc" }]);
    put_back::<Service>(&case, SHOP, json!({ "spec": { "ports": ports } }), "/spec/ports").await;
    let selector = json!({ "spec": { "selector": { "corallite.dev/shard": "other" } } });
    put_back::<Service>(&case, SHOP, selector, "/spec/selector").await;
    let no_label = json!({ "metadata": { "labels": { "corallite.dev/shard": null } } });
    put_back::<StatefulSet>(&case, SHOP, no_label, "/metadata/labels").await;
    put_back::<StatefulSet>(&case, SHOP, json!({ "spec": { "replicas": 0 } }), "/spec/replicas").await;
    wait_ready(&case).await;

    let others = json!({ "metadata": { "labels": { "team": "payments" } } });
    let services = case.api::<Service>();
    services.patch(SHOP, &PatchParams::default(), &Patch::Merge(others)).await.unwrap();
    services.delete("shop-cells", &DeleteParams::default()).await.unwrap();
    eventually("the deleted Service is back", READY_WITHIN, async || {
        let cells = services.get("shop-cells").await.map_err(|error| error.to_string())?;
        if cells.metadata.deletion_timestamp.is_none() { Ok(()) } else { Err("it goes".to_owned()) }
    })
    .await;
    let labels = services.get(SHOP).await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["team"], "payments", "what others add is theirs");
}
