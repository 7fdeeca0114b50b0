//! The binary against a scripted cell: outcomes become exit codes, and retries keep their id.

mod support;

use corallite_proto::v1::Outcome;
use support::cell::{Answer, ScriptedCell};
use support::{Ended, run};
use tonic::Code;

async fn call(cell: &ScriptedCell, more: &[&str]) -> Ended {
    let mut arguments = vec!["call", "Order/o-1", "place", r#"{"quantity":1}"#, "--server", &cell.url];
    arguments.extend(more);
    run(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_command_prints_its_reply() {
    let cell = ScriptedCell::start([]).await;
    let ended = call(&cell, &["--id", "c-1"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let answer = ended.json();
    assert_eq!(answer["reply"]["quantity"], 1);
    assert_eq!(answer["events"][0], "Echoed");
    assert_eq!(answer["commandId"], "c-1");
    assert_eq!(ended.stdout.lines().count(), 1, "compact in a pipe");
    let asked = cell.asked();
    assert_eq!((asked[0].command.as_str(), asked[0].command_id.as_str()), ("place", "c-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_become_exit_codes() {
    let cases = [
        (Answer::error("AlreadyPlaced", Outcome::Refused, false), 2, "refused"),
        (Answer::error("UnknownCommand", Outcome::NotApplied, false), 3, "notApplied"),
        (Answer::error("Deadline", Outcome::Unknown, true), 4, "unknown"),
        (Answer::error("Odd", Outcome::Unspecified, false), 4, "unknown"),
        (Answer::Bare(Code::Internal), 4, "unknown"),
        (Answer::Bare(Code::Unimplemented), 3, "notApplied"),
    ];
    for (answer, code, outcome) in cases {
        // The same answer for as long as it is asked.
        let cell = ScriptedCell::start(std::iter::repeat_n(answer.clone(), 100)).await;
        let ended = call(&cell, &["--id", "c-1", "--timeout", "300ms"]).await;
        assert_eq!(ended.code, code, "{answer:?}: {ended:?}");
        assert!(ended.stderr.contains(&format!("outcome: {outcome}")), "{answer:?}: {ended:?}");
        assert!(ended.stderr.contains("command id: c-1"), "{answer:?}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{answer:?}: data only on standard output");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_happened_is_asked_again_under_the_same_id() {
    let script = [
        Answer::error("Overloaded", Outcome::NotApplied, true),
        Answer::Bare(Code::Unavailable),
        Answer::error("Deadline", Outcome::Unknown, true),
    ];
    let cell = ScriptedCell::start(script).await;
    let ended = call(&cell, &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let asked = cell.asked();
    assert_eq!(asked.len(), 4);
    let id = &asked[0].command_id;
    assert!(uuid::Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 7), "{id}");
    assert!(asked.iter().all(|request| request.command_id == *id));
    assert_eq!(ended.json()["commandId"], **id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final() {
    let cell = ScriptedCell::start([Answer::error("OutOfStock", Outcome::Refused, false)]).await;
    assert_eq!(call(&cell, &[]).await.code, 2);
    assert_eq!(cell.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_events_is_asked_for() {
    let cell = ScriptedCell::start([]).await;
    let ended = call(&cell, &["--until", "OrderReady,OrderExpired", "--wait", "2s"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let asked = cell.asked();
    assert_eq!(asked[0].until, ["OrderReady", "OrderExpired"]);
    assert_eq!(asked[0].wait_ms, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_is_not_there_applied_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let ended = run(&["call", "Order/o-1", "place", "--server", &url, "--timeout", "200ms"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("Unreachable") && ended.stderr.contains("--server"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_where_json_was_asked_for() {
    let cell = ScriptedCell::start([Answer::error("AlreadyPlaced", Outcome::Refused, false)]).await;
    let ended = call(&cell, &["--output", "json"]).await;
    let error: serde_json::Value = serde_json::from_str(&ended.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "AlreadyPlaced");
    assert_eq!(error["error"]["outcome"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_print_what_the_cell_sent() {
    let cell = ScriptedCell::start([]).await;
    let ended = run(&["get", "Order/o-1", "--at-seq", "7", "--server", &cell.url]).await;
    assert!(ended.stdout.contains(r#"{"z":9007199254740993,"a":1.0}"#), "numbers and order kept: {ended:?}");
    assert_eq!(ended.json()["seq"], 7);
    let pretty = run(&["get", "Order/o-1", "--output", "pretty", "--server", &cell.url]).await;
    assert!(pretty.stdout.contains("    \"z\": 9007199254740993,\n"), "{pretty:?}");
    let nobody = run(&["get", "Order/nobody", "--server", &cell.url]).await;
    assert_eq!(nobody.code, 3, "{nobody:?}");
    let query = run(&["query", "Order/o-1", "echo", "[1,2]", "--server", &cell.url]).await;
    assert_eq!(query.json()["result"], serde_json::json!([1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_over_pages() {
    let cell = ScriptedCell::start([]).await;
    let all = run(&["events", "Order/o-1", "--limit", "5000", "--server", &cell.url]).await;
    assert_eq!((all.code, all.stdout.lines().count()), (0, 1_500));
    let last: serde_json::Value =
        serde_json::from_str(all.stdout.lines().last().expect("lines")).expect("JSON");
    assert_eq!((last["seq"].as_u64(), last["payload"]["n"].as_u64()), (Some(1_500), Some(1_500)));
    let some = run(&["events", "Order/o-1", "--from", "5", "--limit", "2", "--server", &cell.url]).await;
    assert_eq!(some.stdout.lines().count(), 2);
    assert!(some.stderr.contains("--from 7"), "says where the rest begins: {some:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_dealt_with() {
    let cell = ScriptedCell::start([]).await;
    let list = run(&["dead", "list", "--server", &cell.url]).await;
    assert_eq!(list.json()["target"], "Inventory/mug");
    assert!(list.json().get("source").is_none(), "a timer has no source");
    let replayed = run(&["dead", "replay", "17:204", "--server", &cell.url]).await;
    assert_eq!(replayed.json()["replayed"], "17:204");
    let shown = run(&["dead", "show", "17:204", "--server", &cell.url]).await;
    assert_eq!(shown.code, 3, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_not_served_is_said_plainly() {
    let cell = ScriptedCell::start([]).await;
    let ended = run(&["feed", "--server", &cell.url]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("the feed is not served by this version of the cell"), "{ended:?}");
}
