//! The log, replayed record by record through the model: each record is what the model says its cause
//! leaves, each cause is there once, messages and timers come in order and come to an end.

use std::collections::{BTreeMap, BTreeSet};

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

use super::super::account::{Args, json};
use super::super::clients::Stamp;
use super::super::model::{Effect, Expected, ModelAccount};
use super::super::process::BUCKETS;
use super::super::world::World;
use super::ensure;
use crate::env::Clock;
use crate::ids::Bucket;
use crate::lane::turn::payload_hash;
use crate::store::record;

/// An account as it was after one of its records.
#[derive(Clone)]
pub struct Version {
    pub offset: u64,
    pub stamp: Stamp,
    pub account: ModelAccount,
    /// Events with their sequence numbers.
    pub events: Vec<(u64, rec::EventEntry)>,
}

/// A client's command in the log.
pub struct Ran {
    pub account: String,
    /// Which version of the account it made.
    pub version: usize,
    pub payload: usize,
    pub record: rec::Record,
    pub bucket: u32,
    pub offset: u64,
}

/// Names a message: bucket, offset, number.
type MessageId = (u32, u64, u32);

/// What the log says.
#[derive(Default)]
pub struct Replayed {
    /// Versions by account; the first is from before its first record.
    pub versions: BTreeMap<String, Vec<Version>>,
    /// What ran, by command.
    pub ran: BTreeMap<usize, Ran>,
    pub records: usize,
    /// Outcome of each message: when it was recorded, and whether it was refused.
    outcomes: BTreeMap<MessageId, (Stamp, bool)>,
    /// Messages whose refusal was heard.
    heard: BTreeSet<MessageId>,
    acked: BTreeMap<MessageId, Stamp>,
    /// The last message taken of each pair.
    pairs: BTreeMap<(u32, String, String), (u64, u32)>,
    /// Low-water marks as logged: target, source, mark, when.
    low_waters: Vec<(u32, u32, u64, Stamp)>,
    told: BTreeMap<MessageId, (rec::MessageEntry, String)>,
    /// Money that was paid in, less what was paid out or lies in dead letters.
    paid_in: i64,
}

/// Replays the log of a world.
pub fn replay(world: &World) -> Result<Replayed, String> {
    let logs = read_logs(world)?;
    let mut replayed = Replayed::default();
    for (bucket, log) in (0u32..).zip(&logs) {
        for (offset, record, _) in log {
            let source = record.actor.as_ref().map(|actor| actor.id.clone()).unwrap_or_default();
            for (n, message) in (0u32..).zip(&record.messages) {
                replayed.told.insert((bucket, *offset, n), (message.clone(), source.clone()));
            }
        }
    }
    let ids: BTreeMap<String, usize> =
        world.clients.ops.iter().enumerate().map(|(at, op)| (op.id.to_string(), at)).collect();
    for (bucket, log) in (0u32..).zip(&logs) {
        let mut time_ms = 0;
        for (offset, record, stamp) in log {
            ensure!(record.time_ms >= time_ms, "record {bucket}:{offset} is before its predecessor");
            time_ms = record.time_ms;
            let place = Place { bucket, offset: *offset, stamp: *stamp };
            replayed
                .record(world, &ids, place, record)
                .map_err(|why| format!("record {bucket}:{offset} ({record:?}): {why}"))?;
            replayed.records += 1;
        }
    }
    Ok(replayed)
}

/// Records of one bucket with their offsets, and when they became durable.
type Log = Vec<(u64, rec::Record, Stamp)>;

fn read_logs(world: &World) -> Result<Vec<Log>, String> {
    let mut logs = Vec::new();
    for bucket in 0..BUCKETS {
        let range = world.keys.log_range(Bucket(bucket), crate::ids::Offset(0), None);
        let mut log = Vec::new();
        for (expected, (key, value)) in (0u64..).zip(world.store.dump_range(&range)) {
            let (_, offset) = world.keys.parse_log(&key).map_err(|error| error.to_string())?;
            ensure!(offset.0 == expected, "bucket {bucket} has record {} where {expected} is due", offset.0);
            let stamp = world.log.get(&(bucket, offset.0)).map_or(0, |logged| logged.stamp);
            log.push((offset.0, record::decode(&value).map_err(|error| error.to_string())?, stamp));
        }
        let head = world.row(&world.keys.head(Bucket(bucket))).unwrap_or_default();
        let head: rec::Head = record::decode(&head).map_err(|error| error.to_string())?;
        ensure!(
            head.next_offset == log.len() as u64,
            "bucket {bucket} has {} records; its head says {}",
            log.len(),
            head.next_offset
        );
        ensure!(
            !world.log.keys().any(|(b, offset)| *b == bucket && *offset >= log.len() as u64),
            "a durable record of bucket {bucket} is gone"
        );
        logs.push(log);
    }
    Ok(logs)
}

