//! Clients: random commands with ids, retried while unanswered or not applied, repeated after success
//! and now and then with another payload; and reads. Everything sent and answered is written down with
//! the instant it happened at, for the checker.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand::rngs::SmallRng;

use super::account::{Args, CURSED_AMOUNT};
use crate::ids::Seq;
use crate::lane::input::ReadKind;
use crate::lane::output::Reply;
use crate::lane::work::Token;
use crate::outcome::{Failure, Outcome};
use crate::request::{Applied, EventsPage, ReadAnswer};

/// An instant of a history: grows with everything that happens.
pub type Stamp = u64;

/// A command as its client means it.
#[derive(Debug)]
pub struct Op {
    pub id: Arc<str>,
    pub account: String,
    pub name: &'static str,
    /// What it was sent with; a client that goes wrong sends others later.
    pub payloads: Vec<Args>,
    /// Events to wait for, and how long.
    pub until: Option<(Vec<Arc<str>>, u64)>,
    pub attempts: Vec<usize>,
}

/// One sending of a command.
#[derive(Debug)]
pub struct Attempt {
    pub op: usize,
    pub payload: usize,
    pub process: u32,
    pub sent: Stamp,
    pub sent_ms: u64,
    pub deadline_ms: u64,
    pub answer: Option<(Stamp, u64, Result<Applied, Failure>)>,
    /// The process died before it answered.
    pub lost: bool,
}

/// One read.
#[derive(Debug)]
pub struct ReadTry {
    pub account: String,
    pub what: ReadKind,
    pub strong: bool,
    pub process: u32,
    pub sent: Stamp,
    pub answer: Option<(Stamp, ReadResult)>,
    pub lost: bool,
}

/// The answer to a read.
#[derive(Debug)]
pub enum ReadResult {
    Value(Result<ReadAnswer, Failure>),
    Page(Result<EventsPage, Failure>),
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    Command { op: usize, payload: usize },
    Read(usize),
}

#[derive(Clone, Copy)]
enum Waits {
    Attempt(usize),
    Read(usize),
}

/// All clients together.
#[derive(Default)]
pub struct Clients {
    pub ops: Vec<Op>,
    pub attempts: Vec<Attempt>,
    pub reads: Vec<ReadTry>,
    waiting: BTreeMap<u64, Waits>,
    next_token: u64,
    /// Reads are of pages of history, all of it.
    pages_only: bool,
    /// What goes against the rules of answering at all.
    pub violations: Vec<String>,
}

impl Clients {
    /// Clients that have sent nothing; on demand they read nothing but whole pages of history.
    pub fn new(pages_only: bool) -> Self {
        Self { pages_only, ..Self::default() }
    }

    /// How many answers are awaited.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// Chooses what to do next.
    pub fn next(&mut self, rng: &mut SmallRng, accounts: usize) -> Next {
        let roll = rng.random_range(0..100);
        if roll < 22 {
            return self.new_read(rng, accounts);
        }
        if roll < 45 && !self.ops.is_empty() {
            // Recent ones mostly: that is when retries happen.
            let back = rng.random_range(0..self.ops.len().min(8));
            let op = self.ops.len() - 1 - back;
            if rng.random_ratio(1, 10) {
                let mut other = self.ops[op].payloads[0].clone();
                other.amount += 1_000;
                self.ops[op].payloads.push(other);
                return Next::Command { op, payload: self.ops[op].payloads.len() - 1 };
            }
            return Next::Command { op, payload: 0 };
        }
        self.new_command(rng, accounts)
    }

    fn new_command(&mut self, rng: &mut SmallRng, accounts: usize) -> Next {
        let account = format!("a{}", rng.random_range(0..accounts));
        let mut args = Args { amount: rng.random_range(1..60), ..Args::default() };
        let name = match rng.random_range(0..100) {
            0..15 => "open",
            15..35 => "deposit",
            35..45 => "withdraw",
            45..70 => {
                args.to = format!("a{}", rng.random_range(0..accounts));
                args.amount = if rng.random_ratio(1, 12) { CURSED_AMOUNT } else { rng.random_range(1..20) };
                args.parts = if rng.random_ratio(1, 4) { 2 } else { 1 };
                args.deaf = rng.random_ratio(1, 8);
                "transfer"
            }
            70..75 => "note",
            75..85 => {
                args.name = format!("t{}", rng.random_range(0..3));
                args.after = [1, 100, 700, 3_000, 20_000, 90_000][rng.random_range(0..6)];
                "schedule"
            }
            85..90 => {
                args.name = format!("t{}", rng.random_range(0..3));
                "cancel"
            }
            90..95 => "close",
            _ => "boom",
        };
        let until = rng.random_ratio(1, 8).then(|| {
            let event = ["Credited", "Ticked", "Deposited", "Refunded"][rng.random_range(0..4)];
            (vec![Arc::from(event)], [50, 400, 3_000][rng.random_range(0..3)])
        });
        let id = format!("c{}", self.ops.len()).into();
        self.ops.push(Op { id, account, name, payloads: vec![args], until, attempts: Vec::new() });
        Next::Command { op: self.ops.len() - 1, payload: 0 }
    }

