//! Single lanes driven by hand, for what random histories meet too seldom.

use bytes::Bytes;
use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

use super::account::{AccountEngine, Args, json, source};
use super::process::SPACE;
use crate::ids::{ActorKey, Bucket, TypeId};
use crate::lane::bucket::BucketBoot;
use crate::lane::input::{DeliveryAnswer, DeliveryOutcome, Loaded, ReadInput, ReadKind};
use crate::lane::output::Reply;
use crate::lane::row::Row;
use crate::lane::work::Token;
use crate::lane::{Input, Lane, LaneConfig, Output, TypeSettings};
use crate::request::Consistency;
use crate::store::key::Keys;
use crate::store::{StoreError, Write, record};

struct Hand {
    lane: Lane<AccountEngine>,
    now_ms: u64,
}

impl Hand {
    fn new() -> Self {
        let config = LaneConfig {
            space: SPACE,
            keys: Keys::new("default/bank"),
            hot_actors_max: 10,
            memory_bytes_max: 1 << 20,
            seed: 1,
            deliveries: crate::lane::DeliveryLimits::default(),
        };
        let settings = TypeSettings { snapshot_every_events: 100, idle_ms: 100_000, mailbox_commands: 10 };
        let lane = Lane::new(config, AccountEngine, vec![(source(), settings)]).expect("accounts load");
        Self { lane, now_ms: 1_000 }
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        self.lane.handle(self.now_ms, input);
        self.lane.flush();
        let mut outputs = Vec::new();
        self.lane.drain(&mut outputs);
        outputs
    }

    /// Gives an input, and answers every load with an open account.
    fn give_loading(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = self.give(input);
        while let Some(at) = outputs.iter().position(|output| matches!(output, Output::Load { .. })) {
            let Output::Load { load, .. } = outputs.remove(at) else { continue };
            let result = Ok(open_account());
            outputs.extend(self.give(Input::Loaded { load, result }));
        }
        outputs
    }
}

fn open_account() -> Loaded {
    let event =
        rec::EventEntry { name: "Opened".into(), payload: json(&Args { amount: 5, ..Args::default() }) };
    let opened = rec::Record { seq: 1, events: vec![event], ..rec::Record::default() };
    let mut row = Row::default();
    row.apply(0, &opened);
    Loaded { row: Some(row), snapshot: None, records: vec![opened] }
}

/// Bucket 0 with one message that waits for its outcome.
fn boot(timers_until_ms: u64) -> Input {
    let name = |id: &str| Some(rec::ActorName { r#type: 0, id: id.into() });
    let message = rec::MessageEntry {
        target: name("a1"),
        command: "credit".into(),
        payload: json(&Args { amount: 1, ..Args::default() }),
        on_refused: "refund".into(),
        ..rec::MessageEntry::default()
    };
    let entry = rec::OutboxEntry { message: Some(message), source: name("a0") };
    Input::Adopt(Box::new(BucketBoot {
        owner: Bytes::from_static(b"owner"),
        head_value: rec::Head { next_offset: 1, ..rec::Head::default() },
        checkpoint_offset: 1,
        outbox: vec![((0, 0), entry)],
        timers_until_ms,
        ..BucketBoot::default()
    }))
}

fn refused() -> Input {
    let outcome = DeliveryOutcome::Refused { code: "No".into(), message: "no".into() };
    Input::Answered(DeliveryAnswer { source_bucket: Bucket(0), offset: 0, n: 0, outcome })
}

/// How many refunds the commits among some outputs record.
fn refunds(outputs: &[Output]) -> usize {
    let commits = outputs.iter().filter_map(|output| match output {
        Output::Commit { tx, .. } => Some(tx),
        _ => None,
    });
    let values = commits.flat_map(|tx| &tx.writes).filter_map(|write| match write {
        Write::Set { value, .. } => record::decode::<rec::Record>(value).ok(),
        _ => None,
    });
    values.filter(|record| matches!(record.cause, Some(Cause::Refusal(_)))).count()
}

fn commit_of(outputs: &[Output]) -> u64 {
    let batch = outputs.iter().find_map(|output| match output {
        Output::Commit { batch, .. } => Some(*batch),
        _ => None,
    });
    batch.expect("a commit starts")
}

fn is_dropped(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Dropped { released: true, .. }))
}

#[test]
fn a_refusal_that_waits_to_be_retried_is_forgotten_with_its_bucket() {
    let mut hand = Hand::new();
    hand.give(boot(u64::MAX / 2));
    let batch = commit_of(&hand.give_loading(refused()));
    let result = Err(StoreError::Unavailable { reason: "not now".into() });
    hand.give(Input::Committed { batch, result });
    assert!(is_dropped(&hand.give(Input::Release(Bucket(0)))));

    // The same lane gets the bucket again, and hears of the refusal again.
    hand.give(boot(u64::MAX / 2));
    let mut outputs = hand.give_loading(refused());
    hand.now_ms += 100;
    outputs.extend(hand.give_loading(Input::Tick));
    let batch = commit_of(&outputs);
    outputs.extend(hand.give_loading(Input::Committed { batch, result: Ok(()) }));
    assert_eq!(refunds(&outputs), 1);
}

#[test]
fn timers_read_for_an_earlier_stay_of_a_bucket_are_not_taken() {
    let mut hand = Hand::new();
    hand.give(boot(2_000));
    hand.now_ms += 1_000;
    let outputs = hand.give(Input::Tick);
    let read = outputs.iter().find_map(|output| match output {
        Output::LoadTimers { bucket, until_ms, .. } => Some((*bucket, *until_ms)),
        _ => None,
    });
    let (bucket, until_ms) = read.expect("the horizon is widened");
    assert!(is_dropped(&hand.give(Input::Release(Bucket(0)))));
    hand.give(boot(90_000));
    let error = Err(StoreError::Unavailable { reason: "not now".into() });
    for result in [Ok(Vec::new()), error] {
        hand.give(Input::TimersLoaded { bucket, until_ms, result });
        assert_eq!(hand.lane.buckets[&bucket].derived.timers_until_ms, 90_000);
    }
}

#[test]
fn a_read_of_what_the_store_did_not_take_is_answered_from_what_it_has() {
    let mut hand = Hand::new();
    hand.give(boot(u64::MAX / 2));
    let batch = commit_of(&hand.give_loading(refused()));
    let read = ReadInput {
        key: ActorKey { type_id: TypeId(0), id: "a0".into() },
        bucket: Bucket(0),
        what: ReadKind::State,
        consistency: Consistency::default(),
        deadline_ms: u64::MAX,
        claims: None,
        token: Token(7),
    };
    let mut outputs = hand.give(Input::Read(read));
    let result = Err(StoreError::Unavailable { reason: "not now".into() });
    outputs.extend(hand.give_loading(Input::Committed { batch, result }));
    while let Some(at) = outputs.iter().position(|output| matches!(output, Output::CheckSession { .. })) {
        let Output::CheckSession { check } = outputs.remove(at) else { continue };
        outputs.extend(hand.give_loading(Input::SessionChecked { check, result: Ok(true) }));
    }
    let answers: Vec<_> = outputs.iter().filter(|output| matches!(output, Output::Reply(..))).collect();
    assert!(
        matches!(&answers[..], [Output::Reply(Token(7), Reply::Read(Ok(answer)))] if answer.seq == crate::ids::Seq(1)),
        "{answers:?}"
    );
}