/// Whether the store holds a timer.
pub fn timers_pending(world: &World) -> bool {
    (0..BUCKETS).any(|bucket| {
        !world.store.dump_range(&world.keys.timer_range(Bucket(bucket), 0, u64::MAX)).is_empty()
    })
}

#[derive(Clone, Copy)]
struct Place {
    bucket: u32,
    offset: u64,
    stamp: Stamp,
}

fn args_of(payload: &[u8]) -> Result<Args, String> {
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}

impl Replayed {
    fn record(
        &mut self,
        world: &World,
        ids: &BTreeMap<String, usize>,
        place: Place,
        record: &rec::Record,
    ) -> Result<(), String> {
        for ack in &record.acks {
            let id = (place.bucket, ack.offset, ack.n);
            ensure!(self.told.contains_key(&id), "it acknowledges a message that was never told");
            ensure!(self.acked.insert(id, place.stamp).is_none(), "it acknowledges {id:?} again");
        }
        for mark in &record.low_waters {
            self.low_waters.push((place.bucket, mark.source_bucket, mark.below, place.stamp));
        }
        let Some(actor) = &record.actor else {
            ensure!(record.events.is_empty(), "it has events and no actor");
            return Ok(());
        };
        let versions = self.versions.entry(actor.id.clone()).or_insert_with(|| vec![first_version()]);
        let mut account = versions[versions.len() - 1].account.clone();
        let version = versions.len();
        let (command, args) = match record.cause.as_ref().ok_or("it has no cause")? {
            Cause::Client(cause) => {
                let op = *ids.get(&cause.id).ok_or("nobody sent its command")?;
                let sent = &world.clients.ops[op];
                let hash_of = |args: &Args| payload_hash(sent.name, &json(args));
                let payload = sent.payloads.iter().position(|args| hash_of(args) == cause.payload_hash);
                let payload = payload.ok_or("nobody sent it with this payload")?;
                ensure!(sent.account == actor.id && record.command == sent.name, "it is of another account");
                let (account, bucket, offset) = (actor.id.clone(), place.bucket, place.offset);
                let ran = Ran { account, version, payload, record: record.clone(), bucket, offset };
                ensure!(self.ran.insert(op, ran).is_none(), "command {} was applied twice", cause.id);
                self.paid_in += match sent.name {
                    "open" | "deposit" => sent.payloads[payload].amount,
                    "withdraw" => -sent.payloads[payload].amount,
                    "close" => -account_balance(versions),
                    _ => 0,
                };
                (sent.name.to_owned(), sent.payloads[payload].clone())
            }
            Cause::Message(cause) => {
                let id = (cause.bucket, cause.offset, cause.n);
                let (message, source) = self.told.get(&id).ok_or("nobody told its message")?;
                let target = message.target.clone().unwrap_or_default();
                ensure!(target.id == actor.id, "its message was for {}", target.id);
                let pair = (cause.bucket, source.clone(), target.id);
                let before = self.pairs.insert(pair, (cause.offset, cause.n));
                ensure!(
                    before.is_none_or(|before| before < (cause.offset, cause.n)),
                    "it overtook {before:?}"
                );
                let refused = record.refused.is_some() && !message.on_refused.is_empty();
                let known = self.outcomes.insert(id, (place.stamp, refused));
                ensure!(known.is_none(), "message {id:?} has two outcomes");
                (message.command.clone(), args_of(&message.payload)?)
            }
            Cause::Timer(cause) => {
                let timer = account.timers.remove(&cause.name).ok_or("no such timer is pending")?;
                ensure!(timer.generation == cause.generation, "another timer of that name is pending");
                ensure!(record.time_ms >= timer.due_ms, "it is early: due at {}", timer.due_ms);
                ("tick".to_owned(), Args { amount: timer.amount, ..Args::default() })
            }
            Cause::Refusal(cause) => {
                let id = (place.bucket, cause.offset, cause.n);
                let (message, source) = self.told.get(&id).ok_or("nobody told its message")?;
                ensure!(*source == actor.id, "the message was told by {source}");
                ensure!(self.heard.insert(id), "the refusal of {id:?} came back twice");
                (message.on_refused.clone(), args_of(&message.payload)?)
            }
            Cause::Replay(_) => return Err("nobody replayed anything".to_owned()),
        };
        ensure!(record.command == command, "its command should be {command}");
        match account.expect(&command, &args, record.time_ms) {
            Expected::Applied(effect) => {
                ensure!(record.refused.is_none() && record.dead.is_none(), "it should have applied");
                check_effect(record, &effect)?;
                account.apply(place.offset, &effect);
            }
            Expected::Refused { code, message } => {
                let refused = record.refused.as_ref().ok_or("it should have been refused")?;
                ensure!(
                    refused.code == code && refused.message == message,
                    "it should say {code}: {message}"
                );
                self.unheard(record, &args);
            }
            Expected::Threw(_) => {
                ensure!(record.dead.is_some(), "it should be dead");
                self.unheard(record, &args);
            }
        }
        ensure!(record.seq == account.seq, "its seq should be {}", account.seq);
        let first = account.seq + 1 - record.events.len() as u64;
        let events = (first..).zip(record.events.iter().cloned()).collect();
        let (offset, stamp) = (place.offset, place.stamp);
        self.versions.entry(actor.id.clone()).or_default().push(Version { offset, stamp, account, events });
        Ok(())
    }