    fn new_read(&mut self, rng: &mut SmallRng, accounts: usize) -> Next {
        let account = format!("a{}", rng.random_range(0..accounts));
        let what = match rng.random_range(0..10) {
            _ if self.pages_only => ReadKind::Events { from: Seq(1), limit: 1_000 },
            0..5 => ReadKind::State,
            5..7 => ReadKind::Query { name: "balance".into(), args: "null".into() },
            7 => ReadKind::StateAt(Seq(rng.random_range(0..12))),
            _ => ReadKind::Events { from: Seq(rng.random_range(0..6)), limit: rng.random_range(1..30) },
        };
        let strong = !rng.random_ratio(1, 6);
        self.add_read(account, what, strong)
    }

    /// A read of one's own choice.
    pub fn add_read(&mut self, account: String, what: ReadKind, strong: bool) -> Next {
        let read = ReadTry { account, what, strong, process: 0, sent: 0, answer: None, lost: false };
        self.reads.push(read);
        Next::Read(self.reads.len() - 1)
    }

    /// Writes down that a command was sent.
    pub fn sent(&mut self, attempt: Attempt) -> Token {
        self.ops[attempt.op].attempts.push(self.attempts.len());
        self.attempts.push(attempt);
        self.wait(Waits::Attempt(self.attempts.len() - 1))
    }

    /// Writes down that a read was sent.
    pub fn read_sent(&mut self, read: usize, process: u32, now: Stamp) -> Token {
        self.reads[read].process = process;
        self.reads[read].sent = now;
        self.wait(Waits::Read(read))
    }

    fn wait(&mut self, waits: Waits) -> Token {
        self.next_token += 1;
        self.waiting.insert(self.next_token, waits);
        Token(self.next_token)
    }

    /// Writes down an answer.
    pub fn answered(&mut self, token: Token, reply: Reply, now: Stamp, now_ms: u64) {
        match (self.waiting.remove(&token.0), reply) {
            (Some(Waits::Attempt(at)), Reply::Command(result)) => {
                self.attempts[at].answer = Some((now, now_ms, result));
            }
            (Some(Waits::Read(at)), Reply::Read(result)) => {
                self.reads[at].answer = Some((now, ReadResult::Value(result)));
            }
            (Some(Waits::Read(at)), Reply::Events(result)) => {
                self.reads[at].answer = Some((now, ReadResult::Page(result)));
            }
            (waits, reply) => {
                let known = waits.is_some();
                self.violations.push(format!("{token:?} (known: {known}) got a stray answer {reply:?}"));
            }
        }
    }

    /// A process is no more: who waits for it never hears.
    pub fn process_died(&mut self, process: u32) {
        let Self { waiting, attempts, reads, .. } = self;
        waiting.retain(|_, waits| {
            let lost = match *waits {
                Waits::Attempt(at) if attempts[at].process == process => &mut attempts[at].lost,
                Waits::Read(at) if reads[at].process == process => &mut reads[at].lost,
                _ => return true,
            };
            *lost = true;
            false
        });
    }

    /// Commands that a stubborn client still wants an answer to: lost, or not applied and worth
    /// another try.
    pub fn unsettled(&self) -> Vec<usize> {
        (0..self.ops.len())
            .filter(|&at| {
                let attempts = self.ops[at].attempts.iter().map(|&at| &self.attempts[at]);
                let mut attempts = attempts.filter(|attempt| attempt.payload == 0);
                let settles = |attempt: &Attempt| match &attempt.answer {
                    Some((_, _, Ok(_))) => true,
                    Some((_, _, Err(failure))) => {
                        failure.outcome == Outcome::Refused || failure.retry_after_ms.is_none()
                    }
                    None => !attempt.lost,
                };
                attempts.next_back().is_some_and(|last| !settles(last))
            })
            .collect()
    }
}
