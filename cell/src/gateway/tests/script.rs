//! A cell that does what the test says and remembers what it was asked.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::cell::Answer;
use crate::gateway::Service;
use crate::ids::{ActorRef, Bucket, Offset, Position, Seq};
use crate::outcome::Failure;
use crate::request::{Applied, Command, DeadLetter, Event, EventsPage, EventsRead, Read, ReadAnswer};

/// What the script's clock always shows.
pub const NOW_MS: u64 = 1_700_000_000_000;

pub fn at(bucket: u32, offset: u64) -> Position {
    Position { bucket: Bucket(bucket), offset: Offset(offset) }
}

pub fn token(bucket: u32, offset: u64) -> String {
    crate::gateway::encode_position(at(bucket, offset))
}

pub fn event(seq: u64, name: &str) -> Event {
    Event {
        seq: Seq(seq),
        name: name.into(),
        payload: Bytes::from_static(b"{\"a\":1}"),
        time_ms: 5,
        position: at(3, 9),
    }
}

/// The reply is the payload.
pub fn echo(command: &Command) -> Applied {
    Applied {
        reply: command.payload.clone(),
        seq: Seq(7),
        position: at(3, 9),
        events: vec!["OrderPlaced".into(), "Said\"Hi\"".into()],
        event: command.until.as_ref().map(|until| event(7, &until.events[0])),
    }
}

pub fn letter(offset: u64) -> DeadLetter {
    DeadLetter {
        position: at(3, offset),
        target: ActorRef::new("Inventory", "p-1").expect("valid"),
        source: offset.is_multiple_of(2).then(|| ActorRef::new("Order", "o-1").expect("valid")),
        command: "reserve".into(),
        payload: Bytes::from_static(b"{\"quantity\":2}"),
        code: "ScriptError".into(),
        message: "inventory.js:3: no".into(),
        time_ms: 8,
    }
}

/// See the module. Commands succeed as [`echo`] unless `fail` is set or `hold` keeps them.
#[derive(Clone, Default)]
pub struct Script(Arc<State>);

#[derive(Default)]
pub struct State {
    pub commands: Mutex<Vec<Command>>,
    pub reads: Mutex<Vec<Read>>,
    pub histories: Mutex<Vec<EventsRead>>,
    /// Dead letter requests, in words.
    pub dead: Mutex<Vec<String>>,
    /// Every request fails like this.
    pub fail: Mutex<Option<Failure>>,
    /// What readiness waits for.
    pub waits_for: Mutex<Option<String>>,
    hold: Mutex<bool>,
    held: Mutex<Vec<(Command, Answer)>>,
    held_count: watch::Sender<usize>,
}

impl std::ops::Deref for Script {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl State {
    /// From now on commands wait for [`Self::held`].
    pub fn hold(&self) {
        *self.hold.lock() = true;
    }

    /// Waits until `count` commands are held in all, and takes those there are.
    pub async fn held(&self, count: usize) -> Vec<(Command, Answer)> {
        let mut counts = self.held_count.subscribe();
        counts.wait_for(|held| *held >= count).await.expect("the script lives");
        std::mem::take(&mut *self.held.lock())
    }

    /// How many commands were ever held.
    pub fn held_count(&self) -> usize {
        *self.held_count.borrow()
    }

    fn outcome<T>(&self, value: T) -> Result<T, Failure> {
        match &*self.fail.lock() {
            None => Ok(value),
            Some(failure) => Err(failure.clone()),
        }
    }

    fn note_dead(&self, what: String) -> Result<(), Failure> {
        self.dead.lock().push(what);
        self.outcome(())
    }
}

impl Service for Script {
    async fn execute(&self, command: Command) -> Result<Applied, Failure> {
        let (sender, answer) = oneshot::channel();
        self.submit(command, Box::new(move |answer| drop(sender.send(answer))));
        answer.await.expect("tests answer what they hold")
    }

    fn submit(&self, command: Command, answer: Answer) {
        self.commands.lock().push(command.clone());
        if *self.hold.lock() {
            self.held.lock().push((command, answer));
            self.held_count.send_modify(|held| *held += 1);
        } else {
            answer(self.outcome(echo(&command)));
        }
    }

    async fn read(&self, read: Read) -> Result<ReadAnswer, Failure> {
        self.reads.lock().push(read);
        let value = Bytes::from_static(b"{\"status\":\"placed\"}");
        self.outcome(ReadAnswer { value, seq: Seq(4), position: at(3, 8) })
    }

    async fn events(&self, read: EventsRead) -> Result<EventsPage, Failure> {
        self.histories.lock().push(read);
        self.outcome(EventsPage { events: vec![event(1, "A"), event(2, "B")], next: Some(Seq(3)) })
    }

    async fn dead_letters(&self, after: Option<Position>, limit: u32) -> Result<Vec<DeadLetter>, Failure> {
        self.note_dead(format!("list {after:?} {limit}"))?;
        Ok((1..=2).map(letter).take(limit as usize).collect())
    }

    async fn dead_letter(&self, at: Position) -> Result<DeadLetter, Failure> {
        self.note_dead(format!("get {at}"))?;
        Ok(letter(at.offset.0))
    }

    async fn replay_dead_letter(&self, at: Position) -> Result<(), Failure> {
        self.note_dead(format!("replay {at}"))
    }

    async fn drop_dead_letter(&self, at: Position) -> Result<(), Failure> {
        self.note_dead(format!("drop {at}"))
    }

    fn ready(&self) -> Result<(), String> {
        self.waits_for.lock().clone().map_or(Ok(()), Err)
    }

    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}
