//! A stream of commands on one gRPC call.
//!
//! Guarantees: commands are handed in one after the other, in the order received; each gets exactly
//! one answer with its tag, also when the cell loses it (then it is *unknown*); at most
//! [`STREAM_COMMANDS_MAX`] are without an answer, and none is read while the caller does not take
//! answers. When the caller ends its half, or a stop is asked for, no more are read, the answers of
//! those under way still leave, and the stream ends.
//!
//! There is no task and no timer per command: the call's own task reads commands and writes answers,
//! and lanes put answers into one channel.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use corallite_proto::v1;
use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::intake::{Names, command_id};
use super::{Gateway, Service, convert, noted};
use crate::limits::STREAM_COMMANDS_MAX;
use crate::metrics::CommandTimer;
use crate::outcome::{Class, Failure};
use crate::request::Applied;

/// Commands taken before answers are looked at again, so that neither side starves the other.
const COMMANDS_AT_ONCE: usize = 64;

/// An answer on its way out.
struct Answered {
    tag: u64,
    /// `None` if the caller's own id was malformed.
    id: Option<Arc<str>>,
    answer: Result<Applied, Failure>,
}

/// Commands in, answers out: what the call's task polls.
pub(super) struct CommandStream<S> {
    gateway: Gateway<S>,
    /// `None` once no more commands are read.
    commands: Option<Streaming<v1::ExecuteStreamRequest>>,
    /// Resolves when a stop is asked for.
    stopping: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Never full: it has room for every command without an answer.
    sender: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
    unanswered: usize,
    names: Names,
    /// How the stream ends once all answers have left; `None` is well.
    end: Option<Status>,
}

impl<S: Service> CommandStream<S> {
    pub fn new(gateway: Gateway<S>, commands: Streaming<v1::ExecuteStreamRequest>) -> Self {
        let (sender, answers) = mpsc::channel(STREAM_COMMANDS_MAX);
        let mut stop = gateway.stopping.clone();
        Self {
            gateway,
            commands: Some(commands),
            // If whoever asks for stops is gone, so is the server.
            stopping: Box::pin(async move { drop(stop.wait_for(|stopping| *stopping).await) }),
            sender,
            answers,
            unanswered: 0,
            names: Names::default(),
            end: None,
        }
    }

    /// Takes the commands that have arrived. Pending when there is nothing to take now, ready with
    /// whether more may come otherwise.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(commands) = self.commands.as_mut() else { return Poll::Ready(false) };
        if self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.close(Some(convert::status(stopped(), ""))));
        }
        for _ in 0..COMMANDS_AT_ONCE {
            if self.unanswered == STREAM_COMMANDS_MAX {
                return Poll::Pending;
            }
            match ready!(Pin::new(&mut *commands).poll_next(cx)) {
                Some(Ok(command)) => {
                    self.unanswered += 1;
                    take(&self.gateway, &mut self.names, &self.sender, command);
                }
                Some(Err(status)) => return Poll::Ready(self.close(Some(status))),
                None => return Poll::Ready(self.close(None)),
            }
        }
        Poll::Ready(true)
    }

    fn close(&mut self, end: Option<Status>) -> bool {
        self.commands = None;
        self.end = end;
        false
    }
}

/// Nothing points into it.
impl<S> Unpin for CommandStream<S> {}

impl<S: Service> Stream for CommandStream<S> {
    type Item = Result<v1::ExecuteStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Poll::Ready(Some(Answered { tag, id, answer })) = this.answers.poll_recv(cx) {
            this.unanswered -= 1;
            let id = id.as_deref().unwrap_or_default();
            return Poll::Ready(Some(Ok(convert::streamed(tag, id, noted(answer)))));
        }
        // From here on an answer wakes this task: the channel has noted it.
        let more = ready!(this.poll_commands(cx));
        if more {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.unanswered == 0 { Poll::Ready(this.end.take().map(Err)) } else { Poll::Pending }
    }
}

/// Hands in one command.
fn take<S: Service>(
    gateway: &Gateway<S>,
    names: &mut Names,
    sender: &mpsc::Sender<Answered>,
    command: v1::ExecuteStreamRequest,
) {
    let v1::ExecuteStreamRequest { tag, request, timeout_ms } = command;
    let request = request.unwrap_or_default();
    let type_name = request.actor.as_ref().map_or("", |actor| &actor.r#type);
    let timer = gateway.start_command(type_name);
    let mut open = Open { sender: sender.clone(), tag, id: None, timer: Some(timer) };
    match command_id(convert::given(&request.command_id), gateway.service.now_ms()) {
        Err(failure) => open.answer(Err(failure)),
        Ok(id) => {
            open.id = Some(Arc::clone(&id));
            let input = convert::command(&request, convert::given_ms(timeout_ms));
            gateway.submit(id, input, names, move |answer| open.answer(answer));
        }
    }
}

/// A command without an answer. Dropped, it answers that the outcome is unknown.
struct Open {
    sender: mpsc::Sender<Answered>,
    tag: u64,
    id: Option<Arc<str>>,
    /// Taken when the answer is sent.
    timer: Option<CommandTimer>,
}

impl Open {
    fn answer(mut self, answer: Result<Applied, Failure>) {
        self.send(answer);
    }

    fn send(&mut self, answer: Result<Applied, Failure>) {
        let Some(timer) = self.timer.take() else { return };
        timer.end(&answer);
        // Only fails when the caller is gone: then nobody waits for it.
        let _ = self.sender.try_send(Answered { tag: self.tag, id: self.id.take(), answer });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.timer.is_some() {
            let message = "the answer was lost on its way; send the command again with the same id";
            self.send(Err(Failure::unknown(Class::Internal, "AnswerLost", message)));
        }
    }
}

fn stopped() -> Failure {
    Failure::retryable(
        Class::Unavailable,
        "Stopping",
        "the cell is stopping; every command it took was answered, send the others again",
        1_000,
    )
}
