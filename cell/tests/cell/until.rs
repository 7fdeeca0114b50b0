//! `?until=`: a command that waits for an event, its own or a later one's.

use hyper::Method;
use serde_json::Value;

use super::world::World;

async fn add(world: &World, actor: &str, by: u32, id: &str, until: &str) -> Value {
    let path = format!("/v1/actors/{actor}/add{until}");
    let payload = format!("{{\"by\":{by}}}");
    let reply = world.send(Method::POST, &path, &[("idempotency-key", id)], &payload).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[tokio::test]
async fn its_own_event_ends_the_wait_at_once() {
    let world = World::new().await;
    let answer = add(&world, "Counter/a", 100, "k-1", "?until=Filled,Rang&wait=60s").await;
    assert_eq!((&answer["event"]["name"], &answer["event"]["seq"]), (&"Filled".into(), &2.into()));
    world.stop().await;
}

#[tokio::test]
async fn a_later_commands_event_ends_the_wait() {
    let world = World::new().await;
    let waits = async { add(&world, "Counter/a", 1, "k-1", "?until=Filled&wait=60s").await };
    let fills = async {
        world.state_where("Counter/a", |state| state["n"] == 1).await;
        add(&world, "Counter/a", 100, "k-2", "").await
    };
    let (waited, filled) = tokio::join!(waits, fills);
    assert_eq!((&waited["seq"], &filled["seq"]), (&1.into(), &3.into()));
    assert_eq!((&waited["event"]["name"], &waited["event"]["seq"]), (&"Filled".into(), &3.into()));
    assert_eq!(waited["event"]["position"], filled["position"]);
    world.stop().await;
}

#[tokio::test]
async fn a_timers_event_ends_the_wait_and_none_is_said_to_be_none() {
    let world = World::new().await;
    let path = "/v1/actors/Counter/a/alarm?until=Rang&wait=60s";
    let answer = world.send(Method::POST, path, &[], r#"{"after":"10ms"}"#).await.json();
    assert_eq!(answer["event"]["name"], "Rang");
    let answer = add(&world, "Counter/a", 1, "k-1", "?until=Filled&wait=20ms").await;
    assert_eq!((&answer["event"], &answer["reply"]), (&Value::Null, &1.into()));
    world
        .send(Method::POST, "/v1/actors/Counter/a/add?wait=1s", &[], "{}")
        .await
        .refused(400, "MalformedParameter");
    world.stop().await;
}

#[tokio::test]
async fn a_repeated_id_waits_again_and_does_not_run_again() {
    let world = World::new().await;
    add(&world, "Counter/a", 1, "k-1", "").await;
    let waits = async { add(&world, "Counter/a", 1, "k-1", "?until=Filled&wait=60s").await };
    let fills = async { add(&world, "Counter/a", 100, "k-2", "").await };
    let (waited, filled) = tokio::join!(waits, fills);
    assert_eq!((&waited["seq"], &waited["reply"]), (&1.into(), &1.into()), "the recorded answer");
    assert_eq!(waited["event"]["position"], filled["position"]);
    assert_eq!(world.state("Counter/a").await.1, 3);
    world.stop().await;
}

#[tokio::test]
async fn a_repeated_id_sees_an_event_that_came_since_the_first_time() {
    let world = World::new().await;
    add(&world, "Counter/a", 1, "k-1", "").await;
    let filled = add(&world, "Counter/a", 100, "k-2", "").await;
    for n in 0..5 {
        add(&world, "Counter/a", 100, &format!("k-3-{n}"), "").await;
    }
    // Of its own record and of those after it, the first.
    let again = add(&world, "Counter/a", 1, "k-1", "?until=Filled&wait=1s").await;
    assert_eq!((&again["event"]["seq"], &again["event"]["position"]), (&3.into(), &filled["position"]));
    let own = add(&world, "Counter/a", 100, "k-2", "?until=Filled&wait=1s").await;
    assert_eq!(own["event"]["seq"], 3);
    world.stop().await;
}
