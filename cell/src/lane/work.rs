//! What waits in a mailbox: everything that needs a turn of an actor.

use std::sync::Arc;

use bytes::Bytes;

use super::input::{CommandInput, Delivery, ReadInput};

/// Names a waiting client to whoever runs the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// One turn to be run. Kept until what it did is durable, so that it can be run again.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Order of arrival in the lane: turns of an actor run, and run again, in this order.
    pub arrival: u64,
    /// What to do.
    pub kind: WorkKind,
}

/// What a turn does.
#[derive(Clone, Debug)]
pub(crate) enum WorkKind {
    /// A client's command.
    Command(Arc<CommandInput>),
    /// A client's read.
    Read(Arc<ReadInput>),
    /// A message.
    Message(Arc<Delivery>),
    /// A timer that is due.
    Timer(Arc<TimerFire>),
    /// A message of this actor was refused.
    Refusal(Arc<Refusal>),
}

/// A timer that is due.
#[derive(Clone, Debug)]
pub(crate) struct TimerFire {
    /// Its name.
    pub name: Arc<str>,
    /// Offset of the record that set it.
    pub generation: u64,
    /// How often it failed.
    pub attempts: u32,
}

/// A refusal that came back to the sender.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Offset of the record that told the message.
    pub offset: u64,
    /// Which message of that record.
    pub n: u32,
    /// The internal command that hears of it.
    pub command: Arc<str>,
    /// `{"target","command","payload","code","message"}`.
    pub payload: Bytes,
    /// Hops of the message.
    pub hops: u32,
    /// How often it failed.
    pub attempts: u32,
}

impl Work {
    /// The client that waits for it, if one does.
    pub fn token(&self) -> Option<Token> {
        match &self.kind {
            WorkKind::Command(command) => Some(command.token),
            WorkKind::Read(read) => Some(read.token),
            WorkKind::Message(_) | WorkKind::Timer(_) | WorkKind::Refusal(_) => None,
        }
    }
}
