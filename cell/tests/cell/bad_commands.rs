//! Requests that are wrong: each is answered with the field that is, and changes nothing.

use corallite_proto::v1;
use hyper::Method;
use serde_json::json;
use tonic::Code;

use super::world::{World, address, details, unary};

/// Sends the same over both wires: the HTTP error's message, which must be the gRPC one's.
async fn both(world: &World, actor: &str, command: &str, payload: &str, status: u16, code: &str) -> String {
    let said = world.post(actor, command, payload).await.refused(status, code);
    let answer = world.actors().await.execute(unary(actor, command, payload)).await;
    let failed = answer.expect_err("the same by gRPC");
    let error = details(&failed);
    assert_eq!((error.code.as_str(), error.message.as_str()), (code, said.as_str()), "{failed:?}");
    assert_eq!((error.outcome(), error.retryable), (v1::Outcome::NotApplied, false), "{failed:?}");
    let expected = match status {
        400 => Code::InvalidArgument,
        404 => Code::NotFound,
        413 => Code::ResourceExhausted,
        other => panic!("{other}"),
    };
    assert!(failed.code() == expected || status == 413, "{failed:?}");
    said
}

/// What nothing changed in: one actor with one event.
async fn world() -> World {
    let world = World::new().await;
    world.apply("Counter/a", "add", r#"{"by":1}"#).await;
    world
}

async fn unchanged(world: World) {
    let (state, seq) = world.state("Counter/a").await;
    assert_eq!((&state["n"], seq), (&json!(1), 1));
    assert_eq!(world.apply("Counter/a", "add", r#"{"by":1}"#).await["reply"], 2, "the actor goes on");
    world.stop().await;
}

#[tokio::test]
async fn a_payload_that_is_not_json() {
    let world = world().await;
    for payload in [
        "{",
        "{\"by\":1",
        "{by:1}",
        "{\"by\":1}}",
        "nul",
        "'x'",
        "{\"by\":1,\"by\":2}",
        "[1,]",
        "\"\\ud800\"",
    ] {
        let said = both(&world, "Counter/a", "add", payload, 400, "MalformedJson").await;
        assert!(said.starts_with("payload: "), "{payload}: {said}");
    }
    let nested = "[".repeat(100) + &"]".repeat(100);
    assert!(both(&world, "Counter/a", "add", &nested, 400, "MalformedJson").await.contains("64"));
    unchanged(world).await;
}

#[tokio::test]
async fn numbers_that_a_script_could_not_hold() {
    let world = world().await;
    for number in ["9007199254740993", "-9007199254740993", "1e400", "123456789012345678901234567890"] {
        let payload = format!(r#"{{"deep":[{{"by":{number}}}]}}"#);
        let said = both(&world, "Counter/a", "add", &payload, 400, "MalformedJson").await;
        assert!(said.contains("deep[0].by"), "{number}: {said}");
    }
    unchanged(world).await;
}

#[tokio::test]
async fn a_payload_that_its_schema_refuses() {
    let world = world().await;
    for (payload, field) in [(r#"{"by":"1"}"#, "/by"), ("{}", "by"), ("null", "null"), ("[]", "[]")] {
        let said = both(&world, "Strict/a", "add", payload, 400, "BadPayload").await;
        assert!(said.contains(field), "{payload}: {said}");
    }
    assert_eq!(world.get("/v1/actors/Strict/a").await.status, 404);
    assert_eq!(world.apply("Strict/a", "add", r#"{"by":2}"#).await["reply"], 2);
    unchanged(world).await;
}

#[tokio::test]
async fn names_that_nothing_has() {
    let world = world().await;
    let said = both(&world, "Nothing/a", "add", "{}", 404, "UnknownType").await;
    assert!(said.contains("Nothing") && said.contains("Counter, Glutton"), "{said}");
    let said = both(&world, "Counter/a", "subtract", "{}", 404, "UnknownCommand").await;
    assert!(said.contains("subtract") && said.contains("add"), "{said}");
    both(&world, "Counter/a", "constructor", "{}", 404, "UnknownCommand").await;
    let said = world.get("/v1/actors/Counter/a/query/nothing").await.refused(404, "UnknownQuery");
    assert!(said.contains("nothing") && said.contains("total"), "{said}");
    let query =
        v1::QueryRequest { actor: address("Counter/a"), query: "toString".into(), ..Default::default() };
    let failed = world.actors().await.query(query).await.expect_err("unknown");
    assert_eq!((failed.code(), details(&failed).code.as_str()), (Code::NotFound, "UnknownQuery"));
    world.get("/v1/actors/Nothing/a").await.refused(404, "UnknownType");
    world.get("/v1/actors/Counter/never/events").await.refused(404, "UnknownActor");
    unchanged(world).await;
}

#[tokio::test]
async fn an_internal_command_from_outside() {
    let world = world().await;
    for name in ["hear", "ring"] {
        let said = both(&world, "Counter/a", name, r#"{"n":1}"#, 404, "UnknownCommand").await;
        assert!(said.contains("is internal to Counter"), "{said}");
    }
    unchanged(world).await;
}

#[tokio::test]
async fn addresses_outside_the_grammar() {
    let world = world().await;
    let long = "x".repeat(257);
    let post = async |path: &str| world.send(Method::POST, path, &[], "{}").await;
    for (path, part) in [
        (format!("/v1/actors/Counter/{long}/add"), "actor id"),
        (format!("/v1/actors/{long}/a/add"), "actor type"),
        (format!("/v1/actors/Counter/a/{long}"), "command name"),
        ("/v1/actors/Counter//add".into(), "actor id is empty"),
        ("/v1/actors//a/add".into(), "actor type is empty"),
        ("/v1/actors/Counter/a/".into(), "command name is empty"),
        ("/v1/actors/Counter/a%20b/add".into(), "actor id"),
        ("/v1/actors/Counter/a%2Fb/add".into(), "'/'"),
        ("/v1/actors/Counter/a%2fadd/add".into(), "'/'"),
        ("/v1/actors/Counter%2Fa/b/add".into(), "actor type"),
        ("/v1/actors/Counter/../add".into(), "dot segment"),
        ("/v1/actors/Counter/%2e%2E/add".into(), "dot segment"),
        ("/v1/actors/Counter/./add".into(), "dot segment"),
        ("/v1/actors/Counter/a/%2e%2e".into(), "dot segment"),
        ("/v1/actors/Counter/a%00/add".into(), "actor id"),
        ("/v1/actors/Counter/%C3%A4/add".into(), "actor id"),
        ("/v1/actors/Counter/%FF/add".into(), "UTF-8"),
        ("/v1/actors/Counter/a%252F/add".into(), "'%'"),
    ] {
        let said = post(&path).await.refused(400, "MalformedName");
        assert!(said.contains(part), "{path}: {said}");
    }
    for (actor, part) in
        [("Counter/", "empty"), ("Counter/a b", "' '"), ("/a", "empty"), ("Counter/a/b", "'/'")]
    {
        let failed = world.actors().await.execute(unary(actor, "add", "{}")).await.expect_err(actor);
        assert_eq!((failed.code(), details(&failed).code.as_str()), (Code::InvalidArgument, "MalformedName"));
        assert!(failed.message().contains(part), "{actor}: {failed:?}");
    }
    // The longest that is allowed is.
    world.apply(&format!("Counter/{}", &long[1..]), "add", r#"{"by":1}"#).await;
    unchanged(world).await;
}

#[tokio::test]
async fn command_ids_outside_the_grammar() {
    let world = world().await;
    for id in [&*"x".repeat(257), "a b", "a/b", ""] {
        let path = "/v1/actors/Counter/a/add";
        let reply = world.send(Method::POST, path, &[("idempotency-key", id)], r#"{"by":1}"#).await;
        let said = reply.refused(400, "MalformedName");
        assert!(said.contains("command id"), "{id}: {said}");
    }
    unchanged(world).await;
}

#[tokio::test]
async fn a_payload_over_the_limit() {
    let world = world().await;
    let large = format!("\"{}\"", "x".repeat((1 << 20) - 1));
    let said = both(&world, "Counter/a", "add", &large, 413, "PayloadTooLarge").await;
    assert!(said.contains("1048576"), "{said}");
    // Far larger than the gateway reads at all.
    let huge = "x".repeat(3 << 20);
    world.post("Counter/a", "add", &huge).await.refused(413, "PayloadTooLarge");
    assert!(world.actors().await.execute(unary("Counter/a", "add", &huge)).await.is_err());
    // One byte less is a payload like any other.
    let most = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let said = world.post("Counter/a", "refuse", &most).await.refused(409, "Refused");
    assert!(!said.is_empty());
    unchanged(world).await;
}

#[tokio::test]
async fn the_same_id_for_something_else() {
    let world = world().await;
    let path = "/v1/actors/Counter/b/add";
    let send =
        async |payload: &str| world.send(Method::POST, path, &[("idempotency-key", "k")], payload).await;
    let first = send(r#"{"by":1}"#).await;
    assert_eq!(send(r#"{"by":1}"#).await.json(), first.json(), "the recorded answer");
    let said = send(r#"{"by":2}"#).await.refused(409, "CommandIdReused");
    assert!(said.contains('k'), "{said}");
    assert_eq!(world.state("Counter/b").await.1, 1);
    unchanged(world).await;
}
