//! What commits do.

use futures_util::future::join_all;

use super::*;

fn claim(key: &str, value: &str) -> Transaction {
    let mut tx = sets(&[(key, value)]);
    tx.check(bytes(key), None);
    tx
}

pub async fn a_value_check_holds_and_fails(fixture: &Fixture) {
    put(fixture, &[("a", "1")]).await;
    let commit = async |expected: Option<&str>| {
        let mut tx = sets(&[("a", "2")]);
        tx.check(bytes("a"), expected.map(bytes));
        fixture.store.commit(tx).await
    };
    assert_eq!(commit(None).await, conflict(&[0]), "the key is there");
    assert_eq!(commit(Some("2")).await, conflict(&[0]), "the key has another value");
    assert_eq!(commit(Some("")).await, conflict(&[0]), "empty is another value");
    assert_eq!(commit(Some("1")).await, Ok(()));
    assert_eq!(commit(Some("1")).await, conflict(&[0]), "the key was changed by the commit before");
    let mut tx = Transaction::default();
    tx.check(bytes("none"), Some(Bytes::new()));
    assert_eq!(fixture.store.commit(tx).await, conflict(&[0]), "absent is not empty");
}

pub async fn an_empty_check_holds_and_fails(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("c", "1")]).await;
    let commit = async |begin: &str, end: &str| {
        let mut tx = Transaction::default();
        tx.checks.push(crate::store::Check::Empty { begin: bytes(begin), end: bytes(end) });
        fixture.store.commit(tx).await
    };
    assert_eq!(commit("b", "c").await, Ok(()), "the end is not in the range");
    assert_eq!(commit("a", "b").await, conflict(&[0]), "the begin is in the range");
    assert_eq!(commit("b", "d").await, conflict(&[0]));
    assert_eq!(commit("d", "z").await, Ok(()));
    let mut tx = Transaction::default();
    tx.clear(bytes("c"));
    fixture.store.commit(tx).await.expect("commits");
    assert_eq!(commit("b", "d").await, Ok(()), "a cleared key is gone");
}

pub async fn every_failed_check_is_named(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("b", "1")]).await;
    let mut tx = sets(&[("x", "1")]);
    tx.check(bytes("a"), Some(bytes("2")));
    tx.check(bytes("b"), Some(bytes("1")));
    tx.checks.push(crate::store::Check::Empty { begin: bytes("a"), end: bytes("c") });
    tx.check(bytes("c"), None);
    tx.check(bytes("d"), Some(bytes("1")));
    assert_eq!(fixture.store.commit(tx).await, conflict(&[0, 2, 4]));
}

pub async fn a_failed_transaction_changes_nothing(fixture: &Fixture) {
    put(fixture, &[("a", "1"), ("b", "1")]).await;
    let mut tx = sets(&[("a", "2"), ("c", "2")]);
    tx.clear(bytes("b"));
    tx.clear_range(bytes("a"), bytes("z"));
    tx.check(bytes("a"), None);
    assert_eq!(fixture.store.commit(tx).await, conflict(&[0]));
    assert_eq!(rows(&*open(fixture).await, "a", "z").await, pairs(&[("a", "1"), ("b", "1")]));
}

pub async fn checks_see_the_state_before_their_own_writes(fixture: &Fixture) {
    let mut tx = sets(&[("a", "1")]);
    tx.check(bytes("a"), None);
    tx.checks.push(crate::store::Check::Empty { begin: bytes("a"), end: bytes("z") });
    assert_eq!(fixture.store.commit(tx).await, Ok(()));
}

pub async fn a_commit_need_not_be_polled(fixture: &Fixture) {
    let unpolled = fixture.store.commit(sets(&[("a", "1")]));
    // A later commit of the same key waits for it, whatever the driver does with them.
    loop {
        let mut tx = sets(&[("a", "2")]);
        tx.check(bytes("a"), Some(bytes("1")));
        if fixture.store.commit(tx).await.is_ok() {
            break;
        }
    }
    assert_eq!(unpolled.await, Ok(()));
    drop(fixture.store.commit(sets(&[("b", "1")])));
    while get(fixture, "b").await.is_none() {
        tokio::task::yield_now().await;
    }
}

pub async fn concurrent_increments_are_never_lost(fixture: &Fixture) {
    const TASKS: usize = 16;
    const EACH: usize = 20;
    let increment = async || {
        for _ in 0..EACH {
            loop {
                let old = get(fixture, "n").await;
                let n: usize =
                    old.as_ref().map_or(0, |n| std::str::from_utf8(n).expect("text").parse().expect("n"));
                let mut tx = sets(&[("n", &(n + 1).to_string())]);
                tx.check(bytes("n"), old);
                match fixture.store.commit(tx).await {
                    Ok(()) => break,
                    Err(StoreError::Conflict { failed }) => assert_eq!(failed, [0]),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    join_all((0..TASKS).map(|_| increment())).await;
    assert_eq!(get(fixture, "n").await, Some(bytes(&(TASKS * EACH).to_string())));
}

pub async fn only_one_of_two_claims_succeeds(fixture: &Fixture) {
    for round in 0..20 {
        let key = format!("claim-{round}");
        let commits = ["x", "y", "z"].map(|value| fixture.store.commit(claim(&key, value)));
        let results = join_all(commits).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(|result| **result == conflict(&[0])).count(), 2, "{results:?}");
        let winner = results.iter().position(Result::is_ok).expect("one won");
        assert_eq!(get(fixture, &key).await, Some(bytes(["x", "y", "z"][winner])));
    }
}

pub async fn concurrent_transactions_fail_alone(fixture: &Fixture) {
    put(fixture, &[("taken", "1")]).await;
    let commits = (0..30).map(|n| {
        let mut tx = sets(&[(&format!("k{n:02}"), "v")]);
        if n % 3 == 0 {
            tx.check(bytes("taken"), None);
        }
        tx.checks.push(crate::store::Check::Empty {
            begin: bytes(&format!("k{n:02}")),
            end: bytes(&format!("k{n:02}~")),
        });
        fixture.store.commit(tx)
    });
    let results = join_all(commits).await;
    for (n, result) in results.iter().enumerate() {
        let expected = if n % 3 == 0 { conflict(&[0]) } else { Ok(()) };
        assert_eq!(*result, expected, "commit {n}");
    }
    assert_eq!(rows(&*open(fixture).await, "k", "l").await.len(), 20);
}
