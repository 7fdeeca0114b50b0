//! Behaviors that misbehave: the command is answered with file and line, nothing is left of it, and
//! everything else goes on, in the same burst too.

use corallite_proto::v1;
use serde_json::json;
use tonic::Code;

use super::world::{World, applied, command, details, error, unary};

/// A misdeed, its code, and what its message must say.
const MISDEEDS: [(&str, &str, &str, &str); 18] = [
    ("Glutton", "throws", "ScriptThrew", "rascal.js:22: boom"),
    ("Glutton", "throwsText", "ScriptThrew", "text"),
    ("Rascal", "loops", "ScriptTimeLimit", "500 ms"),
    ("Glutton", "allocates", "ScriptMemoryLimit", "memory"),
    ("Glutton", "recurses", "ScriptStackLimit", "recursed"),
    ("Glutton", "bigInt", "ScriptBadValue", "deep[0] is a BigInt"),
    ("Glutton", "cycle", "ScriptBadValue", "contains itself"),
    ("Glutton", "function", "ScriptBadValue", "is a function"),
    ("Glutton", "notANumber", "ScriptBadValue", "n is NaN"),
    ("Glutton", "promise", "ScriptBadValue", "Promise"),
    ("Glutton", "undeclared", "ScriptUndeclaredEvent", "Nowhere"),
    ("Glutton", "vanishes", "ScriptBadState", "events.Vanished gave undefined"),
    ("Glutton", "changes", "ScriptThrew", "read-only"),
    ("Glutton", "grows", "ScriptBadState", "stateBytes"),
    ("Glutton", "misdirects", "ScriptBadValue", "Nobody"),
    ("Glutton", "misdirectsId", "ScriptBadValue", "' '"),
    ("Glutton", "tooMany", "ScriptBadValue", "1000"),
    ("Glutton", "tooManyTimers", "TooManyTimers", "64"),
];

#[tokio::test]
async fn a_misdeed_is_answered_and_leaves_nothing() {
    let world = World::new().await;
    let mut actors = world.actors().await;
    for (type_name, misdeed, code, message) in MISDEEDS {
        let actor = format!("{type_name}/{misdeed}");
        world.apply(&actor, "add", "null").await;
        let said = world.post(&actor, misdeed, "null").await.refused(422, code);
        assert!(said.contains(message), "{misdeed}: {said}");
        assert_eq!(world.state(&actor).await, (json!({ "n": 1 }), 1), "{misdeed}");
        let status = actors.execute(unary(&actor, misdeed, "null")).await.expect_err(misdeed);
        let error = details(&status);
        assert_eq!((error.code.as_str(), error.outcome()), (code, v1::Outcome::NotApplied), "{misdeed}");
        assert_eq!(status.code(), Code::FailedPrecondition, "{misdeed}");
        assert_eq!(world.apply(&actor, "add", "null").await["reply"], 2, "{misdeed}: the actor goes on");
        let page = world.get(&format!("/v1/actors/{actor}/events")).await.json();
        let names: Vec<_> = page["events"].as_array().expect("a list").iter().map(|e| &e["name"]).collect();
        assert_eq!(names, ["Added", "Added"], "{misdeed}");
    }
    // No message of a misdeed was sent: its victim never came to be. No timer was set either.
    assert_eq!(world.get("/v1/actors/Counter/victim").await.status, 404);
    world.metric_is("corallite_timers_pending", 0.0).await;
    world.metric_is("corallite_outbox_pending", 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn others_in_the_same_burst_are_applied() {
    let world = World::new().await;
    for (type_name, misdeed, code, _) in MISDEEDS {
        let rascal = format!("{type_name}/{misdeed}");
        let mut commands = Vec::new();
        for n in 0..5 {
            commands.push(command(&format!("Counter/{misdeed}-{n}"), "add", r#"{"by":7}"#));
            commands.push(command(&rascal, if n == 2 { misdeed } else { "add" }, "null"));
        }
        let answers = world.burst(commands).await;
        for (n, answer) in answers.iter().enumerate() {
            match n {
                5 => assert_eq!(error(answer).code, code, "{misdeed}"),
                n if n % 2 == 0 => assert_eq!(&applied(answer).reply[..], b"7", "{misdeed}"),
                // Before and after the misdeed, in order, as if it had not been.
                n => {
                    let nth = if n > 5 { n / 2 } else { n / 2 + 1 };
                    assert_eq!(&applied(answer).reply[..], nth.to_string().as_bytes(), "{misdeed}");
                }
            }
        }
        assert_eq!(world.state(&rascal).await, (json!({ "n": 4 }), 4), "{misdeed}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_leaves_nothing() {
    let world = World::new().await;
    let said = world.post("Glutton/no", "rejects", "null").await.refused(409, "Never");
    assert_eq!(said, "not with me");
    assert_eq!(world.get("/v1/actors/Glutton/no").await.status, 404, "it never came to be");
    assert_eq!(world.apply("Glutton/no", "add", "null").await["reply"], 1);
    world.stop().await;
}

#[tokio::test]
async fn a_query_that_throws_is_answered() {
    let world = World::new().await;
    world.apply("Counter/a", "add", r#"{"by":3}"#).await;
    let said = world.get("/v1/actors/Counter/a/query/broken").await.refused(422, "ScriptThrew");
    assert!(said.starts_with("counter.js:") && said.contains("no answer"), "{said}");
    assert_eq!(world.get("/v1/actors/Counter/a/query/total").await.json()["result"], 3);
    world.stop().await;
}
