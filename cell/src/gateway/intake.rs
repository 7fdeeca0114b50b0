//! From what a caller wrote to a checked request: the same for both wires.
//!
//! Guarantees: what leaves here keeps every rule of [`crate::request`]: names in the id grammar,
//! payloads within [`PAYLOAD_BYTES_MAX`] and valid JSON, deadlines within [`DEADLINE_MS_MAX`].
//! Nothing is normalized. Each error names the part of the request it is about. `.` and `..` are no
//! names, although the grammar has dots: no URL could carry them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::position;
use crate::ids::{ActorRef, Position, Seq, check_id};
use crate::json;
use crate::limits::{
    DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX, EVENTS_PAGE_MAX, PAGE_DEFAULT, PAYLOAD_BYTES_MAX, UNTIL_EVENTS_MAX,
    UNTIL_WAIT_MS_MAX,
};
use crate::outcome::{Class, Failure};
use crate::request::{Command, Consistency, EventsRead, Read, ReadWhat, Until};

/// A command as a wire brought it.
pub(super) struct CommandInput<'a> {
    pub type_name: &'a str,
    pub id: &'a str,
    pub name: &'a str,
    /// Empty stands for `null`.
    pub payload: Bytes,
    /// Names of events to wait for; none: no wait.
    pub until: Vec<&'a str>,
    pub wait: Option<Duration>,
    pub timeout: Option<Duration>,
}

/// A read of a state or query as a wire brought it.
pub(super) struct ReadInput<'a> {
    pub type_name: &'a str,
    pub id: &'a str,
    pub what: ReadInputWhat<'a>,
    pub consistency: Consistency,
    pub timeout: Option<Duration>,
}

/// What is read of an actor.
pub(super) enum ReadInputWhat<'a> {
    /// The state, now or at a sequence number.
    State { at_seq: Option<u64> },
    /// A named query; empty arguments stand for `null`.
    Query { name: &'a str, args: Bytes },
}

/// A read of history as a wire brought it.
pub(super) struct EventsInput<'a> {
    pub type_name: &'a str,
    pub id: &'a str,
    pub from: Option<u64>,
    pub limit: Option<u64>,
    pub timeout: Option<Duration>,
}

impl CommandInput<'_> {
    pub fn check(self, id: Arc<str>, now_ms: u64, names: &mut Names) -> Result<Command, Failure> {
        let actor = names.actor(self.type_name, self.id)?;
        let name = names.shared("command name", self.name)?;
        let until = until(&self.until, self.wait, names)?;
        let payload = json_value("payload", self.payload)?;
        let deadline_ms = deadline_ms(now_ms, self.timeout);
        Ok(Command { actor, name, payload, id, deadline_ms, claims: None, until })
    }
}

impl ReadInput<'_> {
    pub fn check(self, now_ms: u64) -> Result<Read, Failure> {
        let mut names = Names::default();
        let actor = names.actor(self.type_name, self.id)?;
        let what = match self.what {
            ReadInputWhat::State { at_seq: None } => ReadWhat::State,
            ReadInputWhat::State { at_seq: Some(seq) } => ReadWhat::StateAt(from_one("atSeq", seq)?),
            ReadInputWhat::Query { name, args } => {
                ReadWhat::Query { name: names.shared("query name", name)?, args: json_value("args", args)? }
            }
        };
        let deadline_ms = deadline_ms(now_ms, self.timeout);
        Ok(Read { actor, what, consistency: self.consistency, deadline_ms, claims: None })
    }
}

impl EventsInput<'_> {
    pub fn check(self, now_ms: u64) -> Result<EventsRead, Failure> {
        Ok(EventsRead {
            actor: Names::default().actor(self.type_name, self.id)?,
            from: from_one("from", self.from.unwrap_or(1))?,
            limit: page(self.limit)?,
            deadline_ms: deadline_ms(now_ms, self.timeout),
        })
    }
}

/// Names of types, commands and events that were checked and allocated before: a stream sends the
/// same few over and over.
#[derive(Default)]
pub(super) struct Names {
    known: Vec<Arc<str>>,
    /// Which one makes room when there are [`NAMES_KEPT`].
    next: usize,
}

const NAMES_KEPT: usize = 16;

impl Names {
    fn shared(&mut self, what: &'static str, text: &str) -> Result<Arc<str>, Failure> {
        if let Some(known) = self.known.iter().find(|known| &***known == text) {
            return Ok(Arc::clone(known));
        }
        let made = name(what, text)?;
        if self.known.len() < NAMES_KEPT {
            self.known.push(Arc::clone(&made));
        } else {
            self.known[self.next] = Arc::clone(&made);
            self.next = (self.next + 1) % NAMES_KEPT;
        }
        Ok(made)
    }

