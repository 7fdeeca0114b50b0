//! A rollout under load.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corallite_e2e::{Case, eventually};
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::shop::{CELL_NEXT, POD, READY_WITHIN, Shop, apply_shop, load_cell, pod_uid, wait_ready};

/// Clients, each with an actor of its own and one command under way.
const CLIENTS: u64 = 8;

/// Commands that every client must have had answered before, and again after the rollout.
const COMMANDS_LEAST: u64 = 20;

/// How long a client waits before it sends a command again that was not answered.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// How long one command may remain unanswered, over all its retries.
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// What all clients together have seen.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    retries: AtomicU64,
    longest_ms: AtomicU64,
    acknowledged: [AtomicU64; CLIENTS as usize],
}

impl Load {
    fn least(&self) -> u64 {
        self.acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).min().unwrap_or(0)
    }

    fn all(&self) -> u64 {
        self.acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    async fn wait_for_each(&self, commands: u64) {
        eventually("commands of every client", READY_WITHIN, async || {
            let least = self.least();
            if least >= commands { Ok(()) } else { Err(format!("the slowest has {least} of {commands}")) }
        })
        .await;
    }
}

/// Receives stock, one piece a command, until the load has ended. Each command is sent under its id
/// until it is applied, whatever comes between.
async fn client(number: u64, shop: Shop, load: Arc<Load>) {
    let path = format!("Inventory/load-{number}/receive");
    let acknowledged = &load.acknowledged[usize::try_from(number).unwrap()];
    while !load.ended.load(Ordering::SeqCst) {
        let done = acknowledged.load(Ordering::SeqCst);
        let (id, started) = (format!("load-{number}-{done}"), Instant::now());
        let available = loop {
            let answer = shop.send(&path, &json!({ "quantity": 1 }), &id).await;
            match answer {
                Ok((StatusCode::OK, answer)) => break answer["reply"]["available"].clone(),
                // Only what may pass is tried again: a refusal would be a defect.
                Ok((status, answer)) => {
                    let error = &answer["error"];
                    let may_pass = error["retryable"] == true || error["outcome"] == "unknown";
                    assert!(may_pass, "{id}: {status}: {answer}");
                }
                Err(_) => {}
            }
            load.retries.fetch_add(1, Ordering::SeqCst);
            assert!(started.elapsed() < GIVE_UP_AFTER, "{id} is not answered");
            tokio::time::sleep(RETRY_AFTER).await;
        };
        // The answer of the first run, also when it was a later one that arrived.
        assert_eq!(available, done + 1, "{id}: a command before was lost, or applied twice");
        let took = u64::try_from(started.elapsed().as_millis()).unwrap();
        load.longest_ms.fetch_max(took, Ordering::SeqCst);
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn api_a_rollout_under_load_loses_and_doubles_nothing() {
    let Some(case) = Case::on_nodes(1).await else { return };
    load_cell(&case, CELL_NEXT).await;
    let mut operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let shop = Shop::of(&case).await;
    let load = Arc::new(Load::default());
    let clients = (0..CLIENTS).map(|number| tokio::spawn(client(number, shop.clone(), Arc::clone(&load))));
    let clients: Vec<_> = clients.collect();
    load.wait_for_each(COMMANDS_LEAST).await;

    let before = pod_uid(&case).await.unwrap();
    operator.stop().await;
    let operator = Operator::start(&case, &["--cell-image", CELL_NEXT]).await;
    eventually("the cell is replaced", READY_WITHIN, async || {
        let pod = case.api::<Pod>().get(POD).await.map_err(|error| error.to_string())?;
        let image = pod.spec.and_then(|spec| spec.containers.into_iter().next()?.image);
        let is_new = pod.metadata.uid.as_deref() != Some(&before) && image.as_deref() == Some(CELL_NEXT);
        if is_new { Ok(()) } else { Err(format!("{:?}: {image:?}", pod.metadata.uid)) }
    })
    .await;
    eventually("the status tells the end of the rollout", READY_WITHIN, async || {
        let updated = wait_ready(&case).await.status.and_then(|status| status.updated_cells);
        if updated == Some(1) { Ok(()) } else { Err(format!("{updated:?} updated")) }
    })
    .await;
    load.wait_for_each(load.least() + COMMANDS_LEAST).await;
    load.ended.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }

    for number in 0..CLIENTS {
        let stock = shop.read(&format!("Inventory/load-{number}/query/available")).await;
        let acknowledged = load.acknowledged[usize::try_from(number).unwrap()].load(Ordering::SeqCst);
        assert_eq!(stock["result"]["available"], acknowledged, "client {number}");
        assert_eq!(stock["seq"], acknowledged, "client {number}: one event a command");
    }
    let replaced = operator.metrics().await.sum("cells_replaced_total");
    assert_eq!(replaced, 1.0, "{}", operator.log());
    writeln!(
        std::io::stderr(),
        "e2e: a rollout under load: {} commands of {CLIENTS} clients acknowledged, {} tries again, the longest \
         wait of one command {:.1} s",
        load.all(),
        load.retries.load(Ordering::SeqCst),
        Duration::from_millis(load.longest_ms.load(Ordering::SeqCst)).as_secs_f64(),
    )
    .unwrap();
}
