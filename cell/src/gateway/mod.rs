//! Where requests come in and answers go out: gRPC, HTTP and the operator's own listener.
//!
//! Guarantees: both wires share one function per operation, here, so that they mean the same; every
//! failure says what is known of its effect; what comes in is checked before the cell sees it
//! ([`intake`]); every request has a deadline, every body, stream and listener a bound. A stop lets
//! requests under way finish within a grace.
//!
//! Not here: who may do what (claims are `None` until tokens are verified), which cell owns an
//! actor, and any retry: a client retries under the same command id.

mod admin;
mod body;
mod convert;
mod early;
mod grpc;
mod http;
mod intake;
mod listen;
mod position;
mod reply;
mod route;
mod serve;
mod stream;
mod trace;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use early::Early;
pub use position::{PositionError, decode as decode_position, encode as encode_position};
pub use serve::{Listeners, Stopped, serve};

use crate::cell::{Answer, Cell};
use crate::ids::Position;
use crate::limits::{DEADLINE_GRACE_MS, DEADLINE_MS_MAX, UNTIL_WAIT_MS_MAX};
use crate::metrics::{CommandTimer, Metrics};
use crate::outcome::{Class, Failure};
use crate::request::{Applied, Command, DeadLetter, EventsPage, EventsRead, Read, ReadAnswer};
use intake::{CommandInput, EventsInput, Names, ReadInput};

/// What the gateway needs of a cell: the methods of [`Cell`], so that tests can stand in for it.
pub trait Service: Clone + Send + Sync + 'static {
    /// See [`Cell::execute`].
    fn execute(&self, command: Command) -> impl Future<Output = Result<Applied, Failure>> + Send;
    /// See [`Cell::submit`].
    fn submit(&self, command: Command, answer: Answer);
    /// See [`Cell::read`].
    fn read(&self, read: Read) -> impl Future<Output = Result<ReadAnswer, Failure>> + Send;
    /// See [`Cell::events`].
    fn events(&self, read: EventsRead) -> impl Future<Output = Result<EventsPage, Failure>> + Send;
    /// See [`Cell::dead_letters`].
    fn dead_letters(
        &self,
        after: Option<Position>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, Failure>> + Send;
    /// See [`Cell::dead_letter`].
    fn dead_letter(&self, at: Position) -> impl Future<Output = Result<DeadLetter, Failure>> + Send;
    /// See [`Cell::replay_dead_letter`].
    fn replay_dead_letter(&self, at: Position) -> impl Future<Output = Result<(), Failure>> + Send;
    /// See [`Cell::drop_dead_letter`].
    fn drop_dead_letter(&self, at: Position) -> impl Future<Output = Result<(), Failure>> + Send;
    /// See [`Cell::ready`].
    ///
    /// # Errors
    /// Says what is waited for.
    fn ready(&self) -> Result<(), String>;
    /// See [`Cell::now_ms`].
    fn now_ms(&self) -> u64;
}

impl Service for Cell {
    async fn execute(&self, command: Command) -> Result<Applied, Failure> {
        Self::execute(self, command).await
    }

    fn submit(&self, command: Command, answer: Answer) {
        Self::submit(self, command, answer);
    }

    async fn read(&self, read: Read) -> Result<ReadAnswer, Failure> {
        Self::read(self, read).await
    }

    async fn events(&self, read: EventsRead) -> Result<EventsPage, Failure> {
        Self::events(self, read).await
    }

    async fn dead_letters(&self, after: Option<Position>, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        Self::dead_letters(self, after, limit).await
    }

    async fn dead_letter(&self, at: Position) -> Result<DeadLetter, Failure> {
        Self::dead_letter(self, at).await
    }

    async fn replay_dead_letter(&self, at: Position) -> Result<(), Failure> {
        Self::replay_dead_letter(self, at).await
    }

    async fn drop_dead_letter(&self, at: Position) -> Result<(), Failure> {
        Self::drop_dead_letter(self, at).await
    }

    fn ready(&self) -> Result<(), String> {
        Self::ready(self)
    }

    fn now_ms(&self) -> u64 {
        Self::now_ms(self)
    }
}

/// The operations of the public interface, one function each. Clones share everything.
#[derive(Clone)]
struct Gateway<S> {
    service: S,
    metrics: Arc<Metrics>,
    /// True once a stop was asked for: streams then take no more commands.
    stopping: watch::Receiver<bool>,
}

/// A page of dead letters.
struct DeadPage {
    letters: Vec<DeadLetter>,
    /// Ask for letters after this one next; `None` when these were the last.
    next: Option<Position>,
}

impl<S: Service> Gateway<S> {
    async fn execute(&self, id: Arc<str>, input: CommandInput<'_>) -> Result<Applied, Failure> {
        let timer = self.metrics.start_command(input.type_name);
        let answer = self.execute_checked(id, input).await;
        timer.end(&answer);
        noted(answer)
    }

