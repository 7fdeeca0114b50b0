//! Start, drain, stop and start again.

use std::sync::Arc;

use corallite_cell::env::MachineClock;
use corallite_cell::ids::Bucket;
use corallite_cell::store::embedded::{EmbeddedStore, Options};
use corallite_cell::store::key::Keys;
use corallite_cell::store::{Store, record};
use corallite_proto::{store as rec, v1};

use crate::pod::{PATIENCE, Pod, control};

#[tokio::test]
async fn what_was_answered_is_there_after_a_stop() {
    let pod = Pod::new();
    let run = pod.start().await;
    assert_eq!(run.admin("/livez").await.0, 200);
    assert_eq!(run.admin("/readyz").await, (200, "ready\n".to_owned()));
    for id in ["a", "b", "c"] {
        run.add(id).await;
    }
    let before = pod.status(&run).await;
    assert_eq!(
        before.buckets.iter().map(|bucket| bucket.bucket).collect::<Vec<_>>(),
        (0..8).collect::<Vec<_>>()
    );
    assert_eq!(before.buckets.iter().map(|bucket| bucket.next_offset).sum::<u64>(), 3);
    assert_eq!((before.draining, &*before.waits_for), (false, ""));

    run.signal("TERM");
    let (status, said) = run.ended().await;
    assert!(status.success(), "{status}: {said}");
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(!matches!(line["level"].as_str(), Some("ERROR" | "WARN")), "{line}");
    }

    let run = pod.start().await;
    for id in ["a", "b", "c"] {
        assert_eq!(run.state(id).await["n"], 1);
    }
    let after = pod.status(&run).await;
    assert_ne!(after.session, before.session);
    for (before, after) in before.buckets.iter().zip(&after.buckets) {
        assert_eq!((before.epoch + 1, before.next_offset), (after.epoch, after.next_offset));
    }
}

#[tokio::test]
async fn a_drained_cell_has_written_everything_out_and_serves_until_it_is_stopped() {
    let pod = Pod::new();
    let run = pod.start().await;
    run.add("a").await;
    let mut client =
        control(&run, &pod.authority.certificate(), Some(&pod.operator())).await.expect("connected");
    let drained = client.drain(v1::DrainRequest {}).await.expect("drained").into_inner();
    assert_eq!((drained.buckets_released, drained.buckets_kept), (0, 8));
    assert!(pod.status(&run).await.draining);
    assert_eq!((run.add("a").await.as_str(), run.admin("/readyz").await.0), ("one", 200));
    // Also what came after the first drain is written out by the next.
    client.drain(v1::DrainRequest {}).await.expect("safe to repeat");
    let assign = client.assign(v1::AssignRequest::default()).await.expect_err("one cell");
    assert_eq!(assign.code(), tonic::Code::Unimplemented);
    run.signal("KILL");
    run.ended().await;
    assert_eq!(tails(&pod).await, 0, "a start would have something to catch up with");
}

/// Records that a start has to read again.
async fn tails(pod: &Pod) -> u64 {
    let folder = pod.folder.path().join("data").join("store");
    let store = EmbeddedStore::open(&folder, Options::new(Arc::new(MachineClock))).expect("opened");
    let (keys, snapshot) = (Keys::new("market/shop"), store.snapshot().await.expect("a snapshot"));
    let mut tails = 0;
    for bucket in (0..8).map(Bucket) {
        let head = snapshot.get(&keys.head(bucket)).await.expect("read").expect("claimed");
        let head: rec::Head = record::decode(&head).expect("a head");
        let checkpoint = snapshot.get(&keys.checkpoint(bucket)).await.expect("read");
        let checkpoint: rec::Checkpoint =
            checkpoint.map(|value| record::decode(&value).expect("a checkpoint")).unwrap_or_default();
        tails += head.next_offset - checkpoint.offset;
    }
    tails
}

/// While a request holds the stop up, the operator sees what is going on.
#[tokio::test]
async fn a_stop_can_be_watched_and_a_second_signal_ends_it() {
    let pod = Pod::new();
    let run = pod.start().await;
    run.add("a").await;
    let mut client =
        control(&run, &pod.authority.certificate(), Some(&pod.operator())).await.expect("connected");
    let grpc = run.grpc;
    let waiting = tokio::spawn(async move {
        let mut actors =
            v1::actors_client::ActorsClient::connect(format!("http://{grpc}")).await.expect("connected");
        let actor = Some(v1::ActorRef { r#type: "Counter".to_owned(), id: "b".to_owned() });
        let request = v1::ExecuteRequest {
            actor,
            command: "add".to_owned(),
            payload: r#"{"by":1}"#.as_bytes().into(),
            until: vec!["Never".to_owned()],
            wait_ms: 60_000,
            ..v1::ExecuteRequest::default()
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(PATIENCE);
        actors.execute(request).await
    });
    let applied = async || {
        let status = client.clone().status(v1::StatusRequest {}).await.expect("a status").into_inner();
        status.buckets.iter().map(|bucket| bucket.next_offset).sum::<u64>() == 2
    };
    let started = std::time::Instant::now();
    while !applied().await {
        assert!(started.elapsed() < PATIENCE && !waiting.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    run.signal("TERM");
    run.wait_for("\"stopping\"").await;
    let status = client.status(v1::StatusRequest {}).await.expect("still answered").into_inner();
    assert!(status.draining && status.waits_for.contains("stopping"), "{status:?}");
    let (code, text) = run.admin("/readyz").await;
    assert_eq!((code, text.contains("stopping")), (503, true), "{text}");
    assert_eq!(run.admin("/livez").await.0, 200);
    run.signal("TERM");
    let (status, said) = run.ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("second signal"), "{said}");
}
