//! Reads: of what is, was, and never was.

use corallite_proto::v1;
use serde_json::json;

use super::world::{World, address};

#[tokio::test]
async fn an_actor_that_never_was_is_404_and_keeps_nothing() {
    let world = World::new().await;
    for n in 0..50 {
        for path in ["", "/events", "/query/total", "?consistency=stale", "?atSeq=1"] {
            let path = format!("/v1/actors/Counter/never-{n}{path}");
            world.get(&path).await.refused(404, "UnknownActor");
        }
        // A refused command brings nobody into being either.
        world.post(&format!("Counter/never-{n}"), "refuse", "\"no\"").await.refused(409, "Refused");
    }
    // Known to be counted: there are these two, and nobody else.
    world.apply("Counter/a", "add", r#"{"by":1}"#).await;
    world.apply("Counter/b", "add", r#"{"by":1}"#).await;
    world.metric_is("corallite_resident_actors", 2.0).await;
    world.stop().await;
}

#[tokio::test]
async fn the_past_is_read_by_seq() {
    let world = World::new().await;
    for by in [5, 10, 20] {
        world.apply("Counter/a", "add", &format!("{{\"by\":{by}}}")).await;
    }
    for (seq, n) in [(1, 5), (2, 15), (3, 35)] {
        let answer = world.get(&format!("/v1/actors/Counter/a?atSeq={seq}")).await.json();
        assert_eq!((&answer["state"]["n"], &answer["seq"]), (&json!(n), &json!(seq)));
    }
    let said = world.get("/v1/actors/Counter/a?atSeq=4").await.refused(404, "UnknownSeq");
    assert!(said.contains('4') && said.contains('3'), "{said}");
    world.get("/v1/actors/Counter/a?atSeq=0").await.refused(400, "MalformedParameter");
    let get = v1::GetRequest { actor: address("Counter/a"), at_seq: 2, stale: false };
    let answer = world.actors().await.get(get).await.expect("read").into_inner();
    assert_eq!((&answer.state[..], answer.seq), (&br#"{"n":15,"heard":[]}"#[..], 2));
    world.stop().await;
}

#[tokio::test]
async fn a_stale_read_answers_the_same_from_a_healthy_cell() {
    let world = World::new().await;
    world.apply("Counter/a", "add", r#"{"by":5}"#).await;
    let strong = world.get("/v1/actors/Counter/a").await.json();
    assert_eq!(world.get("/v1/actors/Counter/a?consistency=stale").await.json(), strong);
    let query = world.get("/v1/actors/Counter/a/query/total?consistency=stale").await.json();
    assert_eq!(query["result"], 5);
    world.get("/v1/actors/Counter/a?consistency=never").await.refused(400, "MalformedParameter");
    world.stop().await;
}

#[tokio::test]
async fn what_was_destroyed_is_gone_until_it_is_created_again() {
    let world = World::new().await;
    world.apply("Counter/a", "add", r#"{"by":5}"#).await;
    world.apply("Counter/a", "alarm", r#"{"after":"1h"}"#).await;
    let removed = world.apply("Counter/a", "remove", "null").await;
    assert_eq!(removed["seq"], 2);
    world.get("/v1/actors/Counter/a").await.refused(404, "UnknownActor");
    world.get("/v1/actors/Counter/a/query/total").await.refused(404, "UnknownActor");
    world.metric_is("corallite_timers_pending", 0.0).await;
    let again = world.apply("Counter/a", "add", r#"{"by":1}"#).await;
    assert_eq!((&again["reply"], &again["seq"]), (&json!(1), &json!(3)), "a new life, and the seq goes on");
    let page = world.get("/v1/actors/Counter/a/events").await.json();
    let names: Vec<_> = page["events"].as_array().expect("a list").iter().map(|e| &e["name"]).collect();
    assert_eq!(names, ["Added", "Removed", "Added"], "the history is whole");
    assert_eq!(world.get("/v1/actors/Counter/a?atSeq=1").await.json()["state"]["n"], 5);
    world.stop().await;
}
