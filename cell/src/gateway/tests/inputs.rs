//! Bad input: each names what is wrong, reaches no cell, and means the same on both wires.

use corallite_proto::v1;
use hyper::Method;
use prost::Message;
use tonic::{Code, Status};

use super::World;
use crate::limits::{EVENTS_PAGE_MAX, PAYLOAD_BYTES_MAX};
use crate::outcome::{Class, Failure};

/// Percent-encodes everything but letters and digits.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn actor(type_name: &str, id: &str) -> Option<v1::ActorRef> {
    Some(v1::ActorRef { r#type: type_name.to_owned(), id: id.to_owned() })
}

fn details(status: &Status) -> v1::Error {
    v1::Error::decode(status.details()).expect("every status has details")
}

/// One command on both wires; the error of both must be the same, and is returned.
async fn refused_alike(
    world: &World,
    type_name: &str,
    id: &str,
    command: &str,
    payload: &str,
) -> (u16, String, String) {
    let path = format!("/v1/actors/{}/{}/{}", encoded(type_name), encoded(id), encoded(command));
    let reply = world.post(&path, payload).await;
    let (code, message, outcome, retryable) = reply.error();
    let request = v1::ExecuteRequest {
        actor: actor(type_name, id),
        command: command.to_owned(),
        payload: payload.to_owned().into(),
        ..Default::default()
    };
    let status = world.actors().await.execute(request).await.expect_err("refused");
    let error = details(&status);
    assert_eq!((&error.code, &error.message, error.retryable), (&code, &message, retryable));
    assert_eq!((outcome.as_str(), error.outcome()), ("notApplied", v1::Outcome::NotApplied));
    assert_eq!(error.command_id.len(), 36, "the made id comes back on errors");
    let expected = if reply.status == 413 { Code::OutOfRange } else { Code::InvalidArgument };
    assert_eq!(status.code(), expected);
    (reply.status.as_u16(), code, message)
}

#[tokio::test]
async fn names_outside_the_grammar_are_refused_by_part() {
    let world = World::new().await;
    let long = "x".repeat(257);
    for (type_name, id, command, part) in [
        ("Order", "a/b", "place", "actor id has the character '/' at byte 1"),
        ("Order", "..", "place", "actor id is the dot segment"),
        ("Order", ".", "place", "actor id is the dot segment"),
        ("Order", "o%1", "place", "actor id has the character '%'"),
        ("Order", "a b", "place", "actor id has the character ' '"),
        ("Order", "ü", "place", "actor id has the character 'ü'"),
        ("Order", "a\0", "place", "actor id has the character '\\0'"),
        ("Order", &long, "place", "actor id has 257 bytes"),
        ("Or/der", "o-1", "place", "actor type has the character '/'"),
        ("..", "o-1", "place", "actor type is the dot segment"),
        (&long, "o-1", "place", "actor type has 257 bytes"),
        ("Order", "o-1", "pl ace", "command name has the character ' '"),
        ("Order", "o-1", &long, "command name has 257 bytes"),
    ] {
        let (status, code, message) = refused_alike(&world, type_name, id, command, "{}").await;
        assert_eq!((status, code.as_str()), (400, "MalformedName"), "{type_name}/{id}/{command}");
        assert!(message.contains(part), "{message}");
    }
    assert!(world.script.commands.lock().is_empty());
}

#[tokio::test]
async fn empty_names_are_refused_on_grpc_as_empty_segments_are() {
    let world = World::new().await;
    for (type_name, id, command, part) in [
        ("", "o-1", "place", "actor type"),
        ("Order", "", "place", "actor id"),
        ("Order", "o-1", "", "command name"),
    ] {
        let request = v1::ExecuteRequest {
            actor: actor(type_name, id),
            command: command.to_owned(),
            ..Default::default()
        };
        let status = world.actors().await.execute(request).await.expect_err("refused");
        let http = world.post(&format!("/v1/actors/{type_name}/{id}/{command}"), "").await;
        for message in [details(&status).message, http.error().1] {
            assert!(message.starts_with(part) && message.contains("empty"), "{message}");
        }
    }
    let status = world.actors().await.get(v1::GetRequest::default()).await.expect_err("no actor");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn malformed_json_names_the_field_and_the_place() {
    let world = World::new().await;
    for payload in ["{", "{\"a\":}", "nul", "[1,]", "{} {}", "'a'"] {
        let (status, code, message) = refused_alike(&world, "Order", "o-1", "place", payload).await;
        assert_eq!((status, code.as_str()), (400, "MalformedJson"), "{payload}");
        assert!(message.starts_with("payload: ") && message.contains("column"), "{payload}: {message}");
    }
    let inexact = "{\"items\":[{\"price\":9007199254740993}]}";
    let (_, _, message) = refused_alike(&world, "Order", "o-1", "place", inexact).await;
    assert!(message.contains("items[0].price"), "{message}");
    let reply = world.get("/v1/actors/Order/o-1/query/summary?args=%7B").await;
    assert!(reply.status == 400 && reply.error().1.starts_with("args: "));
    assert!(world.script.reads.lock().is_empty() && world.script.commands.lock().is_empty());
}

#[tokio::test]
async fn payloads_over_the_limit_are_refused_alike() {
    let world = World::new().await;
    let (status, code, message) =
        refused_alike(&world, "Order", "o-1", "place", &" ".repeat(PAYLOAD_BYTES_MAX + 1)).await;
    assert_eq!((status, code.as_str()), (413, "PayloadTooLarge"));
    assert!(message.contains("1048577 bytes") && message.contains("1048576 bytes"), "{message}");
}

#[tokio::test]
async fn parameters_are_checked_by_name() {
    let world = World::new().await;
    let actor = "/v1/actors/Order/o-1";
    for (path, part) in [
        (format!("{actor}?atseq=1"), "\"atseq\""),
        (format!("{actor}?atSeq=-1"), "atSeq"),
        (format!("{actor}?atSeq=0"), "atSeq"),
        (format!("{actor}?atSeq=1&atSeq=2"), "atSeq is given twice"),
        (format!("{actor}?consistency=weak"), "consistency"),
        (format!("{actor}/events?limit=0"), "limit"),
        (format!("{actor}/events?limit={}", EVENTS_PAGE_MAX + 1), "limit"),
        (format!("{actor}/events?from=first"), "from"),
        (format!("{actor}/query/summary?arg=1"), "\"arg\""),
        ("/v1/dead?limit=99999999999999999999".to_owned(), "limit"),
        ("/v1/dead?after=nonsense".to_owned(), "position token"),
        ("/v1/dead/nonsense".to_owned(), "position token"),
        ("/v1/feed?from=x".to_owned(), "\"from\""),
        ("/?a=b".to_owned(), "\"a\""),
    ] {
        let reply = world.get(&path).await;
        let (_, message, outcome, retryable) = reply.error();
        assert_eq!(
            (reply.status.as_u16(), outcome.as_str(), retryable),
            (400, "notApplied", false),
            "{path}"
        );
        assert!(message.contains(part), "{path}: {message}");
    }
    for (query, part) in [
        ("wait=1s", "wait is given without until"),
        ("until=A&wait=61s", "61000 ms"),
        ("until=A&wait=long", "wait"),
        ("until=A,,B", "until event is empty"),
        ("until=", "until event is empty"),
        ("until=a%2Fb", "until event has the character '/'"),
        ("until=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "until names 17 events"),
    ] {
        let reply = world.post(&format!("{actor}/place?{query}"), "{}").await;
        assert!(reply.status == 400 && reply.error().1.contains(part), "{query}: {reply:?}");
    }
    let asked =
        (world.script.reads.lock().len(), world.script.dead.lock().len(), world.script.commands.lock().len());
    assert_eq!(asked, (0, 0, 0));
}

#[tokio::test]
async fn what_the_shard_does_not_know_is_passed_on_as_the_cell_says() {
    let world = World::new().await;
    let failure = Failure::not_found("UnknownType", "the shard has no actor type Oder; it has Order");
    *world.script.fail.lock() = Some(failure);
    let reply = world.post("/v1/actors/Oder/o-1/place", "{}").await;
    assert_eq!((reply.status.as_u16(), reply.error().0.as_str()), (404, "UnknownType"));
    let request = v1::GetRequest { actor: actor("Oder", "o-1"), ..Default::default() };
    let status = world.actors().await.get(request).await.expect_err("unknown");
    assert_eq!((status.code(), details(&status).code.as_str()), (Code::NotFound, "UnknownType"));
    let script = Failure::not_applied(Class::Script, "ScriptError", "order.js:3: no");
    *world.script.fail.lock() = Some(script);
    assert_eq!(world.get("/v1/actors/Order/o-1/query/summary").await.status, 422);
}

#[tokio::test]
async fn positions_come_back_only_as_they_were_given() {
    let world = World::new().await;
    let mut token = super::script::token(3, 9);
    assert_eq!(world.get(&format!("/v1/dead/{token}")).await.status, 200);
    token.insert(0, 'A');
    let reply = world.send(Method::DELETE, &format!("/v1/dead/{token}"), &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.error().0.as_str()), (400, "MalformedPosition"));
    let request = v1::ReplayDeadLetterRequest { position: token };
    let status = world.actors().await.replay_dead_letter(request).await.expect_err("refused");
    assert_eq!(details(&status).code, "MalformedPosition");
}
