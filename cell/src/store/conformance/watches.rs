//! When watches fire.

use std::task::Poll;

use super::*;
use crate::store::BoxFuture;

/// Whether the watch has not fired yet.
async fn waits(watch: &mut BoxFuture<'static, Result<(), StoreError>>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(watch.as_mut().poll(context).is_pending())).await
}

async fn fires(watch: &mut BoxFuture<'static, Result<(), StoreError>>) {
    assert_eq!(watch.await, Ok(()));
}

pub async fn a_watch_fires_on_a_change(fixture: &Fixture) {
    put(fixture, &[("a", "1")]).await;
    let mut first = fixture.store.watch(bytes("a"));
    let mut second = fixture.store.watch(bytes("a"));
    assert!(waits(&mut first).await);
    put(fixture, &[("a", "2")]).await;
    fires(&mut first).await;
    fires(&mut second).await;
    let mut again = fixture.store.watch(bytes("a"));
    assert!(waits(&mut again).await, "a new watch begins at the new value");
    put(fixture, &[("a", "3")]).await;
    fires(&mut again).await;
}

pub async fn a_watch_waits_through_writes_of_the_same_value(fixture: &Fixture) {
    put(fixture, &[("a", "1")]).await;
    let mut watch = fixture.store.watch(bytes("a"));
    put(fixture, &[("a", "1")]).await;
    let mut failing = sets(&[("a", "2")]);
    failing.check(bytes("a"), None);
    assert_eq!(fixture.store.commit(failing).await, conflict(&[0]));
    assert!(waits(&mut watch).await);
    put(fixture, &[("a", "2")]).await;
    fires(&mut watch).await;
}

pub async fn a_watch_sees_a_key_come_and_go(fixture: &Fixture) {
    let mut comes = fixture.store.watch(bytes("a"));
    assert!(waits(&mut comes).await);
    put(fixture, &[("a", "")]).await;
    fires(&mut comes).await;
    let mut goes = fixture.store.watch(bytes("a"));
    let mut tx = Transaction::default();
    tx.clear(bytes("a"));
    fixture.store.commit(tx).await.expect("commits");
    fires(&mut goes).await;
    put(fixture, &[("a", "1")]).await;
    let mut cleared = fixture.store.watch(bytes("a"));
    let mut tx = Transaction::default();
    tx.clear_range(bytes("A"), bytes("z"));
    fixture.store.commit(tx).await.expect("commits");
    fires(&mut cleared).await;
}

pub async fn a_watch_of_one_key_ignores_others(fixture: &Fixture) {
    let mut watch = fixture.store.watch(bytes("a"));
    put(fixture, &[("a\0", "1"), ("b", "1"), ("A", "1")]).await;
    let mut tx = Transaction::default();
    tx.clear_range(bytes("b"), bytes("c"));
    fixture.store.commit(tx).await.expect("commits");
    assert!(waits(&mut watch).await);
    put(fixture, &[("a", "1")]).await;
    fires(&mut watch).await;
}

pub async fn a_watch_set_during_a_commit_misses_nothing(fixture: &Fixture) {
    put(fixture, &[("a", "old")]).await;
    for round in 0..100 {
        let commit = fixture.store.commit(sets(&[("a", "new")]));
        let mut watch = fixture.store.watch(bytes("a"));
        commit.await.expect("commits");
        let began_with_new = waits(&mut watch).await;
        put(fixture, &[("a", "old")]).await;
        // One that began with the old value was to fire before, one that began with the new does now.
        if began_with_new {
            assert!(!waits(&mut watch).await, "round {round}: a change was missed");
        }
    }
}