    async fn execute_checked(&self, id: Arc<str>, input: CommandInput<'_>) -> Result<Applied, Failure> {
        let command = input.check(id, self.service.now_ms(), &mut Names::default())?;
        let wait_ms = command.until.as_ref().map_or(0, |until| until.wait_ms);
        let patience = self.patience(command.deadline_ms.saturating_add(wait_ms));
        match tokio::time::timeout(patience, self.service.execute(command)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::unknown(
                Class::Deadline,
                "DeadlinePassed",
                "no answer came in time; send the command again with the same id to learn its outcome",
            )),
        }
    }

    /// Hands in one command of a stream. `answer` is called exactly once if the cell keeps its word;
    /// a deadline is the cell's to keep here, since a timer per streamed command costs too much.
    fn submit<F>(&self, id: Arc<str>, input: CommandInput<'_>, names: &mut Names, answer: F)
    where
        F: FnOnce(Result<Applied, Failure>) + Send + 'static,
    {
        match input.check(id, self.service.now_ms(), names) {
            Ok(command) => self.service.submit(command, Box::new(answer)),
            Err(failure) => answer(Err(failure)),
        }
    }

    fn start_command(&self, type_name: &str) -> CommandTimer {
        self.metrics.start_command(type_name)
    }

    async fn read(&self, input: ReadInput<'_>) -> Result<ReadAnswer, Failure> {
        let read = input.check(self.service.now_ms())?;
        noted(self.in_time(read.deadline_ms, self.service.read(read)).await)
    }

    async fn events(&self, input: EventsInput<'_>) -> Result<EventsPage, Failure> {
        let read = input.check(self.service.now_ms())?;
        noted(self.in_time(read.deadline_ms, self.service.events(read)).await)
    }

    async fn dead_letters(
        &self,
        after: Option<&str>,
        limit: Option<u64>,
        timeout: Option<Duration>,
    ) -> Result<DeadPage, Failure> {
        let after = after.map(intake::record).transpose()?;
        let limit = intake::page(limit)?;
        let letters = self.timely(timeout, self.service.dead_letters(after, limit)).await?;
        let full = letters.len() >= limit as usize;
        let next = letters.last().filter(|_| full).map(|letter| letter.position);
        Ok(DeadPage { letters, next })
    }

    async fn dead_letter(&self, at: &str, timeout: Option<Duration>) -> Result<DeadLetter, Failure> {
        let at = intake::record(at)?;
        self.timely(timeout, self.service.dead_letter(at)).await
    }

    async fn replay_dead_letter(&self, at: &str, timeout: Option<Duration>) -> Result<(), Failure> {
        let at = intake::record(at)?;
        self.timely_change(timeout, self.service.replay_dead_letter(at)).await
    }

    async fn drop_dead_letter(&self, at: &str, timeout: Option<Duration>) -> Result<(), Failure> {
        let at = intake::record(at)?;
        self.timely_change(timeout, self.service.drop_dead_letter(at)).await
    }

    async fn timely<T>(
        &self,
        timeout: Option<Duration>,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.in_time(intake::deadline_ms(self.service.now_ms(), timeout), answer).await
    }

    /// As [`Self::timely`], for what changes something: late is unknown.
    async fn timely_change(
        &self,
        timeout: Option<Duration>,
        answer: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let deadline_ms = intake::deadline_ms(self.service.now_ms(), timeout);
        tokio::time::timeout(self.patience(deadline_ms), answer).await.unwrap_or_else(|_| {
            Err(Failure::unknown(
                Class::Deadline,
                "DeadlinePassed",
                "no answer came in time; read the dead letter to learn whether it is still there",
            ))
        })
    }

    /// Waits for a read until its deadline and the cell's own grace have passed.
    async fn in_time<T>(
        &self,
        deadline_ms: u64,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.patience(deadline_ms), answer).await.unwrap_or_else(|_| {
            Err(Failure::retryable(Class::Deadline, "DeadlinePassed", "no answer came in time", 0))
        })
    }

    /// How long to wait for an answer with this deadline. The cell itself answers by its deadline
    /// and [`DEADLINE_GRACE_MS`]; twice the grace leaves it the first word.
    fn patience(&self, deadline_ms: u64) -> Duration {
        let left_ms = deadline_ms.saturating_sub(self.service.now_ms());
        Duration::from_millis(left_ms.min(DEADLINE_MS_MAX + UNTIL_WAIT_MS_MAX) + 2 * DEADLINE_GRACE_MS)
    }
}

/// Logs a failure where it is given out. Its sentence may hold what users wrote, so only a defect's
/// is logged: the cell itself wrote that.
fn noted<T>(answer: Result<T, Failure>) -> Result<T, Failure> {
    match &answer {
        Err(Failure { class: Class::Internal, code, message, .. }) => {
            tracing::error!(code, message, "a request met a defect");
        }
        Err(failure) => {
            tracing::debug!(code = failure.code, outcome = failure.outcome.as_str(), "a request failed");
        }
        Ok(_) => {}
    }
    answer
}
