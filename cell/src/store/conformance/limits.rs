//! What a store refuses.

use super::*;
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_TRANSACTION_BYTES_MAX, STORE_VALUE_BYTES_MAX};
use crate::store::{Check, Write};

fn long(bytes: usize) -> Bytes {
    Bytes::from(vec![b'k'; bytes])
}

async fn is_refused(fixture: &Fixture, tx: Transaction, limit: usize) -> bool {
    let refused = fixture.store.commit(tx).await;
    matches!(refused, Err(StoreError::TooLarge { limit: of, bytes, .. }) if of == limit && bytes > limit)
}

pub async fn keys_over_the_limit_are_refused(fixture: &Fixture) {
    let most = long(STORE_KEY_BYTES_MAX);
    let mut tx = Transaction::default();
    tx.set(most.clone(), bytes("v"));
    assert_eq!(fixture.store.commit(tx).await, Ok(()), "exactly the limit is taken");
    let snapshot = open(fixture).await;
    assert_eq!(snapshot.get(&most).await, Ok(Some(bytes("v"))));

    let over = long(STORE_KEY_BYTES_MAX + 1);
    let key = over.clone();
    let writes = [
        Write::Set { key: over.clone(), value: bytes("v") },
        Write::Clear { key: over.clone() },
        Write::ClearRange { begin: over.clone(), end: bytes("z") },
        Write::ClearRange { begin: bytes("a"), end: over.clone() },
    ];
    for write in writes {
        let mut tx = sets(&[("a", "1")]);
        tx.writes.push(write);
        assert!(is_refused(fixture, tx, STORE_KEY_BYTES_MAX).await);
    }
    for check in [Check::Value { key, expected: None }, Check::Empty { begin: over.clone(), end: bytes("z") }]
    {
        let mut tx = sets(&[("a", "1")]);
        tx.checks.push(check);
        assert!(is_refused(fixture, tx, STORE_KEY_BYTES_MAX).await);
    }
    assert!(matches!(snapshot.get(&over).await, Err(StoreError::TooLarge { .. })));
    assert!(matches!(fixture.store.watch(over).await, Err(StoreError::TooLarge { .. })));
    assert_eq!(get(fixture, "a").await, None, "nothing of a refused transaction is applied");
}

pub async fn keys_of_no_bytes_are_refused(fixture: &Fixture) {
    let refused = |result| matches!(result, Err(StoreError::Unavailable { .. }));
    assert!(refused(fixture.store.commit(sets(&[("a", "1"), ("", "1")])).await));
    assert_eq!(get(fixture, "a").await, None, "nothing of a refused transaction is applied");
    put(fixture, &[("a", "1")]).await;
    assert_eq!(rows(&*open(fixture).await, "", "z").await, pairs(&[("a", "1")]), "a range may begin with it");
}

pub async fn values_over_the_limit_are_refused(fixture: &Fixture) {
    let mut tx = Transaction::default();
    tx.set(bytes("a"), long(STORE_VALUE_BYTES_MAX));
    assert_eq!(fixture.store.commit(tx).await, Ok(()), "exactly the limit is taken");
    let mut tx = sets(&[("b", "1")]);
    tx.set(bytes("c"), long(STORE_VALUE_BYTES_MAX + 1));
    assert!(is_refused(fixture, tx, STORE_VALUE_BYTES_MAX).await);
    assert_eq!(get(fixture, "b").await, None, "nothing of a refused transaction is applied");
    assert_eq!(get(fixture, "a").await, Some(long(STORE_VALUE_BYTES_MAX)));
}

pub async fn transactions_over_the_limit_are_refused(fixture: &Fixture) {
    let of_bytes = |total: usize, into_check: bool| {
        let mut tx = Transaction::default();
        let (mut left, mut n) = (total, 0);
        while left > 0 {
            let key = bytes(&format!("k{n:03}"));
            let value = long((left - key.len()).min(STORE_VALUE_BYTES_MAX - 10));
            left -= key.len() + value.len();
            tx.set(key, value);
            n += 1;
        }
        if into_check {
            tx.check(bytes("no"), None);
        }
        tx
    };
    assert!(
        is_refused(fixture, of_bytes(STORE_TRANSACTION_BYTES_MAX + 1, false), STORE_TRANSACTION_BYTES_MAX)
            .await
    );
    assert!(
        is_refused(fixture, of_bytes(STORE_TRANSACTION_BYTES_MAX, true), STORE_TRANSACTION_BYTES_MAX).await
    );
    assert_eq!(get(fixture, "k000").await, None, "nothing of a refused transaction is applied");
    assert_eq!(fixture.store.commit(of_bytes(STORE_TRANSACTION_BYTES_MAX, false)).await, Ok(()));
}

pub async fn old_snapshots_are_refused(fixture: &Fixture) {
    put(fixture, &[("a", "1")]).await;
    let old = open(fixture).await;
    assert_eq!(old.get(b"a").await, Ok(Some(bytes("1"))));
    (fixture.age_snapshots)();
    assert_eq!(old.get(b"a").await, Err(StoreError::TooOld));
    let range = Range { begin: bytes("a"), end: bytes("b"), limit: 1, reverse: false };
    assert_eq!(old.range(range).await, Err(StoreError::TooOld));
    assert_eq!(get(fixture, "a").await, Some(bytes("1")), "a new one reads on");
}
