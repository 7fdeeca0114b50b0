//! Messages: in the order told, whatever fails between.

use serde_json::json;

use super::world::{World, config};

#[tokio::test]
async fn a_message_that_fails_holds_back_its_own_pair_only() {
    let mut config = config();
    // Enough tries until it is mended.
    config.deliveries.attempts_max = 1_000_000;
    let world = World::start(config).await;
    let commands = json!([
        { "command": "hear", "payload": { "n": 1 } },
        { "command": "fragile", "payload": { "n": 2 } },
        { "command": "hear", "payload": { "n": 3 } },
        { "command": "fragile", "payload": { "n": 4 } },
    ]);
    let all = json!({ "to": "r", "commands": commands }).to_string();
    world.apply("Sender/held", "tellAll", &all).await;
    let one = json!({ "to": "r", "command": "hear", "payload": { "n": 5 } }).to_string();
    world.apply("Sender/held", "tell", &one).await;
    world.state_where("Receiver/r", |state| state["heard"] == json!([1])).await;
    // Another sender, and another receiver of the same sender, do not wait.
    let other = json!({ "to": "r", "command": "hear", "payload": { "n": 10 } }).to_string();
    world.apply("Sender/free", "tell", &other).await;
    world.state_where("Receiver/r", |state| state["heard"] == json!([1, 10])).await;
    let elsewhere = json!({ "to": "elsewhere", "command": "hear", "payload": { "n": 20 } }).to_string();
    world.apply("Sender/held", "tell", &elsewhere).await;
    world.state_where("Receiver/elsewhere", |state| state["heard"] == json!([20])).await;
    assert_eq!(world.state("Receiver/r").await.0["heard"], json!([1, 10]), "still held back");
    world.apply("Receiver/r", "mend", "null").await;
    world.state_where("Receiver/r", |state| state["heard"] == json!([1, 10, 2, 3, 4, 5])).await;
    world.metric_is("corallite_outbox_pending", 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_dead_message_lets_the_next_of_its_pair_go() {
    let world = World::new().await;
    let commands = json!([
        { "command": "hear", "payload": { "n": 1 } },
        { "command": "broken", "payload": { "n": 2 } },
        { "command": "refuse", "payload": { "n": 3 } },
        { "command": "nowhere", "payload": { "n": 4 } },
        { "command": "hear", "payload": { "n": 5 } },
    ]);
    world.apply("Sender/s", "tellAll", &json!({ "to": "r", "commands": commands }).to_string()).await;
    world.state_where("Receiver/r", |state| state["heard"] == json!([1, 5])).await;
    let letters = world.get("/v1/dead").await.json()["letters"].clone();
    let codes: Vec<_> = letters.as_array().expect("a list").iter().map(|letter| &letter["code"]).collect();
    assert_eq!(codes, ["ScriptThrew", "NoThanks", "UnknownCommand"]);
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_goes_back_to_the_sender() {
    let world = World::new().await;
    let tell = json!({ "to": "r", "command": "refuse", "payload": { "n": 7 }, "onRefused": "heardNo" });
    world.apply("Sender/s", "tell", &tell.to_string()).await;
    let state = world.state_where("Sender/s", |state| state["refused"] != json!([])).await;
    assert_eq!(state["refused"], json!([{ "code": "NoThanks", "n": 7 }]));
    assert_eq!(world.get("/v1/dead").await.json()["letters"], json!([]));
    world.stop().await;
}
