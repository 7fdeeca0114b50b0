//! Between the cell's own words and the wires': the only file that looks into `corallite.v1`
//! messages, gRPC codes and HTTP status codes.
//!
//! Guarantees: the tables below have a row for every class and outcome, checked by the compiler; a
//! gRPC status and an HTTP error of one failure say the same. Nothing is validated here: that is
//! [`super::intake`]'s, on the other side.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corallite_proto::v1;
use hyper::StatusCode;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::intake::{CommandInput, EventsInput, ReadInput, ReadInputWhat, parameter};
use super::{DeadPage, position};
use crate::ids::ActorRef;
use crate::limits::STATUS_MESSAGE_BYTES_MAX;
use crate::outcome::{Class, Failure, Outcome};
use crate::request::{Applied, Consistency, DeadLetter, Event, EventsPage, ReadAnswer};

/// The HTTP status of a class.
pub(super) fn http_status(class: Class) -> StatusCode {
    match class {
        Class::Malformed => StatusCode::BAD_REQUEST,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Refused => StatusCode::CONFLICT,
        Class::Trimmed => StatusCode::GONE,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::Script => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        Class::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Deadline => StatusCode::GATEWAY_TIMEOUT,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The gRPC code of a class. Clients' libraries retry `UNAVAILABLE` and `RESOURCE_EXHAUSTED` by
/// themselves, so only what may succeed later has those.
pub(super) fn grpc_code(class: Class) -> Code {
    match class {
        Class::Malformed => Code::InvalidArgument,
        Class::Unauthenticated => Code::Unauthenticated,
        Class::Forbidden => Code::PermissionDenied,
        Class::NotFound => Code::NotFound,
        Class::Refused | Class::Script => Code::FailedPrecondition,
        Class::Trimmed | Class::TooLarge => Code::OutOfRange,
        Class::Overloaded => Code::ResourceExhausted,
        Class::Unimplemented => Code::Unimplemented,
        Class::Unavailable => Code::Unavailable,
        Class::Deadline => Code::DeadlineExceeded,
        Class::Internal => Code::Internal,
    }
}

fn outcome(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Refused => v1::Outcome::Refused,
        Outcome::NotApplied => v1::Outcome::NotApplied,
        Outcome::Unknown => v1::Outcome::Unknown,
    }
}

fn error(failure: Failure, command_id: &str) -> v1::Error {
    v1::Error {
        code: failure.code,
        message: failure.message,
        outcome: outcome(failure.outcome).into(),
        retryable: failure.retry_after_ms.is_some(),
        retry_after_ms: failure.retry_after_ms.unwrap_or(0),
        command_id: command_id.to_owned(),
    }
}

/// A failed unary call: the details are a `corallite.v1.Error`, the text says the same to people.
pub(super) fn status(mut failure: Failure, command_id: &str) -> Status {
    cut(&mut failure.message, STATUS_MESSAGE_BYTES_MAX);
    cut(&mut failure.code, STATUS_MESSAGE_BYTES_MAX);
    let retry = match failure.retry_after_ms {
        Some(delay) => format!("retry after {delay} ms"),
        None => "retrying cannot help".to_owned(),
    };
    let id = if command_id.is_empty() { String::new() } else { format!(", command id {command_id}") };
    let text = format!("{failure} (outcome {}, {retry}{id})", failure.outcome.as_str());
    let code = grpc_code(failure.class);
    Status::with_details(code, text, Bytes::from(error(failure, command_id).encode_to_vec()))
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

/// The deadline a gRPC caller set, relative to now.
pub(super) fn grpc_timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = metadata.get("grpc-timeout") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = digits.parse().ok().filter(|_| well_formed)?;
        match unit {
            "H" => Some(Duration::from_secs(count * 3_600)),
            "M" => Some(Duration::from_secs(count * 60)),
            "S" => Some(Duration::from_secs(count)),
            "m" => Some(Duration::from_millis(count)),
            "u" => Some(Duration::from_micros(count)),
            "n" => Some(Duration::from_nanos(count)),
            _ => None,
        }
    });
    let explain = || parameter("grpc-timeout is not 1 to 8 digits and one of H M S m u n");
    parsed.map(Some).ok_or_else(explain)
}

