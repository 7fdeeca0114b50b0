//! Commands over HTTP: what the cell gets, what the caller gets, keys, deadlines and failures.

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::World;
use super::script::{NOW_MS, token};
use crate::limits::{DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX, PAYLOAD_BYTES_MAX};
use crate::outcome::{Class, Failure};

const PLACE: &str = "/v1/actors/Order/o-1/place";

#[tokio::test]
async fn a_command_is_handed_in_as_written_and_its_reply_spliced_in() {
    let world = World::new().await;
    let payload = "{\"z\": 1.50,\n \"a\":\"ü\"}";
    let reply = world.send(Method::POST, PLACE, &[("idempotency-key", "k-1")], payload).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, Some("application/json")));
    let expected = format!(
        "{{\"reply\":{payload},\"seq\":7,\"position\":\"{}\",\"events\":[\"OrderPlaced\",\"Said\\\"Hi\\\"\"]}}",
        token(3, 9)
    );
    assert_eq!(reply.body, expected);
    let commands = world.script.commands.lock();
    let command = &commands[0];
    assert_eq!(
        (command.actor.to_string().as_str(), &*command.name, &*command.id),
        ("Order/o-1", "place", "k-1")
    );
    assert_eq!(command.payload, payload.as_bytes());
    assert_eq!(command.deadline_ms, NOW_MS + DEADLINE_MS_DEFAULT);
    assert!(command.until.is_none() && command.claims.is_none());
}

#[tokio::test]
async fn an_empty_body_stands_for_null() {
    let world = World::new().await;
    assert_eq!(world.post(PLACE, "").await.json()["reply"], json!(null));
    assert_eq!(&world.script.commands.lock()[0].payload[..], b"null");
}

#[tokio::test]
async fn a_wait_names_its_events() {
    let world = World::new().await;
    let reply = world.post(&format!("{PLACE}?until=OrderPaid,OrderExpired&wait=250ms"), "{}").await;
    assert_eq!(reply.json()["event"]["name"], json!("OrderPaid"));
    world.post(&format!("{PLACE}?until=OrderPaid"), "{}").await;
    let commands = world.script.commands.lock();
    let until = |index: usize| commands[index].until.clone().expect("a wait");
    assert_eq!((until(0).events, until(0).wait_ms), (vec!["OrderPaid".into(), "OrderExpired".into()], 250));
    assert_eq!(until(1).wait_ms, 10_000);
}

#[tokio::test]
async fn a_key_is_made_if_there_is_none_and_comes_back() {
    let world = World::new().await;
    let reply = world.post(PLACE, "{}").await;
    let made = reply.header("idempotency-key").expect("a key").to_owned();
    let parsed = uuid::Uuid::parse_str(&made).expect("a uuid");
    assert_eq!(parsed.get_version_num(), 7);
    assert_eq!(*world.script.commands.lock()[0].id, *made);
    let second = world.post(PLACE, "{}").await;
    assert_ne!(second.header("idempotency-key"), Some(made.as_str()));
}

#[tokio::test]
async fn a_key_comes_back_on_every_error_of_a_command() {
    let world = World::new().await;
    let key = [("idempotency-key", "k-1")];
    for (path, body, status) in [
        (PLACE, "{", 400),
        ("/v1/actors/Order/a%2Fb/place", "{}", 400),
        ("/v1/actors/Order/o-1/place?nonsense=1", "{}", 400),
        ("/v1/actors/Order/o-1/query/summary", "{}", 405),
        ("/v1/actors/Order/o-1/place/twice", "{}", 404),
    ] {
        let reply = world.send(Method::POST, path, &key, body).await;
        assert_eq!((reply.status.as_u16(), reply.header("idempotency-key")), (status, Some("k-1")), "{path}");
    }
    *world.script.fail.lock() = Some(Failure::refused("AlreadyPlaced", "this order was placed before"));
    let reply = world.send(Method::POST, PLACE, &key, "{}").await;
    assert_eq!((reply.status.as_u16(), reply.header("idempotency-key")), (409, Some("k-1")));
    let made = world.post(PLACE, "{}").await;
    assert!(made.header("idempotency-key").is_some_and(|key| key.len() == 36));
}

