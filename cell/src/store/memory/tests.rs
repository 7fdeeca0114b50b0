//! The suite for all drivers, and what only a simulation can see.

use futures_util::FutureExt;

use super::*;
use crate::env::ManualClock;
use crate::store::conformance::{Fixture, conformance};

fn fixture() -> Fixture {
    let clock = ManualClock::at(1_000);
    Fixture {
        store: Arc::new(MemoryStore::new(Arc::new(clock.clone()))),
        age_snapshots: Box::new(move || clock.advance_ms(STORE_SNAPSHOT_MS_MAX + 1)),
        keep: Box::new(()),
    }
}

mod suite {
    use super::fixture;
    super::conformance!(fixture);
}

fn simulated() -> MemoryStore {
    MemoryStore::simulated(Arc::new(ManualClock::at(0)))
}

fn key() -> Bytes {
    Bytes::from_static(b"k")
}

fn increment(from: Option<&'static str>, to: &'static str) -> Transaction {
    let mut tx = Transaction::default();
    tx.check(key(), from.map(Bytes::from));
    tx.set(key(), Bytes::from(to));
    tx
}

fn value(store: &MemoryStore) -> Option<Bytes> {
    store.dump().remove(&key())
}

fn complete_next(store: &MemoryStore, fate: Fate) -> bool {
    let next = store.pending().first().expect("an operation is pending").id;
    store.complete(next, fate)
}

#[test]
fn nothing_happens_until_it_is_completed() {
    let store = simulated();
    let mut snapshot = store.snapshot();
    let mut commit = store.commit(increment(None, "1"));
    assert!(snapshot.as_mut().now_or_never().is_none());
    assert!(commit.as_mut().now_or_never().is_none());
    assert_eq!(value(&store), None);
    let pending = store.pending();
    assert!(matches!(pending[0].kind, OpKind::Snapshot));
    assert!(matches!(&pending[1].kind, OpKind::Commit(tx) if **tx == increment(None, "1")));

    assert!(store.complete(pending[1].id, Fate::Proceed), "in whatever order");
    assert!(!store.complete(pending[1].id, Fate::Proceed), "once only");
    assert_eq!(commit.now_or_never(), Some(Ok(())));
    assert!(!store.complete(pending[0].id, Fate::Proceed));
    let snapshot = snapshot.now_or_never().expect("done").expect("opens");

    let mut get = snapshot.get(b"k");
    assert!(get.as_mut().now_or_never().is_none());
    complete_next(&store, Fate::Proceed);
    assert_eq!(get.now_or_never(), Some(Ok(Some(Bytes::from("1")))));
}

#[test]
fn each_fate_is_told_and_done() {
    let told = |fate: Fate| {
        let store = simulated();
        let commit = store.commit(increment(None, "1"));
        let applied = complete_next(&store, fate);
        assert_eq!(applied, value(&store).is_some(), "{fate:?}");
        (commit.now_or_never().expect("answered"), applied, store.late().len())
    };
    assert!(matches!(told(Fate::Proceed), (Ok(()), true, 0)));
    assert!(matches!(told(Fate::Conflict), (Err(StoreError::Conflict { .. }), false, 0)));
    assert!(matches!(told(Fate::UnknownNotApplied), (Err(StoreError::Unknown { .. }), false, 0)));
    assert!(matches!(told(Fate::UnknownApplied), (Err(StoreError::Unknown { .. }), true, 0)));
    assert!(matches!(told(Fate::UnknownLandsLater), (Err(StoreError::Unknown { .. }), false, 1)));
    assert!(matches!(told(Fate::Unavailable), (Err(StoreError::Unavailable { .. }), false, 0)));
    assert!(matches!(told(Fate::TooLarge), (Err(StoreError::TooLarge { .. }), false, 0)));
}

#[test]
fn a_late_transaction_lands_only_if_its_checks_hold_then() {
    let store = simulated();
    for (overtaken, expected) in [(false, "late"), (true, "2")] {
        store.delete_range(&KeyRange { begin: key(), end: Bytes::from("l") });
        drop(store.commit(increment(None, "late")));
        complete_next(&store, Fate::UnknownLandsLater);
        if overtaken {
            drop(store.commit(increment(None, "2")));
            complete_next(&store, Fate::Proceed);
        }
        let (late, _) = store.late().remove(0);
        assert_eq!(store.land(late), !overtaken);
        assert_eq!(value(&store), Some(Bytes::from(expected)));
        assert!(!store.land(late), "once only");
    }
}

#[test]
fn a_crash_drops_what_is_pending_and_the_store_goes_on() {
    let store = simulated();
    let read = store.snapshot();
    let commits = [increment(None, "1"), increment(Some("1"), "2"), increment(Some("1"), "3")];
    let answers = commits.map(|tx| store.commit(tx));
    let watch = store.watch(key());
    let mut fates = [AtCrash::Lands, AtCrash::Vanishes, AtCrash::LandsLater].into_iter();
    store.lose_all(|_| fates.next().expect("three commits"));

    assert!(matches!(read.now_or_never(), Some(Err(StoreError::Unavailable { .. }))));
    assert!(matches!(watch.now_or_never(), Some(Err(StoreError::Unavailable { .. }))));
    for answer in answers {
        assert!(matches!(answer.now_or_never(), Some(Err(StoreError::Unknown { .. }))));
    }
    assert_eq!(value(&store), Some(Bytes::from("1")));
    assert!(store.pending().is_empty());

    let next = store.clone();
    let (late, _) = next.late().remove(0);
    assert!(next.land(late));
    assert_eq!(value(&store), Some(Bytes::from("3")));
}

#[test]
fn reads_meet_their_fates_and_abandoned_ones_are_not_shown() {
    let store = simulated();
    let snapshot = store.snapshot();
    complete_next(&store, Fate::Proceed);
    let snapshot = snapshot.now_or_never().expect("done").expect("opens");
    for (fate, expected) in [(Fate::TooOld, true), (Fate::Unavailable, false), (Fate::Conflict, false)] {
        let get = snapshot.get(b"k");
        complete_next(&store, fate);
        match get.now_or_never().expect("done") {
            Err(StoreError::TooOld) => assert!(expected),
            Err(StoreError::Unavailable { .. }) => assert!(!expected),
            other => panic!("{other:?}"),
        }
    }
    drop(snapshot.get(b"k"));
    drop(store.snapshot());
    assert!(store.pending().is_empty());
}

#[test]
fn the_past_is_forgotten_when_no_snapshot_sees_it() {
    let store = MemoryStore::new(Arc::new(ManualClock::at(0)));
    let now = |tx| store.commit(tx).now_or_never().expect("at once").expect("commits");
    now(increment(None, "1"));
    let old = store.snapshot().now_or_never().expect("at once").expect("opens");
    now(increment(Some("1"), "2"));
    now(increment(Some("2"), "3"));
    assert_eq!(store.shared.lock().rows.kept(), 3);
    assert_eq!(old.get(b"k").now_or_never(), Some(Ok(Some(Bytes::from("1")))));
    drop(old);
    assert_eq!(store.shared.lock().rows.kept(), 1);
    store.delete_range(&KeyRange { begin: key(), end: Bytes::from("l") });
    assert_eq!(store.shared.lock().rows.kept(), 0);
}
