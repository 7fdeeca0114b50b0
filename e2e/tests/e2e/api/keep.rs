//! What becomes of data: it outlives pods, and shards too if that was asked for.

use corallite_crds::ActorShard;
use corallite_e2e::{Case, eventually};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::shop::{POD, READY_WITHIN, SHOP, Shop, apply_shop, pod_uid, wait_ready};

/// The volume of the shop's only cell.
const VOLUME: &str = "data-shop-0";

/// Puts a product on sale and places an order for it, which waits until both have said yes.
async fn place_order(shop: &Shop) {
    shop.must("Product/lamp/create", &json!({ "name": "Lamp", "priceCents": 4900 }), "create-lamp").await;
    shop.must("Inventory/lamp/receive", &json!({ "quantity": 3 }), "receive-lamp").await;
    let order = json!({ "userId": "ann", "productId": "lamp", "quantity": 2, "unitPriceCents": 4900 });
    shop.must("Order/o1/place", &order, "place-o1").await;
    wait_order(shop).await;
}

/// The order and the stock, as they are after [`place_order`].
async fn wait_order(shop: &Shop) {
    eventually("the order is ready", READY_WITHIN, async || {
        let order = shop.read("Order/o1/query/summary").await;
        let stock = shop.read("Inventory/lamp/query/available").await;
        let (order, stock) = (&order["result"], &stock["result"]);
        let is = order["status"] == "ready" && order["totalCents"] == 9800;
        if is && stock["available"] == 1 { Ok(()) } else { Err(format!("{order}; {stock}")) }
    })
    .await;
}

#[tokio::test]
async fn api_data_survives_the_pod() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let mut operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let shop = Shop::of(&case).await;
    place_order(&shop).await;
    // Neither what runs nor what is stored needs an operator.
    operator.kill();
    let first = pod_uid(&case).await.unwrap();
    case.api::<Pod>().delete(POD, &DeleteParams::default()).await.unwrap();
    eventually("another pod", READY_WITHIN, async || {
        let pod = pod_uid(&case).await?;
        if pod == first { Err("still the first".to_owned()) } else { Ok(()) }
    })
    .await;
    wait_order(&shop).await;
    // The same command under its id is the same order.
    let order = json!({ "userId": "ann", "productId": "lamp", "quantity": 2, "unitPriceCents": 4900 });
    shop.must("Order/o1/place", &order, "place-o1").await;
    wait_order(&shop).await;
}

/// Deletes the shard and waits until nothing with its label is left, apart from volumes.
async fn delete(case: &Case) {
    case.kubectl(["delete", "actorshard", SHOP]).await;
    let selector = format!("corallite.dev/shard={SHOP}");
    let kinds = "configmaps,secrets,services,serviceaccounts,statefulsets,poddisruptionbudgets,\
                 networkpolicies,pods";
    eventually("the children are gone", READY_WITHIN, async || {
        let left = case.kubectl(["get", kinds, "-l", &selector, "-o", "name"]).await;
        if left.trim().is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test]
async fn api_deletion_keeps_the_volume_unless_told_otherwise() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    let volumes = case.api::<PersistentVolumeClaim>();
    apply_shop(&case).await;
    wait_ready(&case).await;
    place_order(&Shop::of(&case).await).await;
    delete(&case).await;
    let kept = volumes.get(VOLUME).await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none() && kept.metadata.owner_references.is_none());

    // A shard of the same name takes up where the other stopped.
    apply_shop(&case).await;
    wait_ready(&case).await;
    wait_order(&Shop::of(&case).await).await;
    let patch = Patch::Merge(json!({ "spec": { "deletionPolicy": "Delete" } }));
    case.api::<ActorShard>().patch(SHOP, &PatchParams::default(), &patch).await.unwrap();
    wait_ready(&case).await;
    eventually("the volume goes with the shard", READY_WITHIN, async || {
        let owners = volumes.get(VOLUME).await.map_err(|error| error.to_string())?.metadata.owner_references;
        owners.map(drop).ok_or_else(|| "it belongs to nobody".to_owned())
    })
    .await;
    delete(&case).await;
    eventually("the volume is gone", READY_WITHIN, async || {
        match volumes.get_opt(VOLUME).await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(volume) => Err(format!("{:?}", volume.metadata)),
        }
    })
    .await;
}
