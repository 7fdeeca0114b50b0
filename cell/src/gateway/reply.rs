//! Writes HTTP answers. JSON of behaviors is spliced in as it is: it was checked when it was made.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::reply::Response;

use super::{DeadPage, convert, position};
use crate::outcome::{Class, Failure};
use crate::request::{Applied, DeadLetter, Event, EventsPage, ReadAnswer};

/// The idempotency key of a command, in requests and answers.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Builds one JSON object; keys are literals and need no escaping.
struct Object {
    text: Vec<u8>,
}

impl Object {
    fn open(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity);
        text.push(b'{');
        Self { text }
    }

    fn key(&mut self, key: &str) -> &mut Self {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
        self
    }

    fn json(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.key(key).text.extend_from_slice(value);
        self
    }

    fn number(&mut self, key: &str, number: u64) -> &mut Self {
        self.json(key, number.to_string().as_bytes())
    }

    fn string(&mut self, key: &str, value: &str) -> &mut Self {
        write_string(&mut self.key(key).text, value);
        self
    }

    fn list<T>(&mut self, key: &str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) -> &mut Self {
        self.key(key).text.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            write(&mut self.text, item);
        }
        self.text.push(b']');
        self
    }

    fn close(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }
}

fn write_string(text: &mut Vec<u8>, value: &str) {
    // A string always is JSON, and a Vec takes all that is written.
    if serde_json::to_writer(&mut *text, value).is_err() {
        text.extend_from_slice(b"null");
    }
}

/// 200 with a JSON body.
fn ok(body: Vec<u8>) -> Response {
    with_body(StatusCode::OK, JSON, body)
}

fn with_body(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// 200 with text for people.
pub(super) fn text(status: StatusCode, body: String) -> Response {
    with_body(status, HeaderValue::from_static("text/plain; charset=utf-8"), body)
}

/// 200 with text of another type.
pub(super) fn typed(content_type: &'static str, body: String) -> Response {
    with_body(StatusCode::OK, HeaderValue::from_static(content_type), body)
}

/// 204.
pub(super) fn nothing() -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// `{"reply", "seq", "position", "events"}`, and `"event"` if one was waited for.
pub(super) fn applied(applied: &Applied, waited: bool) -> Response {
    let mut object = Object::open(applied.reply.len() + 128);
    object.json("reply", &applied.reply).number("seq", applied.seq.0);
    object.string("position", &position::encode(applied.position));
    object.list("events", &applied.events, |text, name| write_string(text, name));
    if waited {
        let event = applied.event.as_ref().map_or_else(|| b"null".to_vec(), event);
        object.json("event", &event);
    }
    ok(object.close())
}

/// `{"state", "seq", "position"}`, or with another word for what was read.
pub(super) fn read(word: &str, answer: &ReadAnswer) -> Response {
    let mut object = Object::open(answer.value.len() + 96);
    object.json(word, &answer.value).number("seq", answer.seq.0);
    object.string("position", &position::encode(answer.position));
    ok(object.close())
}

/// `{"events", "next"}`.
pub(super) fn history(page: &EventsPage) -> Response {
    let bytes: usize = page.events.iter().map(|event| event.payload.len() + 128).sum();
    let mut object = Object::open(bytes + 32);
    object.list("events", &page.events, |text, item| text.extend_from_slice(&event(item)));
    match page.next {
        Some(seq) => object.number("next", seq.0),
        None => object.json("next", b"null"),
    };
    ok(object.close())
}

fn event(event: &Event) -> Vec<u8> {
    let mut object = Object::open(event.payload.len() + 128);
    object.number("seq", event.seq.0).string("name", &event.name).json("payload", &event.payload);
    object.number("timeMs", event.time_ms).string("position", &position::encode(event.position));
    object.close()
}

/// `{"letters", "next"}`.
pub(super) fn dead_letters(page: &DeadPage) -> Response {
    let mut object = Object::open(256 * (page.letters.len() + 1));
    object.list("letters", &page.letters, |text, letter| text.extend_from_slice(&letter_object(letter)));
    match page.next {
        Some(next) => object.string("next", &position::encode(next)),
        None => object.json("next", b"null"),
    };
    ok(object.close())
}

/// One dead letter, whole.
pub(super) fn dead_letter(letter: &DeadLetter) -> Response {
    ok(letter_object(letter))
}

fn letter_object(letter: &DeadLetter) -> Vec<u8> {
    let mut object = Object::open(letter.payload.len() + 256);
    object.string("position", &position::encode(letter.position));
    object.string("target", &letter.target.to_string());
    match &letter.source {
        Some(source) => object.string("source", &source.to_string()),
        None => object.json("source", b"null"),
    };
    object.string("command", &letter.command).json("payload", &letter.payload);
    object.string("code", &letter.code).string("message", &letter.message);
    object.number("timeMs", letter.time_ms);
    object.close()
}

/// `{"error":{"code","message","outcome","retryable"}}` with the status of its class.
pub(super) fn failure(failure: &Failure) -> Response {
    let mut response = error(convert::http_status(failure.class), failure);
    if let Some(delay_ms) = failure.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, delay_ms.div_ceil(1_000).into());
    }
    if failure.class == Class::Unauthenticated {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// 405 in the shape of every error; `allow` are the methods there are.
pub(super) fn wrong_method(allow: &'static str) -> Response {
    let message = format!("this path has no such method; it has {allow}");
    let refused = Failure::malformed("MethodNotAllowed", message);
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &refused);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn error(status: StatusCode, failure: &Failure) -> Response {
    let mut inner = Object::open(failure.message.len() + 128);
    inner.string("code", &failure.code).string("message", &failure.message);
    inner.string("outcome", failure.outcome.as_str());
    inner.json("retryable", if failure.retry_after_ms.is_some() { b"true" } else { b"false" });
    let mut outer = Object::open(inner.text.len() + 16);
    outer.json("error", &inner.close());
    with_body(status, JSON, outer.close())
}
