//! What reads give.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::store::Write;

pub async fn writes_are_read_after_the_commit(fixture: &Fixture) {
    assert_eq!(get(fixture, "a").await, None);
    put(fixture, &[("a", "1")]).await;
    assert_eq!(get(fixture, "a").await, Some(bytes("1")));
    let mut tx = Transaction::default();
    tx.clear(bytes("a"));
    fixture.store.commit(tx).await.expect("commits");
    assert_eq!(get(fixture, "a").await, None);
}

pub async fn a_snapshot_shows_one_instant(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("b", "1"), ("c", "1")]).await;
    let before = open(fixture).await;
    let mut tx = sets(&[("a", "2"), ("d", "2")]);
    tx.clear(bytes("b"));
    fixture.store.commit(tx).await.expect("commits");
    assert_eq!(rows(&*before, "a", "z").await, pairs(&[("a", "1"), ("b", "1"), ("c", "1")]));
    assert_eq!(before.get(b"b").await, Ok(Some(bytes("1"))));
    assert_eq!(before.get(b"d").await, Ok(None));
    let after = open(fixture).await;
    drop(before);
    put(fixture, &[("a", "3")]).await;
    assert_eq!(rows(&*after, "a", "z").await, pairs(&[("a", "2"), ("c", "1"), ("d", "2")]));
}

pub async fn a_snapshot_shows_every_durable_commit(fixture: &Fixture) {
    for round in 0..50 {
        let value = round.to_string();
        put(fixture, &[("n", &value)]).await;
        assert_eq!(get(fixture, "n").await, Some(bytes(&value)));
    }
}

pub async fn ranges_are_ordered_by_bytes(fixture: &Fixture) {
    let mut tx = Transaction::default();
    let keys: [&[u8]; 6] = [b"\x00", b"\x00\xff", b"a", b"a\x00", b"b", b"\xff\xfe"];
    keys.iter().rev().for_each(|key| tx.set(Bytes::from_static(key), bytes("v")));
    fixture.store.commit(tx).await.expect("commits");
    let all = Range { begin: Bytes::new(), end: Bytes::from_static(b"\xff\xff"), limit: 100, reverse: false };
    let rows = open(fixture).await.range(all).await.expect("reads");
    assert_eq!(rows.iter().map(|(key, _)| key.as_ref()).collect::<Vec<_>>(), keys);
}

pub async fn ranges_keep_their_bounds_limit_and_direction(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).await;
    let snapshot = open(fixture).await;
    assert_eq!(range(&*snapshot, "b", "d", 10, false).await, pairs(&[("b", "2"), ("c", "3")]));
    assert_eq!(range(&*snapshot, "b", "d", 10, true).await, pairs(&[("c", "3"), ("b", "2")]));
    assert_eq!(range(&*snapshot, "a", "z", 2, false).await, pairs(&[("a", "1"), ("b", "2")]));
    assert_eq!(range(&*snapshot, "a", "z", 2, true).await, pairs(&[("d", "4"), ("c", "3")]));
    assert_eq!(range(&*snapshot, "a", "z", 0, false).await, pairs(&[]));
    assert_eq!(range(&*snapshot, "b", "b", 10, false).await, pairs(&[]), "an empty range");
    assert_eq!(range(&*snapshot, "c", "b", 10, true).await, pairs(&[]), "a range turned round");
}

pub async fn the_last_write_of_a_key_wins(fixture: &Fixture) {
    let mut tx = sets(&[("a", "1"), ("a", "2"), ("b", "1")]);
    tx.clear(bytes("b"));
    tx.clear(bytes("c"));
    tx.set(bytes("c"), bytes("3"));
    tx.clear_range(bytes("d"), bytes("f"));
    tx.set(bytes("e"), bytes("4"));
    fixture.store.commit(tx).await.expect("commits");
    let expected = pairs(&[("a", "2"), ("c", "3"), ("e", "4")]);
    assert_eq!(rows(&*open(fixture).await, "a", "z").await, expected);
}

pub async fn cleared_ranges_are_empty(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]).await;
    let mut tx = sets(&[("bb", "new, and cleared by the same transaction")]);
    tx.clear_range(bytes("b"), bytes("d"));
    tx.clear_range(bytes("z"), bytes("a"));
    fixture.store.commit(tx).await.expect("commits");
    assert_eq!(rows(&*open(fixture).await, "a", "z").await, pairs(&[("a", "1"), ("d", "4")]));
}

pub async fn values_may_be_empty(fixture: &Fixture) {
    put(fixture, &[("a", "")]).await;
    assert_eq!(get(fixture, "a").await, Some(Bytes::new()), "an empty value is a value");
    let mut tx = Transaction::default();
    tx.check(bytes("a"), Some(Bytes::new()));
    assert_eq!(fixture.store.commit(tx).await, Ok(()));
}

/// Random transactions, against a plain map.
pub async fn the_store_is_as_a_map(fixture: &Fixture) {
    let key = || (0_u8..12).prop_map(|n| Bytes::from(format!("k{}", char::from(b'a' + n))));
    let write = prop_oneof![
        5 => (key(), any::<u8>()).prop_map(|(key, n)| Write::Set { key, value: Bytes::from(vec![n]) }),
        2 => key().prop_map(|key| Write::Clear { key }),
        1 => (key(), key()).prop_map(|(begin, end)| Write::ClearRange { begin, end }),
    ];
    let history = prop::collection::vec(prop::collection::vec(write, 1..6), 40);
    let mut runner = TestRunner::deterministic();
    for _ in 0..4 {
        let mut model = all(fixture).await;
        let history = history.new_tree(&mut runner).expect("generates").current();
        for writes in history {
            let old = (open(fixture).await, model.clone());
            writes.iter().for_each(|write| apply(&mut model, write));
            let tx = Transaction { checks: Vec::new(), writes: writes.clone() };
            fixture.store.commit(tx).await.expect("commits");
            assert_eq!(all(fixture).await, model, "after {writes:?}");
            assert_eq!(all_of(&*old.0).await, old.1, "an old snapshot after {writes:?}");
        }
    }
}

fn apply(model: &mut BTreeMap<Bytes, Bytes>, write: &Write) {
    match write {
        Write::Set { key, value } => drop(model.insert(key.clone(), value.clone())),
        Write::Clear { key } => drop(model.remove(key)),
        Write::ClearRange { begin, end } => model.retain(|key, _| key < begin || key >= end),
    }
}

async fn all(fixture: &Fixture) -> BTreeMap<Bytes, Bytes> {
    all_of(&*open(fixture).await).await
}

async fn all_of(snapshot: &dyn Snapshot) -> BTreeMap<Bytes, Bytes> {
    let range = Range { begin: bytes("k"), end: bytes("l"), limit: 1000, reverse: false };
    snapshot.range(range).await.expect("reads").into_iter().collect()
}
