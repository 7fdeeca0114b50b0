//! The running cell as the gateway sees it: a cheap handle that takes requests in the cell's own
//! words and answers when the answer may be given out.

use std::sync::Arc;

use crate::ids::Position;
use crate::outcome::Failure;
use crate::request::{Applied, Command, DeadLetter, EventsPage, EventsRead, Read, ReadAnswer};

/// Where the answer to a streamed command goes: called once, from a lane's thread; must not block.
pub type Answer = Box<dyn FnOnce(Result<Applied, Failure>) + Send>;

/// A running cell. Clones share it.
#[derive(Clone)]
pub struct Cell {
    inner: Arc<Inner>,
}

struct Inner {}

impl Cell {
    /// Runs one command and waits for its outcome.
    ///
    /// # Errors
    /// Every way a command can fail, with what is known of its effect.
    pub async fn execute(&self, command: Command) -> Result<Applied, Failure> {
        let _ = (&self.inner, command);
        todo!("lane")
    }

    /// Hands in one command; `answer` is called when its outcome is known. Commands to one actor
    /// that are submitted one after the other run in that order.
    pub fn submit(&self, command: Command, answer: Answer) {
        let _ = (command, answer);
        todo!("lane")
    }

    /// Reads one actor.
    ///
    /// # Errors
    /// Unknown actor, type or query; script errors; not available in time.
    pub async fn read(&self, read: Read) -> Result<ReadAnswer, Failure> {
        let _ = read;
        todo!("lane")
    }

    /// Reads a page of one actor's history.
    ///
    /// # Errors
    /// Unknown actor or type; not available in time.
    pub async fn events(&self, read: EventsRead) -> Result<EventsPage, Failure> {
        let _ = read;
        todo!("lane")
    }

    /// Dead letters after a position, in position order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn dead_letters(
        &self,
        after: Option<Position>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Failure> {
        let _ = (after, limit);
        todo!("lane")
    }

    /// One dead letter.
    ///
    /// # Errors
    /// There is none at that position, or the store cannot be read.
    pub async fn dead_letter(&self, at: Position) -> Result<DeadLetter, Failure> {
        let _ = at;
        todo!("lane")
    }

    /// Sends a dead letter again as a new message; it is then no longer a dead letter.
    ///
    /// # Errors
    /// There is none at that position, or it could not be made durable.
    pub async fn replay_dead_letter(&self, at: Position) -> Result<(), Failure> {
        let _ = at;
        todo!("lane")
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    /// There is none at that position, or it could not be made durable.
    pub async fn drop_dead_letter(&self, at: Position) -> Result<(), Failure> {
        let _ = at;
        todo!("lane")
    }

    /// Whether every bucket is served: what readiness says.
    #[must_use]
    pub fn ready(&self) -> Result<(), String> {
        todo!("lane")
    }

    /// The wall clock the cell lives by, in milliseconds since the epoch: deadlines are made with it.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        todo!("lane")
    }
}
