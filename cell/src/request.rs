//! Requests and answers in the cell's own words: what the gateway hands to the router, and back.
//!
//! Everything here is checked: addresses parsed, payloads valid JSON within the number rules, names
//! bounded. Only the gateway makes these from wire types.

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ActorRef, Position, Seq};

/// A client's request to one actor.
#[derive(Clone, Debug)]
pub struct Command {
    /// Whom it is for.
    pub actor: ActorRef,
    /// The command's name in the behavior's `commands`.
    pub name: Arc<str>,
    /// JSON, checked by [`crate::json::check`].
    pub payload: Bytes,
    /// The idempotency key: 1 to 256 bytes in the id grammar.
    pub id: Arc<str>,
    /// Milliseconds since the epoch after which the command must not start.
    pub deadline_ms: u64,
    /// Verified claims of the caller as a JSON object; `None` without a token.
    pub claims: Option<Bytes>,
    /// Wait for an event after the command was applied.
    pub until: Option<Until>,
}

/// Waits for the first of some events of the actor.
#[derive(Clone, Debug)]
pub struct Until {
    /// Names of events; the first one recorded by or after the command ends the wait.
    pub events: Vec<Arc<str>>,
    /// How long to wait, in milliseconds.
    pub wait_ms: u64,
}

/// A command was applied and is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the handler returned, as JSON (`null` for nothing).
    pub reply: Bytes,
    /// The actor's sequence number after the command.
    pub seq: Seq,
    /// Where its record is.
    pub position: Position,
    /// Names of the events it recorded, in order.
    pub events: Vec<Arc<str>>,
    /// The event an [`Until`] waited for, if it came in time.
    pub event: Option<Event>,
}

/// One recorded event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its sequence number within the actor, from 1.
    pub seq: Seq,
    /// Its name in the behavior's `events`.
    pub name: Arc<str>,
    /// Its payload as JSON.
    pub payload: Bytes,
    /// When it was recorded, in milliseconds since the epoch.
    pub time_ms: u64,
    /// Where its record is.
    pub position: Position,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Durable, and the cell was surely the owner after the request came in.
    #[default]
    Strong,
    /// Durable, but possibly from a cell that was replaced a moment ago.
    Stale,
}

/// Reads one actor's state, or a named query of it.
#[derive(Clone, Debug)]
pub struct Read {
    /// Whose state.
    pub actor: ActorRef,
    /// What is asked.
    pub what: ReadWhat,
    /// How fresh.
    pub consistency: Consistency,
    /// Milliseconds since the epoch after which the answer is of no use.
    pub deadline_ms: u64,
    /// Verified claims of the caller as a JSON object; `None` without a token.
    pub claims: Option<Bytes>,
}

/// What is read of an actor.
#[derive(Clone, Debug)]
pub enum ReadWhat {
    /// The whole state, now.
    State,
    /// The whole state as of this sequence number.
    StateAt(Seq),
    /// A query in the behavior's `queries`.
    Query {
        /// Its name.
        name: Arc<str>,
        /// JSON arguments, checked.
        args: Bytes,
    },
}

/// The answer to a [`Read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The state or the query's result, as JSON.
    pub value: Bytes,
    /// The actor's sequence number it is of.
    pub seq: Seq,
    /// The actor's last record then.
    pub position: Position,
}

/// Reads a page of one actor's history.
#[derive(Clone, Debug)]
pub struct EventsRead {
    /// Whose history.
    pub actor: ActorRef,
    /// First sequence number wanted, from 1.
    pub from: Seq,
    /// At most this many events, up to [`crate::limits::EVENTS_PAGE_MAX`].
    pub limit: u32,
    /// Milliseconds since the epoch after which the answer is of no use.
    pub deadline_ms: u64,
}

/// A page of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsPage {
    /// The events in order.
    pub events: Vec<Event>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Seq>,
}

/// A message, timer or refusal that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its record: also its name in `dead` requests.
    pub position: Position,
    /// Whom it was for.
    pub target: ActorRef,
    /// The actor that told it; `None` for timers.
    pub source: Option<ActorRef>,
    /// The internal command.
    pub command: Arc<str>,
    /// Its payload as JSON.
    pub payload: Bytes,
    /// Why it was given up.
    pub code: String,
    /// The last error, in a sentence.
    pub message: String,
    /// When, in milliseconds since the epoch.
    pub time_ms: u64,
}
