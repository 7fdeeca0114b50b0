//! Every answer a client got is true: it was durable when given, and it fits one order of all that
//! happened to its account, in which nothing comes before what was answered earlier.

use super::super::clients::{Attempt, Op, ReadResult, ReadTry, Stamp};
use super::super::history::Shown;
use super::super::model::{Expected, ModelAccount};
use super::super::world::World;
use super::ensure;
use super::replay::{Ran, Replayed, Version};
use crate::env::Clock;
use crate::lane::input::ReadKind;
use crate::outcome::{Class, Failure, Outcome};
use crate::request::{Applied, EventsPage, ReadAnswer};

/// What somebody has been told of: the account's version must not be older for those who ask later.
struct Seen<'a> {
    account: &'a str,
    at: Stamp,
    version: usize,
}

struct Answers<'a> {
    replayed: &'a Replayed,
    world: &'a World,
    seen: Vec<Seen<'a>>,
}

/// Checks every answer.
pub fn check(world: &World, replayed: &Replayed) -> Result<Shown, String> {
    let mut answers = Answers { replayed, world, seen: Vec::new() };
    answers.collect_seen()?;
    let mut shown = Shown { records: replayed.records, ..Shown::default() };
    for (at, attempt) in world.clients.attempts.iter().enumerate() {
        let op = &world.clients.ops[attempt.op];
        let Some((stamp, _, result)) = &attempt.answer else {
            ensure!(attempt.lost, "attempt {at} of {} was never answered", op.id);
            continue;
        };
        match result {
            Ok(_) => shown.applied += 1,
            Err(failure) if failure.outcome == Outcome::Refused => shown.refused += 1,
            Err(_) => {}
        }
        let checked = match result {
            Ok(applied) => answers.check_applied(op, attempt, *stamp, applied),
            Err(failure) => answers.check_failure(op, attempt, *stamp, failure),
        };
        checked.map_err(|why| format!("attempt {at} of {op:?} ({attempt:?}): {why}"))?;
    }
    for (at, op) in world.clients.ops.iter().enumerate() {
        answers.check_op(at, op)?;
    }
    for (at, read) in world.clients.reads.iter().enumerate() {
        let Some((stamp, result)) = &read.answer else {
            ensure!(read.lost, "read {at} was never answered");
            continue;
        };
        shown.reads += 1;
        let checked = match result {
            ReadResult::Value(result) => answers.check_read(read, *stamp, result.as_ref()),
            ReadResult::Page(Ok(page)) => answers.check_page(read, *stamp, page),
            ReadResult::Page(Err(failure)) => answers.check_read(read, *stamp, Err(failure)),
        };
        checked.map_err(|why| format!("read {at} ({read:?}): {why}"))?;
    }
    Ok(shown)
}

impl<'a> Answers<'a> {
    fn versions(&self, account: &str) -> &[Version] {
        self.replayed.versions.get(account).map_or(&[], |versions| versions)
    }

    fn collect_seen(&mut self) -> Result<(), String> {
        for attempt in &self.world.clients.attempts {
            let Some((stamp, _, Ok(_))) = &attempt.answer else { continue };
            let op = &self.world.clients.ops[attempt.op];
            let ran = self.replayed.ran.get(&attempt.op);
            let ran = ran.ok_or_else(|| format!("{} was answered applied and is not in the log", op.id))?;
            self.seen.push(Seen { account: &op.account, at: *stamp, version: ran.version });
        }
        for read in &self.world.clients.reads {
            if let Some((stamp, ReadResult::Value(Ok(answer)))) = &read.answer
                && matches!(read.what, ReadKind::State | ReadKind::Query { .. })
                && let Some(version) = self.version_at(&read.account, answer.position.offset.0)
            {
                self.seen.push(Seen { account: &read.account, at: *stamp, version });
            }
        }
        Ok(())
    }

    fn version_at(&self, account: &str, offset: u64) -> Option<usize> {
        let versions = self.versions(account);
        versions.iter().skip(1).position(|version| version.offset == offset).map(|at| at + 1)
    }

    /// The versions an answer may rest on: what was told before it was asked for, up to what was
    /// durable when it was given.
    fn window(&self, account: &str, sent: Stamp, answered: Stamp) -> std::ops::RangeInclusive<usize> {
        let seen = self.seen.iter().filter(|seen| seen.account == account && seen.at < sent);
        let first = seen.map(|seen| seen.version).max().unwrap_or(0);
        let durable = self.versions(account).iter().filter(|version| version.stamp <= answered).count();
        first..=durable.saturating_sub(1)
    }

