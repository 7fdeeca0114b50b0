//! Rollouts of one cell, and what can go wrong in them.

use super::bench::{Bench, SET, pod_path};

/// The same shop under an operator that was given another image.
async fn upgraded() -> (Bench, Bench) {
    let before = Bench::serving().await;
    let mut after = Bench::of(before.fake.clone(), "cell:2");
    *after.now.lock() = *before.now.lock();
    after.cells_agree();
    after.reconcile().await.expect("reconciled");
    (before, after)
}

#[tokio::test]
async fn another_image_drains_and_replaces_the_cell() {
    let (_, mut bench) = upgraded().await;
    assert_eq!(bench.condition("Progressing"), ("True".into(), "RollingOut".into()));
    assert!(bench.fake.get(&pod_path(0)).is_some(), "not before Kubernetes took up the template");
    assert!(bench.control.0.lock().drained.is_empty());

    bench.kubernetes();
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.control.0.lock().drained, ["10.0.0.7"]);
    assert!(bench.fake.get(&pod_path(0)).is_none(), "the pod is deleted");

    bench.reconcile().await.expect("reconciled");
    assert!(
        bench.message("Progressing").contains("1 of 1 cells to be made"),
        "{}",
        bench.message("Progressing")
    );
    bench.kubernetes();
    bench.reconcile().await.expect("reconciled");
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Progressing"), ("False".into(), "Settled".into()));
    assert_eq!(bench.condition("Ready").0, "True");
    let pod = bench.fake.get(&pod_path(0)).expect("the new pod");
    assert_eq!(pod["spec"]["containers"][0]["image"], "cell:2");
}

#[tokio::test]
async fn a_rollout_that_is_stuck_says_so_and_is_taken_back() {
    let (mut old, mut bench) = upgraded().await;
    bench.kubernetes();
    bench.reconcile().await.expect("reconciled");
    bench.kubernetes();
    bench.ready(false);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Degraded").0, "False", "it has time");

    bench.later(601);
    bench.reconcile().await.expect("reconciled");
    assert_eq!(bench.condition("Degraded"), ("True".into(), "RolloutStuck".into()));
    assert_eq!(bench.condition("Progressing"), ("False".into(), "Halted".into()));
    assert!(bench.fake.get(&pod_path(0)).is_some(), "nothing more is deleted");
    assert_eq!(bench.fake.list("events").len(), 1);

    // The old image again: the cell that never got ready is replaced without a drain.
    *old.now.lock() = *bench.now.lock();
    old.cells_agree();
    old.reconcile().await.expect("reconciled");
    old.kubernetes();
    old.reconcile().await.expect("reconciled");
    assert!(old.fake.get(&pod_path(0)).is_none(), "the bad pod is deleted");
    assert!(old.control.0.lock().drained.is_empty());
    old.kubernetes();
    old.reconcile().await.expect("reconciled");
    old.reconcile().await.expect("reconciled");
    assert_eq!(old.condition("Degraded"), ("False".into(), "Healthy".into()));
    assert_eq!(old.condition("Ready").0, "True");
}

#[tokio::test]
async fn a_pod_that_changed_since_it_was_looked_at_is_not_deleted() {
    let (_, mut bench) = upgraded().await;
    bench.kubernetes();
    bench.ready(false);
    bench.watch();
    let shard = bench.context.stores.shards.state().pop().expect("the shard");
    // It becomes ready before the operator's watch knows.
    bench.ready(true);
    let result = crate::shard::reconcile(shard, std::sync::Arc::clone(&bench.context)).await;
    assert_eq!(result.expect_err("looked at an old pod").reason(), "conflict");
    assert!(bench.fake.get(&pod_path(0)).is_some());
    assert!(bench.fake.get(SET).is_some());
}