    /// Money that nobody takes lies in a dead letter.
    fn unheard(&mut self, record: &rec::Record, args: &Args) {
        let dead =
            record.dead.is_some() || record.refused.as_ref().is_some_and(|refused| refused.dead_letter);
        if dead && ["credit", "refund"].contains(&record.command.as_str()) {
            self.paid_in -= args.amount;
        }
    }

    /// Checks what holds when nothing is under way.
    pub fn check_rest(&self, world: &World) -> Result<(), String> {
        for (id, (message, _)) in &self.told {
            let (stamp, refused) = self.outcomes.get(id).ok_or(format!("message {id:?} has no outcome"))?;
            ensure!(
                *refused == self.heard.contains(id),
                "the refusal of {id:?} ({message:?}) was not heard rightly"
            );
            let acked = self.acked.get(id).ok_or(format!("message {id:?} is not acknowledged"))?;
            // A refusal that the sender's own lane hears may share a commit with nothing earlier.
            ensure!(stamp < acked, "message {id:?} was acknowledged before its outcome was durable");
        }
        for (target, source, below, stamp) in &self.low_waters {
            for (id, (message, _)) in &self.told {
                let to = message.target.as_ref().map_or("", |target| &target.id);
                let concerns = id.0 == *source && id.1 < *below;
                if concerns && super::super::process::SPACE.bucket_of(to).0 == *target {
                    let logged = self.acked.get(id).is_some_and(|acked| acked < stamp);
                    ensure!(logged, "bucket {target} forgot {id:?} before its acknowledgement was logged");
                }
            }
        }
        let now_ms = world.clock.now_ms();
        let mut balances = 0;
        for (id, versions) in &self.versions {
            let last = &versions[versions.len() - 1].account;
            balances += last.state.balance;
            let due = last.timers.values().find(|timer| timer.due_ms <= now_ms);
            ensure!(due.is_none(), "timer {due:?} of {id} did not fire");
        }
        ensure!(balances == self.paid_in, "accounts hold {balances}, {} was paid in", self.paid_in);
        Ok(())
    }
}

fn account_balance(versions: &[Version]) -> i64 {
    versions[versions.len() - 1].account.state.balance
}

fn first_version() -> Version {
    Version { offset: 0, stamp: 0, account: ModelAccount::default(), events: Vec::new() }
}

fn check_effect(record: &rec::Record, effect: &Effect) -> Result<(), String> {
    let amount = |payload: &[u8]| args_of(payload).map(|args| args.amount);
    let mut found = Effect { destroyed: record.destroyed, ..Effect::default() };
    found.reply = serde_json::from_slice(&record.reply).map_err(|error| error.to_string())?;
    for event in &record.events {
        found.events.push((event.name.clone(), amount(&event.payload)?));
    }
    for message in &record.messages {
        let to = message.target.clone().unwrap_or_default().id;
        found.messages.push((to, amount(&message.payload)?));
    }
    for timer in &record.timers {
        let amount = if timer.command.is_empty() { 0 } else { amount(&timer.payload)? };
        found.timers.push((timer.name.clone(), timer.due_ms, amount));
    }
    ensure!(found == *effect, "it should leave {effect:?}");
    Ok(())
}