    fn account(&self, account: &str, version: usize) -> ModelAccount {
        self.versions(account).get(version).map(|version| version.account.clone()).unwrap_or_default()
    }

    fn check_applied(
        &self,
        op: &Op,
        attempt: &Attempt,
        stamp: Stamp,
        applied: &Applied,
    ) -> Result<(), String> {
        let ran = &self.replayed.ran[&attempt.op];
        ensure!(
            op.payloads[ran.payload] == op.payloads[attempt.payload],
            "it got the answer of another payload"
        );
        ensure!(applied.reply == ran.record.reply, "the log has reply {:?}", ran.record.reply);
        ensure!(applied.seq.0 == ran.record.seq, "the log has seq {}", ran.record.seq);
        let place = (applied.position.bucket.0, applied.position.offset.0);
        ensure!(place == (ran.bucket, ran.offset), "the log has it at {}:{}", ran.bucket, ran.offset);
        let names = ran.record.events.iter().map(|event| event.name.as_str());
        ensure!(applied.events.iter().map(|name| &**name).eq(names), "the log has other events");
        let made = &self.versions(&ran.account)[ran.version];
        ensure!(made.stamp <= stamp, "it was answered before it was durable");
        self.check_until(op, attempt, stamp, applied, ran)
    }

    fn check_until(
        &self,
        op: &Op,
        attempt: &Attempt,
        stamp: Stamp,
        applied: &Applied,
        ran: &Ran,
    ) -> Result<(), String> {
        let Some((names, wait_ms)) = &op.until else {
            ensure!(applied.event.is_none(), "nobody waited for an event");
            return Ok(());
        };
        let wanted = |name: &str| names.iter().any(|wanted| **wanted == *name);
        let later = self.versions(&ran.account)[ran.version..].iter();
        let mut events = later.flat_map(|version| version.events.iter().map(move |event| (version, event)));
        let first = events.clone().find(|(_, (_, event))| wanted(&event.name));
        let Some(event) = &applied.event else {
            let in_own = first.is_some_and(|(version, _)| version.offset == ran.offset);
            ensure!(!in_own, "its own record has the event");
            if self.world.profile.is_calm() && op.attempts.len() == 1 {
                let early = first.is_some_and(|(version, _)| version.stamp < stamp);
                ensure!(!early, "the event came before the wait ended");
                let waited = attempt.answer.as_ref().map_or(0, |answer| answer.1) - attempt.sent_ms;
                ensure!(waited >= *wait_ms, "it waited only {waited} ms");
            }
            return Ok(());
        };
        let found = events.find(|(_, (seq, _))| *seq == event.seq.0);
        let (version, (_, entry)) = found.ok_or("the log has no such event after the command")?;
        ensure!(wanted(&entry.name) && *entry.name == *event.name, "the log has {}", entry.name);
        ensure!(entry.payload == event.payload, "the log has {:?}", entry.payload);
        ensure!(event.position.offset.0 == version.offset, "the log has it at {}", version.offset);
        ensure!(version.stamp <= stamp, "the event was told before it was durable");
        if op.attempts.len() == 1 {
            let first = first.map_or(0, |(_, (seq, _))| *seq);
            ensure!(first == event.seq.0, "the first such event has seq {first}");
        }
        Ok(())
    }

    fn check_failure(
        &self,
        op: &Op,
        attempt: &Attempt,
        stamp: Stamp,
        failure: &Failure,
    ) -> Result<(), String> {
        let ran = self.replayed.ran.get(&attempt.op);
        if failure.code == "CommandIdReused" {
            let ran = ran.ok_or("the command id was never used")?;
            let made = &self.versions(&ran.account)[ran.version];
            ensure!(made.stamp <= stamp, "nobody could know yet");
            ensure!(op.payloads[ran.payload] != op.payloads[attempt.payload], "the payload is the same");
            return Ok(());
        }
        let refused = failure.outcome == Outcome::Refused;
        if !refused && failure.class != Class::Script {
            ensure!(failure.outcome == Outcome::NotApplied, "a lane always knows");
            ensure!(
                failure.class != Class::Deadline || attempt.deadline_ms < self.world.clock.now_ms(),
                "not late"
            );
            return Ok(());
        }
        let args = &op.payloads[attempt.payload];
        let window = self.window(&op.account, attempt.sent, stamp);
        let fits = window.clone().any(|version| {
            let known = ran.is_some_and(|ran| ran.version <= version);
            let expected = self.account(&op.account, version).expect(op.name, args, 0);
            !known
                && match expected {
                    Expected::Refused { code, message } => {
                        refused && code == failure.code && message == failure.message
                    }
                    Expected::Threw(message) => !refused && failure.message.ends_with(&message),
                    Expected::Applied(_) => false,
                }
        });
        ensure!(fits, "no version of the account in {window:?} refuses it so");
        Ok(())
    }

