//! The running cell as the gateway sees it: a cheap handle that takes requests in the cell's own
//! words and answers when the answer may be given out.
//!
//! It finds the lane of an actor and bounds what a lane is handed; everything else is the lane's.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use crate::behavior::{BehaviorSource, ScriptError};
use crate::env::Clock;
use crate::ids::{ActorKey, ActorRef, Bucket, Position, TypeId};
use crate::lane::Input;
use crate::lane::input::{CommandInput, DeadInput, DeadKind, ReadInput, ReadKind};
use crate::lane::run::{LaneHandle, Waiting, lane_of};
use crate::outcome::{Class, Failure};
use crate::request::{
    Applied, Command, Consistency, DeadLetter, EventsPage, EventsRead, Read, ReadAnswer, ReadWhat,
};
use crate::router::BucketSpace;

/// Where the answer to a streamed command goes: called once, from a lane's thread; must not block.
pub type Answer = Box<dyn FnOnce(Result<Applied, Failure>) + Send>;

/// A running cell. Clones share it.
#[derive(Clone)]
pub struct Cell {
    inner: Arc<Inner>,
}

struct Inner {
    space: BucketSpace,
    types: HashMap<Arc<str>, TypeId>,
    lanes: Arc<[LaneHandle]>,
    clock: Arc<dyn Clock>,
    serving: Arc<AtomicBool>,
}

impl Cell {
    pub(crate) fn new(
        space: BucketSpace,
        type_names: &[Arc<str>],
        lanes: Arc<[LaneHandle]>,
        clock: Arc<dyn Clock>,
        serving: Arc<AtomicBool>,
    ) -> Self {
        let types = (0..).map(TypeId).zip(type_names).map(|(id, name)| (name.clone(), id)).collect();
        Self { inner: Arc::new(Inner { space, types, lanes, clock, serving }) }
    }

