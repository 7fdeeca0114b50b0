//! The load generator against a scripted cell.

mod support;

use corallite_proto::v1::Outcome;
use support::cell::{Answer, ScriptedCell};
use support::{Ended, run};

async fn bench(cell: &ScriptedCell, more: &[&str]) -> Ended {
    let mut arguments = vec!["bench", "--server", &cell.url, "--warmup", "0ms", "--type", "Counter"];
    arguments.extend(["--command", "add", "--payload", r#"{"n":{{number}}}"#, "--keys", "10"]);
    arguments.extend(more);
    run(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_of_grpc_counts_each_answer_once() {
    for transport in ["stream", "grpc"] {
        let cell = ScriptedCell::start([]).await;
        let more = ["--transport", transport, "--commands", "500", "--in-flight", "8", "--output", "json"];
        let ended = bench(&cell, &more).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let row = ended.json();
        assert_eq!(row["applied"], 500, "{row}");
        assert!(row["perSecond"].as_f64().expect("a rate") > 0.0);
        assert!(row["p50Us"].as_f64() <= row["p99Us"].as_f64());
        // One answer opens the window, and what was in flight when it closed was still answered.
        let asked = cell.asked();
        assert!((501..=501 + 8).contains(&asked.len()), "{transport}: {}", asked.len());
        let ids: std::collections::HashSet<&str> =
            asked.iter().map(|request| request.command_id.as_str()).collect();
        assert_eq!(ids.len(), asked.len(), "{transport}: every command has its own id");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_counted_apart() {
    for transport in ["stream", "grpc"] {
        let script = [
            Answer::Applied,
            Answer::error("No", Outcome::Refused, false),
            Answer::error("Overloaded", Outcome::NotApplied, true),
            Answer::error("Deadline", Outcome::Unknown, true),
        ];
        let cell = ScriptedCell::start(script).await;
        let more = ["--transport", transport, "--commands", "10", "--in-flight", "1", "--output", "json"];
        let row = bench(&cell, &more).await.json();
        let counts = ["applied", "refused", "notApplied", "unknown"].map(|name| row[name].as_u64());
        assert_eq!(counts, [Some(7), Some(1), Some(1), Some(1)], "{transport}: {row}");
        assert_eq!(row["codes"]["Overloaded"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_prints_a_table() {
    let cell = ScriptedCell::start([]).await;
    let ended = bench(&cell, &["--transport", "grpc,stream", "--sweep", "1,4", "--commands", "20"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 2 + 4, "{}", ended.stdout);
    assert!(lines[2].contains("grpc") && lines[5].contains("stream"), "{}", ended.stdout);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_that_of_the_process_named() {
    let cell = ScriptedCell::start([]).await;
    let own = std::process::id().to_string();
    let more = ["--duration", "300ms", "--server-pid", &own, "--output", "json"];
    let row = bench(&cell, &more).await.json();
    assert!(row["serverCpuUs"].as_f64().expect("measured") > 0.0, "{row}");
    let gone = bench(&cell, &["--server-pid", "4294967295"]).await;
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("--server-pid"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_ends_the_stream_is_an_error() {
    let cell = ScriptedCell::start([Answer::Applied, Answer::Bare(tonic::Code::Internal)]).await;
    let ended = bench(&cell, &["--in-flight", "4"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("stream"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_keeps_its_connections_and_reads_outcomes() {
    let refused = r#"{"error":{"code":"No","message":"m","outcome":"refused","retryable":false}}"#;
    let (url, asked) = support::web::start(&[(200, "{}"), (409, refused), (502, "<html>")]).await;
    let command = ["bench", "--transport", "http", "--http", &url, "--warmup", "0ms", "--in-flight", "1"];
    let rest = ["--type", "Counter", "--command", "add", "--id", "c-{{number}}", "--commands", "9"];
    let ended = run(&[&command[..], &rest[..], &["--output", "json"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let row = ended.json();
    let counts = ["applied", "refused", "notApplied", "unknown"].map(|name| row[name].as_u64());
    assert_eq!(counts, [Some(7), Some(1), Some(0), Some(1)], "{row}");
    let asked = asked.lock().expect("no panic");
    assert_eq!(asked[3].0, "POST /v1/actors/Counter/c-3/add HTTP/1.1");
    assert!(asked.iter().all(|(_, key)| key.is_some()), "every command has its id");
}
