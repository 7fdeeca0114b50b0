//! What fails again and again goes to dead letters: listed, inspected, replayed, dropped.

use corallite_cell::spec::ActorSpec;
use corallite_proto::v1;
use hyper::Method;
use serde_json::{Value, json};

use super::world::{World, config_in, receiver};

fn tell(command: &str, n: u32) -> String {
    json!({ "to": "r", "command": command, "payload": { "n": n } }).to_string()
}

/// Waits for this many dead letters.
async fn letters(world: &World, count: usize) -> Vec<Value> {
    let count_of = |value: &Value| value["letters"].as_array().map_or(0, Vec::len);
    let reply = world.get_where("/v1/dead", |reply| count_of(&reply.json()) == count).await;
    reply.json()["letters"].as_array().expect("a list").clone()
}

/// The receiver as its author mends it.
fn mended() -> ActorSpec {
    let source =
        receiver().source.replace("throw new Error(`never hears ${n}`);", "ctx.emit(\"Heard\", { n });");
    let source = source.replace("broken(receiver, { n }) {", "broken(receiver, { n }, ctx) {");
    ActorSpec { source: source.into(), ..receiver() }
}

#[tokio::test]
async fn a_message_that_always_fails_is_listed_mended_and_replayed() {
    let world = World::new().await;
    world.apply("Sender/s", "tell", &tell("broken", 3)).await;
    let letter = letters(&world, 1).await.remove(0);
    let expected = json!({
        "position": letter["position"], "target": "Receiver/r", "source": "Sender/s", "command": "broken",
        "payload": { "n": 3 }, "code": "ScriptThrew", "message": letter["message"], "timeMs": letter["timeMs"],
    });
    assert_eq!(letter, expected);
    let message = letter["message"].as_str().expect("text");
    assert!(message.starts_with("receiver.js:") && message.contains("never hears 3"), "{message}");
    let at = letter["position"].as_str().expect("text").to_owned();
    assert_eq!(world.get(&format!("/v1/dead/{at}")).await.json(), letter);
    let mut actors = world.actors().await;
    let list = v1::ListDeadLettersRequest::default();
    let listed = actors.list_dead_letters(list.clone()).await.expect("listed").into_inner().letters;
    assert_eq!((listed.len(), &listed[0].position, &listed[0].payload[..]), (1, &at, &b"{\"n\":3}"[..]));
    let get = v1::GetDeadLetterRequest { position: at.clone() };
    assert_eq!(actors.get_dead_letter(get).await.expect("read").into_inner().letter.as_ref(), listed.first());
    // Replayed before it is mended it fails again, and is another letter.
    let replay = format!("/v1/dead/{at}/replay");
    assert_eq!(world.send(Method::POST, &replay, &[], "").await.status, 204);
    let again = world
        .get_where("/v1/dead", |reply| {
            reply.json()["letters"][0]["position"].as_str().is_some_and(|p| p != at)
        })
        .await;
    let again = again.json()["letters"][0]["position"].as_str().expect("text").to_owned();
    world.send(Method::POST, &replay, &[], "").await.refused(404, "UnknownDeadLetter");
    world.running.reload(mended()).await.expect("taken");
    actors.replay_dead_letter(v1::ReplayDeadLetterRequest { position: again }).await.expect("replayed");
    world.state_where("Receiver/r", |state| state["heard"] == json!([3])).await;
    letters(&world, 0).await;
    world.stop().await;
}

#[tokio::test]
async fn letters_are_dropped_and_paged() {
    let world = World::new().await;
    for n in 0..5 {
        world.apply(&format!("Sender/s-{n}"), "tell", &tell("refuse", n)).await;
    }
    let all = letters(&world, 5).await;
    let mut paged = Vec::new();
    let mut path = "/v1/dead?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.json();
        paged.extend(page["letters"].as_array().expect("a list").clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/dead?limit=2&after={next}");
    }
    assert_eq!(paged, all);
    let path = format!("/v1/dead/{}", all[2]["position"].as_str().expect("text"));
    assert_eq!(world.send(Method::DELETE, &path, &[], "").await.status, 204);
    world.send(Method::DELETE, &path, &[], "").await.refused(404, "UnknownDeadLetter");
    world.get(&path).await.refused(404, "UnknownDeadLetter");
    let left = letters(&world, 4).await;
    assert!(!left.contains(&all[2]) && left.iter().all(|letter| all.contains(letter)));
    world.stop().await;
}

#[tokio::test]
async fn a_timer_that_always_fails_is_a_letter_without_a_sender() {
    let world = World::new().await;
    world.apply("Sender/s", "later", "null").await;
    let letter = letters(&world, 1).await.remove(0);
    assert_eq!((&letter["source"], &letter["target"]), (&Value::Null, &json!("Sender/s")));
    assert_eq!((&letter["command"], &letter["payload"]), (&json!("explode"), &json!({ "fuse": 1 })));
    assert!(letter["message"].as_str().is_some_and(|text| text.contains("the timer went off")));
    world.metric_is("corallite_timers_pending", 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn letters_outlive_the_cell() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::start(config_in(folder.path())).await;
    for n in 0..3 {
        world.apply(&format!("Sender/s-{n}"), "tell", &tell("broken", n)).await;
    }
    let before = letters(&world, 3).await;
    let drop = format!("/v1/dead/{}", before[0]["position"].as_str().expect("text"));
    assert_eq!(world.send(Method::DELETE, &drop, &[], "").await.status, 204);
    world.stop().await;
    let world = World::start(config_in(folder.path())).await;
    assert_eq!(letters(&world, 2).await, before[1..]);
    world.running.reload(mended()).await.expect("taken");
    for letter in &before[1..] {
        let replay = format!("/v1/dead/{}/replay", letter["position"].as_str().expect("text"));
        assert_eq!(world.send(Method::POST, &replay, &[], "").await.status, 204);
    }
    world
        .state_where("Receiver/r", |state| state["heard"].as_array().is_some_and(|heard| heard.len() == 2))
        .await;
    letters(&world, 0).await;
    world.stop().await;
}