fn address(actor: Option<&v1::ActorRef>) -> (&str, &str) {
    actor.map_or(("", ""), |actor| (&actor.r#type, &actor.id))
}

/// Text that is empty when it was not given.
pub(super) fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A number that is 0 when it was not given.
fn given_number(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != 0)
}

/// A number of milliseconds that is 0 when it was not given.
pub(super) fn given_ms(number: u64) -> Option<Duration> {
    given_number(number).map(Duration::from_millis)
}

pub(super) fn command(request: &v1::ExecuteRequest, timeout: Option<Duration>) -> CommandInput<'_> {
    let (type_name, id) = address(request.actor.as_ref());
    CommandInput {
        type_name,
        id,
        name: &request.command,
        payload: request.payload.clone(),
        until: request.until.iter().map(String::as_str).collect(),
        wait: given_ms(request.wait_ms),
        timeout,
    }
}

pub(super) fn get(request: &v1::GetRequest, timeout: Option<Duration>) -> ReadInput<'_> {
    let (type_name, id) = address(request.actor.as_ref());
    let what = ReadInputWhat::State { at_seq: given_number(request.at_seq) };
    ReadInput { type_name, id, what, consistency: consistency(request.stale), timeout }
}

pub(super) fn query(request: &v1::QueryRequest, timeout: Option<Duration>) -> ReadInput<'_> {
    let (type_name, id) = address(request.actor.as_ref());
    let what = ReadInputWhat::Query { name: &request.query, args: request.args.clone() };
    ReadInput { type_name, id, what, consistency: consistency(request.stale), timeout }
}

pub(super) fn events(request: &v1::EventsRequest, timeout: Option<Duration>) -> EventsInput<'_> {
    let (type_name, id) = address(request.actor.as_ref());
    let (from, limit) = (given_number(request.from), given_number(request.limit.into()));
    EventsInput { type_name, id, from, limit, timeout }
}

pub(super) fn dead_page(request: &v1::ListDeadLettersRequest) -> (Option<&str>, Option<u64>) {
    (given(&request.after), given_number(request.limit.into()))
}

fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Strong }
}

pub(super) fn applied(applied: Applied, command_id: &str) -> v1::ExecuteResponse {
    v1::ExecuteResponse {
        reply: applied.reply,
        seq: applied.seq.0,
        position: position::encode(applied.position),
        events: applied.events.iter().map(|name| name.as_ref().to_owned()).collect(),
        event: applied.event.map(event),
        command_id: command_id.to_owned(),
    }
}

/// The answer to one streamed command.
pub(super) fn streamed(
    tag: u64,
    command_id: &str,
    answer: Result<Applied, Failure>,
) -> v1::ExecuteStreamResponse {
    use v1::execute_stream_response::Answer;
    let answer = match answer {
        Ok(done) => Answer::Applied(applied(done, command_id)),
        Err(failure) => Answer::Error(error(failure, command_id)),
    };
    v1::ExecuteStreamResponse { tag, answer: Some(answer) }
}

pub(super) fn state(answer: ReadAnswer) -> v1::GetResponse {
    let position = position::encode(answer.position);
    v1::GetResponse { state: answer.value, seq: answer.seq.0, position }
}

pub(super) fn query_result(answer: ReadAnswer) -> v1::QueryResponse {
    let position = position::encode(answer.position);
    v1::QueryResponse { result: answer.value, seq: answer.seq.0, position }
}

pub(super) fn history(page: EventsPage) -> v1::EventsResponse {
    v1::EventsResponse {
        events: page.events.into_iter().map(event).collect(),
        next: page.next.map_or(0, |seq| seq.0),
    }
}