#[tokio::test]
async fn a_malformed_key_is_refused() {
    let world = World::new().await;
    let long = "k".repeat(257);
    for (key, part) in
        [("", "empty"), ("\"k\"", "character"), ("a b", "character"), (&long, "257 bytes"), ("..", "dot")]
    {
        let reply = world.send(Method::POST, PLACE, &[("idempotency-key", key)], "{}").await;
        let (_, message, outcome, _) = reply.error();
        assert_eq!((reply.status.as_u16(), outcome.as_str()), (400, "notApplied"), "{key:?}");
        assert!(message.contains("command id") && message.contains(part), "{key:?}: {message}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert!(world.send(Method::POST, PLACE, &twice, "{}").await.error().1.contains("idempotency-key"));
    assert!(world.script.commands.lock().is_empty());
}

#[tokio::test]
async fn a_deadline_is_taken_within_its_limit() {
    let world = World::new().await;
    for (text, left_ms) in [("250ms", 250), ("2s", 2_000), ("3", 3_000), ("24000m", DEADLINE_MS_MAX)] {
        world.send(Method::POST, PLACE, &[("request-timeout", text)], "{}").await;
        let deadline_ms = world.script.commands.lock().last().expect("a command").deadline_ms;
        assert_eq!(deadline_ms, NOW_MS + left_ms, "{text}");
    }
    let reply = world.send(Method::POST, PLACE, &[("request-timeout", "soon")], "{}").await;
    assert!(reply.status == 400 && reply.error().1.contains("Request-Timeout"));
}

#[tokio::test]
async fn each_failure_has_its_status_outcome_and_retry_hint() {
    let world = World::new().await;
    let cases = [
        (Failure::refused("AlreadyPlaced", "no"), 409, "refused", None),
        (Failure::overloaded("the mailbox is full"), 429, "notApplied", Some("1")),
        (Failure::retryable(Class::Unavailable, "Moved", "elsewhere", 2_001), 503, "notApplied", Some("3")),
        (Failure::unknown(Class::Deadline, "DeadlinePassed", "late"), 504, "unknown", Some("1")),
        (Failure::not_found("UnknownCommand", "Order has no command plaice"), 404, "notApplied", None),
        (Failure::not_applied(Class::Script, "ScriptError", "order.js:3: no"), 422, "notApplied", None),
        (Failure::not_applied(Class::Trimmed, "Trimmed", "later"), 410, "notApplied", None),
        (Failure::not_applied(Class::Forbidden, "Forbidden", "no"), 403, "notApplied", None),
        (Failure::not_applied(Class::Internal, "Internal", "a defect"), 500, "notApplied", None),
    ];
    for (failure, status, outcome, retry_after) in cases {
        *world.script.fail.lock() = Some(failure.clone());
        for reply in [world.post(PLACE, "{}").await, world.get("/v1/actors/Order/o-1").await] {
            let expected =
                (failure.code.clone(), failure.message.clone(), outcome.to_owned(), retry_after.is_some());
            assert_eq!(reply.error(), expected);
            assert_eq!(
                (reply.status.as_u16(), reply.header("retry-after")),
                (status, retry_after),
                "{failure:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_largest_payload_passes_and_one_byte_more_does_not() {
    let world = World::new().await;
    let largest = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX - 2));
    assert_eq!(world.post(PLACE, &largest).await.status, 200);
    let reply = world.post(PLACE, &format!("{largest} ")).await;
    let (code, message, outcome, retryable) = reply.error();
    assert_eq!(
        (reply.status.as_u16(), code.as_str(), outcome.as_str()),
        (413, "PayloadTooLarge", "notApplied")
    );
    assert!(message.contains(&PAYLOAD_BYTES_MAX.to_string()) && !retryable);
    assert!(reply.header("idempotency-key").is_some());
    assert_eq!(world.script.commands.lock().len(), 1);
}

/// Sends `head` and `body` on a connection of its own and reads until `end` has come.
async fn raw(world: &World, head: &str, body: &[u8], end: &str) -> String {
    let mut stream = TcpStream::connect(world.http.trim_start_matches("http://")).await.expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body).await.expect("sent");
    let mut answer = String::new();
    while !answer.contains(end) {
        let mut piece = [0; 4_096];
        let bytes = stream.read(&mut piece).await.expect("an answer");
        assert_ne!(bytes, 0, "the connection ended early: {answer}");
        answer.push_str(&String::from_utf8_lossy(&piece[..bytes]));
    }
    answer
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let world = World::new().await;
    let head = format!("POST {PLACE} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n");
    let answer = raw(&world, &head, b"", "}}").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("999999999 bytes"), "{answer}");
}

#[tokio::test]
async fn a_body_of_unsaid_size_is_read_up_to_the_limit() {
    let world = World::new().await;
    let head = format!("POST {PLACE} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut endless = Vec::new();
    for _ in 0..=PAYLOAD_BYTES_MAX >> 16 {
        endless.extend_from_slice(b"10000\r\n");
        endless.extend_from_slice(&[b'1'; 1 << 16]);
        endless.extend_from_slice(b"\r\n");
    }
    let answer = raw(&world, &head, &endless, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("PayloadTooLarge"), "{answer}");
    assert!(world.script.commands.lock().is_empty());
}

#[tokio::test]
async fn a_chunked_body_is_put_together() {
    let world = World::new().await;
    let head = format!("POST {PLACE} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    raw(&world, &head, b"3\r\n{\"a\r\n4\r\n\":{}\r\n1\r\n}\r\n0\r\n\r\n", "]}").await;
    assert_eq!(&world.script.commands.lock()[0].payload[..], b"{\"a\":{}}");
}

#[tokio::test]
async fn a_connection_serves_on_after_errors_and_takes_pipelined_requests() {
    let world = World::new().await;
    let request = |body: &str| {
        format!("POST {PLACE} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let requests = request("{") + &request("{}") + &request("{\"last\":{}}");
    let answer = raw(&world, &requests, b"", "{\"reply\":{\"last\":{}}").await;
    let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["400", "200", "200"]);
    assert_eq!(world.script.commands.lock().len(), 2);
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_name() {
    let world = World::new().await;
    let reply = world.send(Method::POST, PLACE, &[("content-encoding", "gzip")], "{}").await;
    assert!(reply.status == 400 && reply.error().1.contains("Content-Encoding"));
}
