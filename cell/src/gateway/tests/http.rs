//! Each row of the HTTP table, the admin listener, and what no row matches.

use hyper::Method;
use serde_json::json;

use super::World;
use super::script::token;
use crate::ids::Seq;
use crate::request::{Consistency, ReadWhat};

#[tokio::test]
async fn a_state_is_read_now_or_at_a_sequence_number() {
    let world = World::new().await;
    let reply = world.get("/v1/actors/Order/o-1").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.json(), json!({"state": {"status": "placed"}, "seq": 4, "position": token(3, 8)}));
    world.get("/v1/actors/Order/o-1?atSeq=3&consistency=stale").await;
    world.get("/v1/actors/Order/o-1?consistency=strong").await;
    let reads = world.script.reads.lock();
    assert_eq!(reads[0].actor.to_string(), "Order/o-1");
    assert!(matches!((&reads[0].what, reads[0].consistency), (ReadWhat::State, Consistency::Strong)));
    assert!(matches!(
        (&reads[1].what, reads[1].consistency),
        (ReadWhat::StateAt(Seq(3)), Consistency::Stale)
    ));
    assert!(matches!(reads[2].consistency, Consistency::Strong));
}

#[tokio::test]
async fn a_history_is_read_in_pages() {
    let world = World::new().await;
    let reply = world.get("/v1/actors/Order/o-1/events?from=2&limit=50").await;
    let event = |seq, name| json!({"seq": seq, "name": name, "payload": {"a": 1}, "timeMs": 5, "position": token(3, 9)});
    assert_eq!(reply.json(), json!({"events": [event(1, "A"), event(2, "B")], "next": 3}));
    world.get("/v1/actors/Order/o-1/events").await;
    let histories = world.script.histories.lock();
    assert_eq!((histories[0].from, histories[0].limit), (Seq(2), 50));
    assert_eq!((histories[1].from, histories[1].limit), (Seq(1), 100));
}

#[tokio::test]
async fn a_query_takes_json_arguments() {
    let world = World::new().await;
    let reply = world.get("/v1/actors/Order/o-1/query/summary?args=%7B%22deep%22%3A%20true%7D").await;
    assert_eq!(reply.json(), json!({"result": {"status": "placed"}, "seq": 4, "position": token(3, 8)}));
    world.get("/v1/actors/Order/o-1/query/summary?consistency=stale").await;
    let reads = world.script.reads.lock();
    let query = |index: usize| match &reads[index].what {
        ReadWhat::Query { name, args } => (name.to_string(), String::from_utf8_lossy(args).into_owned()),
        other => panic!("{other:?}"),
    };
    assert_eq!(query(0), ("summary".to_owned(), "{\"deep\": true}".to_owned()));
    assert_eq!(query(1), ("summary".to_owned(), "null".to_owned()));
    assert!(matches!(reads[1].consistency, Consistency::Stale));
}

#[tokio::test]
async fn dead_letters_are_listed_read_replayed_and_dropped() {
    let world = World::new().await;
    let letter = |offset: u64, source: serde_json::Value| {
        json!({
            "position": token(3, offset), "target": "Inventory/p-1", "source": source, "command": "reserve",
            "payload": {"quantity": 2}, "code": "ScriptError", "message": "inventory.js:3: no", "timeMs": 8,
        })
    };
    let all = world.get("/v1/dead").await.json();
    assert_eq!(
        all,
        json!({"letters": [letter(1, json!(null)), letter(2, json!("Order/o-1"))], "next": null})
    );
    let page = world.get(&format!("/v1/dead?limit=1&after={}", token(3, 0))).await.json();
    assert_eq!(page["next"], json!(token(3, 1)));
    let path = format!("/v1/dead/{}", token(3, 2));
    assert_eq!(world.get(&path).await.json(), letter(2, json!("Order/o-1")));
    assert_eq!(world.post(&format!("{path}/replay"), "").await.status, 204);
    assert_eq!(world.send(Method::DELETE, &path, &[], "").await.status, 204);
    let asked = world.script.dead.lock();
    let after = format!("list {:?} 1", Some(super::script::at(3, 0)));
    assert_eq!(*asked, ["list None 100", after.as_str(), "get 3:2", "replay 3:2", "drop 3:2"]);
}

#[tokio::test]
async fn what_is_not_served_yet_says_so() {
    let world = World::new().await;
    for path in ["/v1/views/user-orders", "/v1/feed"] {
        let reply = world.get(path).await;
        let (code, message, outcome, retryable) = reply.error();
        assert_eq!(
            (reply.status.as_u16(), code.as_str(), outcome.as_str()),
            (501, "Unimplemented", "notApplied")
        );
        assert!(message.contains("not served by this version") && !retryable);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_errors_in_the_common_shape() {
    let world = World::new().await;
    let reply = world.get("/v1/nothing").await;
    assert_eq!((reply.status.as_u16(), reply.error().0.as_str()), (404, "UnknownRoute"));
    let reply = world.send(Method::PUT, "/v1/actors/Order/o-1", &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET")));
    assert_eq!(reply.error().0, "MethodNotAllowed");
    let reply = world.post("/v1/actors/Order/o-1/query/summary", "").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn the_root_tells_what_there_is() {
    let reply = World::new().await.get("/").await;
    assert_eq!(reply.status, 200);
    for part in ["Corallite", "/v1/actors/{type}/{id}/{command}", "/v1/dead", "corallite.v1.Actors"] {
        assert!(reply.body.contains(part), "{part}:\n{}", reply.body);
    }
}

#[tokio::test]
async fn admin_says_alive_ready_and_what_was_counted() {
    let world = World::new().await;
    *world.script.waits_for.lock() = Some("waiting for bucket 7".to_owned());
    assert_eq!(world.admin("/livez").await.status, 200);
    let reply = world.admin("/readyz").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (503, "waiting for bucket 7\n"));
    *world.script.waits_for.lock() = None;
    assert_eq!(world.admin("/readyz").await.status, 200);
    world.post("/v1/actors/Order/o-1/place", "{}").await;
    world.post("/v1/actors/Order/o-1/place", "{").await;
    let reply = world.admin("/metrics").await;
    assert!(
        reply.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text"))
    );
    for outcome in ["applied", "notApplied"] {
        let line = format!("corallite_commands_total{{type=\"Order\",outcome=\"{outcome}\"}} 1\n");
        assert!(reply.body.contains(&line), "{line}{}", reply.body);
    }
    assert_eq!(world.admin("/v1/actors/Order/o-1").await.status, 404);
    assert_eq!(world.get("/metrics").await.status, 404);
}
