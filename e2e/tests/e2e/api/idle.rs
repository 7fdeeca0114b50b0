//! An operator with nothing to do does nothing.

use std::time::Duration;

use corallite_crds::ActorShard;
use corallite_e2e::{Case, eventually};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::shop::{READY_WITHIN, SHOP, apply_shop, wait_ready};

/// Reconciles that are forced.
const FORCED: u32 = 5;

/// How long nothing may change in a shard before it counts as settled.
const QUIET: Duration = Duration::from_secs(5);

/// Kinds of children, and the pods.
const KINDS: &str = "configmaps,secrets,services,serviceaccounts,statefulsets,poddisruptionbudgets,\
                     networkpolicies,persistentvolumeclaims,pods";

/// Name and version of everything that belongs to the shard.
async fn versions(case: &Case) -> String {
    let selector = format!("corallite.dev/shard={SHOP}");
    let line = "{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion}{\"\\n\"}{end}";
    case.kubectl(["get", KINDS, "-l", &selector, "-o", &format!("jsonpath={line}")]).await
}

/// Waits until neither the children nor the operator's writes have changed for a while.
async fn settled(case: &Case, operator: &Operator) -> (String, f64) {
    let mut last = (versions(case).await, operator.metrics().await.sum("writes_total"));
    eventually("the shard settles", READY_WITHIN, async || {
        tokio::time::sleep(QUIET).await;
        let now = (versions(case).await, operator.metrics().await.sum("writes_total"));
        let before = std::mem::replace(&mut last, now.clone());
        if before == now { Ok(now) } else { Err(format!("{before:?} became {now:?}")) }
    })
    .await
}

#[tokio::test]
async fn api_an_unchanged_shard_is_not_written() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let (children, writes) = settled(&case, &operator).await;
    for kind in ["StatefulSet", "Service", "ConfigMap", "Secret", "NetworkPolicy", "PodDisruptionBudget"] {
        assert!(children.contains(&format!("{kind}/{SHOP}")), "no {kind} in\n{children}");
    }
    let shards = case.api::<ActorShard>();
    let mut reconciles = operator.metrics().await.sum("reconciles_total");
    let mut version = None;
    for round in 0..FORCED {
        let patch =
            json!({ "metadata": { "annotations": { "e2e.corallite.dev/round": round.to_string() } } });
        let patched = shards.patch(SHOP, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        version = patched.metadata.resource_version;
        reconciles = eventually("another reconcile", READY_WITHIN, async || {
            let now = operator.metrics().await.sum("reconciles_total");
            if now > reconciles { Ok(now) } else { Err(format!("{now} reconciles")) }
        })
        .await;
    }
    assert_eq!(operator.metrics().await.sum("writes_total"), writes, "{}", operator.log());
    assert_eq!(versions(&case).await, children);
    let shard = shards.get(SHOP).await.unwrap();
    assert_eq!(shard.metadata.resource_version, version, "somebody else wrote the ActorShard");
}
