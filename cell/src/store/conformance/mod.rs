//! One suite for every driver: each rule of the trait is a test that knows no driver.
//!
//! A driver's tests call [`conformance!`] with a function that makes a [`Fixture`]; each rule becomes
//! one `#[test]`.

mod commits;
mod limits;
mod reads;
mod watches;

use std::sync::Arc;

use bytes::Bytes;

use super::{Range, Snapshot, Store, StoreError, Transaction};

pub use commits::*;
pub use limits::*;
pub use reads::*;
pub use watches::*;

/// A fresh, empty store and what a test may do to it.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Makes every snapshot that is open now too old.
    pub age_snapshots: Box<dyn Fn() + Send + Sync>,
    /// What has to live as long as the store does.
    #[expect(dead_code, reason = "held for its drop")]
    pub keep: Box<dyn std::any::Any + Send>,
}

/// Makes one test of every rule. `$make` is a `fn() -> Fixture`.
macro_rules! conformance {
    ($make:path) => {
        $crate::store::conformance::conformance!($make;
            writes_are_read_after_the_commit,
            a_snapshot_shows_one_instant,
            a_snapshot_shows_every_durable_commit,
            ranges_are_ordered_by_bytes,
            ranges_keep_their_bounds_limit_and_direction,
            the_last_write_of_a_key_wins,
            cleared_ranges_are_empty,
            values_may_be_empty,
            the_store_is_as_a_map,
            a_value_check_holds_and_fails,
            an_empty_check_holds_and_fails,
            every_failed_check_is_named,
            a_failed_transaction_changes_nothing,
            checks_see_the_state_before_their_own_writes,
            a_commit_need_not_be_polled,
            concurrent_increments_are_never_lost,
            only_one_of_two_claims_succeeds,
            concurrent_transactions_fail_alone,
            keys_over_the_limit_are_refused,
            keys_of_no_bytes_are_refused,
            values_over_the_limit_are_refused,
            transactions_over_the_limit_are_refused,
            old_snapshots_are_refused,
            a_watch_fires_on_a_change,
            a_watch_waits_through_writes_of_the_same_value,
            a_watch_sees_a_key_come_and_go,
            a_watch_of_one_key_ignores_others,
            a_watch_set_during_a_commit_misses_nothing,
        );
    };
    ($make:path; $($rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $rule() {
                let fixture = $make();
                $crate::store::conformance::run($crate::store::conformance::$rule(&fixture));
            }
        )*
    };
}
pub(crate) use conformance;

/// Runs a rule on one thread.
pub fn run(rule: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(rule);
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn sets(rows: &[(&str, &str)]) -> Transaction {
    let mut tx = Transaction::default();
    rows.iter().for_each(|(key, value)| tx.set(bytes(key), bytes(value)));
    tx
}

async fn put(fixture: &Fixture, rows: &[(&str, &str)]) {
    fixture.store.commit(sets(rows)).await.expect("commits");
}

async fn open(fixture: &Fixture) -> Arc<dyn Snapshot> {
    fixture.store.snapshot().await.expect("opens")
}

async fn get(fixture: &Fixture, key: &str) -> Option<Bytes> {
    open(fixture).await.get(key.as_bytes()).await.expect("reads")
}

async fn rows(snapshot: &dyn Snapshot, begin: &str, end: &str) -> Vec<(String, String)> {
    range(snapshot, begin, end, 1000, false).await
}

async fn range(
    snapshot: &dyn Snapshot,
    begin: &str,
    end: &str,
    limit: usize,
    reverse: bool,
) -> Vec<(String, String)> {
    let range = Range { begin: bytes(begin), end: bytes(end), limit, reverse };
    let rows = snapshot.range(range).await.expect("reads");
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
    rows.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn conflict(failed: &[usize]) -> Result<(), StoreError> {
    Err(StoreError::Conflict { failed: failed.to_vec() })
}