    fn actor(&mut self, type_name: &str, id: &str) -> Result<ActorRef, Failure> {
        Ok(ActorRef { type_name: self.shared("actor type", type_name)?, id: name("actor id", id)? })
    }
}

/// A name in the id grammar.
fn name(what: &'static str, text: &str) -> Result<Arc<str>, Failure> {
    check_id(what, text).map_err(|error| Failure::malformed("MalformedName", error.to_string()))?;
    if matches!(text, "." | "..") {
        let message = format!("{what} is the dot segment {text:?}, which is no name");
        return Err(Failure::malformed("MalformedName", message));
    }
    Ok(text.into())
}

/// The idempotency key a caller gave, or a new one: time-ordered, so that it is of use in logs.
pub(super) fn command_id(given: Option<&str>, now_ms: u64) -> Result<Arc<str>, Failure> {
    match given {
        Some(text) => name("command id", text),
        None => {
            let made = uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid();
            Ok(Arc::from(&*made.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())))
        }
    }
}

fn until(events: &[&str], wait: Option<Duration>, names: &mut Names) -> Result<Option<Until>, Failure> {
    if events.is_empty() {
        return match wait {
            None => Ok(None),
            Some(_) => Err(parameter("wait is given without until; name the events to wait for")),
        };
    }
    if events.len() > UNTIL_EVENTS_MAX {
        let message = format!("until names {} events; at most {UNTIL_EVENTS_MAX} are allowed", events.len());
        return Err(parameter(message));
    }
    let wait_ms = wait.map_or(DEADLINE_MS_DEFAULT, milliseconds);
    if wait_ms > UNTIL_WAIT_MS_MAX {
        return Err(parameter(format!("wait is {wait_ms} ms; at most {UNTIL_WAIT_MS_MAX} ms are allowed")));
    }
    let events = events.iter().map(|event| names.shared("until event", event)).collect::<Result<_, _>>()?;
    Ok(Some(Until { events, wait_ms }))
}

/// JSON within the limits; nothing stands for `null`.
fn json_value(what: &'static str, value: Bytes) -> Result<Bytes, Failure> {
    if value.is_empty() {
        return Ok(Bytes::from_static(b"null"));
    }
    if value.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large(what, Some(value.len())));
    }
    match json::check(&value) {
        Ok(()) => Ok(value),
        Err(error) => Err(Failure::malformed("MalformedJson", format!("{what}: {error}"))),
    }
}

/// `what` is over [`PAYLOAD_BYTES_MAX`]; its size may not be known, since the rest was not read.
pub(super) fn too_large(what: &str, bytes: Option<usize>) -> Failure {
    let size = bytes.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes"));
    let message = format!("{what} has {size}; at most {PAYLOAD_BYTES_MAX} bytes are allowed");
    Failure::not_applied(Class::TooLarge, "PayloadTooLarge", message)
}

/// When a request is of no more use. A longer deadline than allowed is taken as the longest, since
/// infrastructure between client and cell often sets one.
pub(super) fn deadline_ms(now_ms: u64, timeout: Option<Duration>) -> u64 {
    now_ms.saturating_add(timeout.map_or(DEADLINE_MS_DEFAULT, milliseconds).min(DEADLINE_MS_MAX))
}

/// How many entries a page may have.
pub(super) fn page(limit: Option<u64>) -> Result<u32, Failure> {
    let limit = limit.unwrap_or(u64::from(PAGE_DEFAULT));
    match u32::try_from(limit) {
        Ok(limit @ 1..=EVENTS_PAGE_MAX) => Ok(limit),
        _ => Err(parameter(format!("limit is {limit}; it is 1 to {EVENTS_PAGE_MAX}"))),
    }
}

/// The record a position token names.
pub(super) fn record(token: &str) -> Result<Position, Failure> {
    position::decode(token).map_err(|error| Failure::malformed("MalformedPosition", error.to_string()))
}

/// A parameter has a value that cannot be meant.
pub(super) fn parameter(message: impl Into<String>) -> Failure {
    Failure::malformed("MalformedParameter", message)
}

fn from_one(what: &'static str, seq: u64) -> Result<Seq, Failure> {
    match seq {
        0 => Err(parameter(format!("{what} is 0; sequence numbers begin at 1"))),
        seq => Ok(Seq(seq)),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
