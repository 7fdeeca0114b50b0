//! The store: an ordered key-value store with snapshots, checked commits and watches.
//!
//! Guarantees every driver gives, and the conformance suite checks on each:
//! - A [`Snapshot`] shows one instant; reads of it agree with each other.
//! - A [`Transaction`] is applied whole or not at all, and only if every [`Check`] holds at the
//!   instant of the commit. `Ok` means durable.
//! - FoundationDB's numbers are enforced (`limits::STORE_*`): keys, values, transaction size, age of
//!   a snapshot.
//! - [`StoreError`] says which of three things happened to a commit: surely nothing, surely nothing
//!   because a check failed, or nobody knows.
//!
//! What it does not do: retry, cache, chunk, or know what a key means. Keys are in [`key`], long
//! values in [`chunk`].

pub mod chunk;
pub mod embedded;
pub mod key;
pub mod limit;
pub mod memory;
pub mod record;
pub mod tail;

#[cfg(test)]
mod conformance;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

/// A boxed future, as the drivers return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An ordered key-value store.
pub trait Store: Send + Sync + 'static {
    /// Opens a snapshot that shows at least every commit that was durable before this call. Never
    /// cached: an answer that depends on ownership may rest on it.
    fn snapshot(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, StoreError>>;

    /// Commits `tx`. The future need not be polled for the commit to proceed.
    fn commit(&self, tx: Transaction) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Resolves once the value of `key` differs from what it was at the call.
    fn watch(&self, key: Bytes) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// One instant of a store. Readable for [`crate::limits::STORE_SNAPSHOT_MS_MAX`], then
/// [`StoreError::TooOld`].
pub trait Snapshot: Send + Sync {
    /// The value of `key`.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;

    /// The rows with `begin <= key < end`, at most `limit` of them, from the end if `reverse`.
    fn range<'a>(&'a self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>>;
}

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First key.
    pub begin: Bytes,
    /// The key after the last.
    pub end: Bytes,
    /// Most rows returned.
    pub limit: usize,
    /// Highest keys first.
    pub reverse: bool,
}

/// Checks and writes that are applied together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold at the instant of the commit.
    pub checks: Vec<Check>,
    /// What is changed, in order; a later write of a key wins.
    pub writes: Vec<Write>,
}

/// A condition of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The key has exactly this value, or none.
    Value {
        /// The key.
        key: Bytes,
        /// Its value; `None`: the key is absent.
        expected: Option<Bytes>,
    },
    /// No key lies in `begin..end`.
    Empty {
        /// First key.
        begin: Bytes,
        /// The key after the last.
        end: Bytes,
    },
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key.
    Set {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key.
    Clear {
        /// The key.
        key: Bytes,
    },
    /// Removes every key in `begin..end`.
    ClearRange {
        /// First key.
        begin: Bytes,
        /// The key after the last.
        end: Bytes,
    },
}

impl Transaction {
    /// Adds a check of one key.
    pub fn check(&mut self, key: Bytes, expected: Option<Bytes>) {
        self.checks.push(Check::Value { key, expected });
    }

    /// Adds a write of one key.
    pub fn set(&mut self, key: Bytes, value: Bytes) {
        self.writes.push(Write::Set { key, value });
    }

    /// Adds a removal of one key.
    pub fn clear(&mut self, key: Bytes) {
        self.writes.push(Write::Clear { key });
    }

    /// Adds a removal of the keys in `begin..end`.
    pub fn clear_range(&mut self, begin: Bytes, end: Bytes) {
        self.writes.push(Write::ClearRange { begin, end });
    }
}

/// Why a read or a commit failed, by what is known of its effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Surely not applied: a check did not hold. `failed` are indexes into
    /// [`Transaction::checks`]; empty when the driver cannot tell which.
    #[error("a check of the commit did not hold")]
    Conflict {
        /// Which checks failed.
        failed: Vec<usize>,
    },
    /// Nobody knows whether the commit was, or will yet be, applied.
    #[error("the result of the commit is not known: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// Surely not applied: over one of the store's limits.
    #[error("{what} has {bytes} bytes; the store takes at most {limit}")]
    TooLarge {
        /// Key, value or transaction.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The snapshot may no longer be read; open another.
    #[error("the snapshot is older than the store allows")]
    TooOld,
    /// Surely not applied: the store cannot be used now; a later try may succeed.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// Stored bytes are not what was written; a human must look.
    #[error("stored data is damaged: {reason}")]
    Damaged {
        /// Which key, and what is wrong with it.
        reason: String,
    },
}