fn event(event: Event) -> v1::Event {
    v1::Event {
        seq: event.seq.0,
        name: event.name.as_ref().to_owned(),
        payload: event.payload,
        time_ms: event.time_ms,
        position: position::encode(event.position),
    }
}

pub(super) fn dead_letters(page: DeadPage) -> v1::ListDeadLettersResponse {
    v1::ListDeadLettersResponse { letters: page.letters.into_iter().map(dead_letter).collect() }
}

pub(super) fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        position: position::encode(letter.position),
        target: Some(actor(&letter.target)),
        source: letter.source.as_ref().map(actor),
        command: letter.command.as_ref().to_owned(),
        payload: letter.payload,
        code: letter.code,
        message: letter.message,
        time_ms: letter.time_ms,
    }
}

fn actor(actor: &ActorRef) -> v1::ActorRef {
    let text = |part: &Arc<str>| part.as_ref().to_owned();
    v1::ActorRef { r#type: text(&actor.type_name), id: text(&actor.id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class, with the status and code that clients were promised.
    const CLASSES: [(Class, u16, Code); 13] = [
        (Class::Malformed, 400, Code::InvalidArgument),
        (Class::Unauthenticated, 401, Code::Unauthenticated),
        (Class::Forbidden, 403, Code::PermissionDenied),
        (Class::NotFound, 404, Code::NotFound),
        (Class::Refused, 409, Code::FailedPrecondition),
        (Class::Trimmed, 410, Code::OutOfRange),
        (Class::TooLarge, 413, Code::OutOfRange),
        (Class::Script, 422, Code::FailedPrecondition),
        (Class::Overloaded, 429, Code::ResourceExhausted),
        (Class::Unimplemented, 501, Code::Unimplemented),
        (Class::Unavailable, 503, Code::Unavailable),
        (Class::Deadline, 504, Code::DeadlineExceeded),
        (Class::Internal, 500, Code::Internal),
    ];

    #[test]
    fn each_class_has_the_status_and_code_that_were_promised() {
        let mut seen = std::collections::HashSet::new();
        for (class, http, grpc) in CLASSES {
            assert_eq!((http_status(class).as_u16(), grpc_code(class)), (http, grpc), "{class:?}");
            assert!(seen.insert(class), "{class:?} is listed twice");
        }
    }

    #[test]
    fn a_status_carries_the_whole_error() {
        let status = status(Failure::overloaded("the mailbox is full"), "c-1");
        let error = v1::Error::decode(status.details()).expect("details");
        assert_eq!((error.code.as_str(), error.message.as_str()), ("Overloaded", "the mailbox is full"));
        assert_eq!((error.outcome(), error.retryable), (v1::Outcome::NotApplied, true));
        assert_eq!((error.retry_after_ms, error.command_id.as_str()), (100, "c-1"));
        for part in ["Overloaded", "the mailbox is full", "notApplied", "100 ms", "c-1"] {
            assert!(status.message().contains(part), "{part}: {}", status.message());
        }
    }

    #[test]
    fn a_status_fits_a_header_whatever_a_behavior_says() {
        let status = status(Failure::refused(&"ü".repeat(5_000), "ß".repeat(50_000)), "c-1");
        assert!(status.message().len() < 3 * STATUS_MESSAGE_BYTES_MAX);
        assert!(status.details().len() < 3 * STATUS_MESSAGE_BYTES_MAX);
    }

    #[test]
    fn grpc_deadlines_are_read_as_written() {
        let timeout = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().expect("a header"));
            grpc_timeout(&metadata)
        };
        assert_eq!(timeout("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(timeout("2H"), Ok(Some(Duration::from_secs(7_200))));
        assert_eq!(timeout("99999999H").map(|t| t.is_some()), Ok(true));
        assert_eq!(grpc_timeout(&MetadataMap::new()), Ok(None));
        for bad in ["", "5", "S", "+1S", "1s", "123456789S"] {
            assert!(timeout(bad).is_err(), "{bad:?}");
        }
    }
}
