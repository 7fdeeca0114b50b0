//! The store's limits, as every driver checks them before it does anything.

use bytes::Bytes;

use super::{Check, StoreError, Transaction, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_TRANSACTION_BYTES_MAX, STORE_VALUE_BYTES_MAX};

/// Refuses a transaction with a key, a value or a sum of both over the limits.
///
/// # Errors
/// `TooLarge`, with the first limit that is broken.
pub fn check_transaction(tx: &Transaction) -> Result<(), StoreError> {
    for check in &tx.checks {
        match check {
            Check::Value { key, .. } => check_key(key)?,
            Check::Empty { begin, end } => check_range(begin, end)?,
        }
    }
    for write in &tx.writes {
        match write {
            Write::Set { key, value } => {
                check_key(key)?;
                check_value(value)?;
            }
            Write::Clear { key } => check_key(key)?,
            Write::ClearRange { begin, end } => check_range(begin, end)?,
        }
    }
    at_most("the transaction", transaction_bytes(tx), STORE_TRANSACTION_BYTES_MAX)
}

/// Refuses a key over the limit, or of no bytes: not every driver can store that one, and no shard
/// has it.
///
/// # Errors
/// `TooLarge`, or `Unavailable` for a key of no bytes.
pub fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::Unavailable { reason: "a key has at least one byte".into() });
    }
    check_bound(key)
}

/// Refuses a range whose bounds are over the limit.
///
/// # Errors
/// `TooLarge`.
pub fn check_range(begin: &[u8], end: &[u8]) -> Result<(), StoreError> {
    check_bound(begin)?;
    check_bound(end)
}

fn check_bound(key: &[u8]) -> Result<(), StoreError> {
    at_most("a key", key.len(), STORE_KEY_BYTES_MAX)
}

/// What a transaction counts against [`STORE_TRANSACTION_BYTES_MAX`]: its keys and values, checks
/// included.
#[must_use]
pub fn transaction_bytes(tx: &Transaction) -> usize {
    let value = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
    let checks = tx.checks.iter().map(|check| match check {
        Check::Value { key, expected } => key.len() + value(expected),
        Check::Empty { begin, end } => begin.len() + end.len(),
    });
    let writes = tx.writes.iter().map(|write| match write {
        Write::Set { key, value } => key.len() + value.len(),
        Write::Clear { key } => key.len(),
        Write::ClearRange { begin, end } => begin.len() + end.len(),
    });
    checks.sum::<usize>() + writes.sum::<usize>()
}

fn check_value(value: &[u8]) -> Result<(), StoreError> {
    at_most("a value", value.len(), STORE_VALUE_BYTES_MAX)
}

fn at_most(what: &'static str, bytes: usize, limit: usize) -> Result<(), StoreError> {
    if bytes > limit { Err(StoreError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}