    /// Runs one command and waits for its outcome.
    ///
    /// # Errors
    /// Every way a command can fail, with what is known of its effect.
    pub async fn execute(&self, command: Command) -> Result<Applied, Failure> {
        let (tell, told) = oneshot::channel();
        // Whoever stopped waiting is not told.
        self.submit(command, Box::new(move |answer| drop(tell.send(answer))));
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Hands in one command; `answer` is called when its outcome is known. Commands to one actor
    /// that are submitted one after the other run in that order.
    pub fn submit(&self, command: Command, answer: Answer) {
        let (key, bucket) = match self.address(&command.actor) {
            Ok(found) => found,
            Err(failure) => return answer(Err(failure)),
        };
        let bytes = command.payload.len() + command.claims.as_ref().map_or(0, bytes::Bytes::len);
        let Command { name, payload, id, deadline_ms, claims, until, .. } = command;
        let input = move |token| {
            Input::Command(CommandInput { key, bucket, name, payload, id, deadline_ms, claims, until, token })
        };
        let refused = self.lane(bucket).ask(bytes, input, Waiting::Command(answer));
        if let Err((Waiting::Command(answer), failure)) = refused {
            answer(Err(failure));
        }
    }

    /// Reads one actor.
    ///
    /// # Errors
    /// Unknown actor, type or query; script errors; not available in time.
    pub async fn read(&self, read: Read) -> Result<ReadAnswer, Failure> {
        let (key, bucket) = self.address(&read.actor)?;
        let what = match read.what {
            ReadWhat::State => ReadKind::State,
            ReadWhat::StateAt(seq) => ReadKind::StateAt(seq),
            ReadWhat::Query { name, args } => ReadKind::Query { name, args },
        };
        let Read { consistency, deadline_ms, claims, .. } = read;
        let input = move |token| {
            Input::Read(ReadInput { key, bucket, what, consistency, deadline_ms, claims, token })
        };
        self.ask(bucket, input, Waiting::Read).await
    }

    /// Reads a page of one actor's history.
    ///
    /// # Errors
    /// Unknown actor or type; not available in time.
    pub async fn events(&self, read: EventsRead) -> Result<EventsPage, Failure> {
        let (key, bucket) = self.address(&read.actor)?;
        let EventsRead { from, limit, deadline_ms, .. } = read;
        let input = move |token| {
            let what = ReadKind::Events { from, limit };
            let consistency = Consistency::Strong;
            Input::Read(ReadInput { key, bucket, what, consistency, deadline_ms, claims: None, token })
        };
        self.ask(bucket, input, Waiting::Events).await
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
        let after = after.map(|position| (position.bucket, position.offset.0));
        let mut letters = Vec::new();
        for lane in 0..self.inner.lanes.len() {
            let what = DeadKind::List { after, limit };
            letters.extend(self.ask_dead(lane, what, Waiting::DeadLetters).await?);
        }
        letters.sort_by_key(|letter| letter.position);
        letters.truncate(limit as usize);
        Ok(letters)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// There is none at that position, or the store cannot be read.
    pub async fn dead_letter(&self, at: Position) -> Result<DeadLetter, Failure> {
        let after = match (at.bucket.0, at.offset.0) {
            (0, 0) => None,
            (bucket, 0) => Some((Bucket(bucket - 1), u64::MAX)),
            (_, offset) => Some((at.bucket, offset - 1)),
        };
        let lane = self.lane_number(at.bucket)?;
        let what = DeadKind::List { after, limit: 1 };
        let letters = self.ask_dead(lane, what, Waiting::DeadLetters).await?;
        let found = letters.into_iter().find(|letter| letter.position == at);
        found.ok_or_else(|| {
            Failure::not_found("UnknownDeadLetter", format!("there is no dead letter at {at}"))
        })
    }

    /// Sends a dead letter again as a new message; it is then no longer a dead letter.
    ///
    /// # Errors
    /// There is none at that position, or it could not be made durable.
    pub async fn replay_dead_letter(&self, at: Position) -> Result<(), Failure> {
        let lane = self.lane_number(at.bucket)?;
        self.ask_dead(lane, DeadKind::Replay(at.bucket, at.offset.0), Waiting::DeadChanged).await
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    /// There is none at that position, or it could not be made durable.
    pub async fn drop_dead_letter(&self, at: Position) -> Result<(), Failure> {
        let lane = self.lane_number(at.bucket)?;
        self.ask_dead(lane, DeadKind::Drop(at.bucket, at.offset.0), Waiting::DeadChanged).await
    }

    /// Whether every bucket is served: what readiness says.
    ///
    /// # Errors
    /// Says what is waited for.
    pub fn ready(&self) -> Result<(), String> {
        if self.inner.serving.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err("the cell is stopping, or has lost its buckets".to_owned())
        }
    }

    /// The wall clock the cell lives by, in milliseconds since the epoch: deadlines are made with it.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    /// Has every lane load a version and read its resident states with it.
    pub(crate) async fn prepare(&self, source: &Arc<BehaviorSource>) -> Result<(), ScriptError> {
        let mut result = Ok(());
        for lane in self.inner.lanes.iter() {
            let (tell, told) = oneshot::channel();
            let source = source.clone();
            let asked = lane.ask(0, move |token| Input::Prepare { source, token }, Waiting::Prepared(tell));
            if asked.is_ok()
                && let Ok(Err(error)) = told.await
            {
                result = Err(error);
            }
        }
        result
    }

    /// Uses a prepared version, or forgets it.
    pub(crate) fn settle_version(&self, source: &Arc<BehaviorSource>, accepted: bool) {
        for lane in self.inner.lanes.iter() {
            let source = source.clone();
            lane.send(if accepted { Input::Activate { source } } else { Input::Abandon { source } });
        }
    }

    fn address(&self, actor: &ActorRef) -> Result<(ActorKey, Bucket), Failure> {
        let Some(type_id) = self.inner.types.get(&actor.type_name) else {
            let mut known: Vec<&str> = self.inner.types.keys().map(|name| &**name).collect();
            known.sort_unstable();
            let message =
                format!("there is no actor type {}; there are {}", actor.type_name, known.join(", "));
            return Err(Failure::not_found("UnknownType", message));
        };
        let key = ActorKey { type_id: *type_id, id: (&*actor.id).into() };
        Ok((key, self.inner.space.bucket_of(&actor.id)))
    }

    fn lane(&self, bucket: Bucket) -> &LaneHandle {
        &self.inner.lanes[lane_of(bucket, self.inner.lanes.len())]
    }

    fn lane_number(&self, bucket: Bucket) -> Result<usize, Failure> {
        if bucket.0 >= self.inner.space.buckets {
            let message = format!("there is no bucket {}; there are {}", bucket.0, self.inner.space.buckets);
            return Err(Failure::not_found("UnknownDeadLetter", message));
        }
        Ok(lane_of(bucket, self.inner.lanes.len()))
    }

    async fn ask_dead<T>(
        &self,
        lane: usize,
        what: DeadKind,
        waiting: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Waiting,
    ) -> Result<T, Failure> {
        let (tell, told) = oneshot::channel();
        let input = move |token| Input::Dead(DeadInput { what, token });
        let asked = self.inner.lanes[lane].ask(0, input, waiting(tell));
        asked.map_err(|(_, failure)| failure)?;
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn ask<T>(
        &self,
        bucket: Bucket,
        input: impl FnOnce(crate::lane::work::Token) -> Input + Send + 'static,
        waiting: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Waiting,
    ) -> Result<T, Failure> {
        let (tell, told) = oneshot::channel();
        self.lane(bucket).ask(0, input, waiting(tell)).map_err(|(_, failure)| failure)?;
        told.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// The lane ended before it answered.
fn lost() -> Failure {
    Failure::unknown(Class::Unavailable, "AnswerLost", "the cell stopped before it answered")
}