    /// What no attempt of a command applied is not in the log.
    fn check_op(&self, at: usize, op: &Op) -> Result<(), String> {
        let mut attempts = op.attempts.iter().map(|&at| &self.world.clients.attempts[at]);
        let surely_not = attempts.all(|attempt| matches!(&attempt.answer, Some((_, _, Err(_)))));
        let ran = self.replayed.ran.contains_key(&at);
        ensure!(!(ran && surely_not), "{op:?} is in the log, but every answer said that it is not");
        Ok(())
    }

    fn check_read(
        &self,
        read: &ReadTry,
        stamp: Stamp,
        result: Result<&ReadAnswer, &Failure>,
    ) -> Result<(), String> {
        let mut window = self.window(&read.account, read.sent, stamp);
        if !read.strong {
            window = 0..=*window.end();
        }
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return self.check_read_failure(read, failure, window),
        };
        let value: serde_json::Value =
            serde_json::from_slice(&answer.value).map_err(|error| error.to_string())?;
        let state = |account: &ModelAccount| match read.what {
            ReadKind::Query { .. } => serde_json::json!(account.state.balance),
            _ => serde_json::to_value(&account.state).unwrap_or_default(),
        };
        if let ReadKind::StateAt(seq) = read.what {
            ensure!(answer.seq == seq, "it asked for {seq:?}");
            // A record with several events may be read between them: only whole ones are compared.
            let whole = self.versions(&read.account).iter().find(|version| version.account.seq == seq.0);
            return match whole {
                Some(version) if version.account.exists && !version.events.is_empty() => {
                    ensure!(value == state(&version.account), "it was {:?}", version.account.state);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        let version = self.version_at(&read.account, answer.position.offset.0);
        let version = version.ok_or("the log has no such record of the account")?;
        ensure!(window.contains(&version), "it is version {version}, which is not in {window:?}");
        let account = self.account(&read.account, version);
        ensure!(answer.seq.0 == account.seq, "its seq is {}", account.seq);
        ensure!(value == state(&account), "it was {:?}", account.state);
        Ok(())
    }

    fn check_read_failure(
        &self,
        read: &ReadTry,
        failure: &Failure,
        mut window: std::ops::RangeInclusive<usize>,
    ) -> Result<(), String> {
        ensure!(failure.outcome != Outcome::Unknown, "a read has no effect");
        let fits = match (failure.code.as_str(), &read.what) {
            ("UnknownActor", _) => window.any(|version| !self.account(&read.account, version).exists),
            ("UnknownSeq", ReadKind::StateAt(seq)) => {
                window.any(|version| seq.0 == 0 || self.account(&read.account, version).seq < seq.0)
            }
            _ => failure.retry_after_ms.is_some(),
        };
        ensure!(fits, "no version of the account says {failure}");
        Ok(())
    }

    fn check_page(&self, read: &ReadTry, stamp: Stamp, page: &EventsPage) -> Result<(), String> {
        let ReadKind::Events { from, limit } = read.what else { return Err("it asked for no page".into()) };
        let window = self.window(&read.account, read.sent, stamp);
        let versions = self.versions(&read.account);
        let wanted = |upto: usize| {
            let events = versions.iter().take(upto + 1).flat_map(|version| {
                version
                    .events
                    .iter()
                    .map(move |(seq, event)| (*seq, version.offset, event.name.as_str(), &event.payload))
            });
            events.filter(move |event| event.0 >= from.0.max(1)).take(limit as usize).collect::<Vec<_>>()
        };
        let found: Vec<_> = page
            .events
            .iter()
            .map(|event| (event.seq.0, event.position.offset.0, &*event.name, &event.payload))
            .collect();
        let first = if read.strong { *window.start() } else { 0 };
        let fits = (first..=*window.end()).any(|version| wanted(version) == found);
        ensure!(fits, "no version in {window:?} has this page; the last has {:?}", wanted(*window.end()));
        Ok(())
    }
}
