//! What a group of transactions does to the store, one after the other.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::folder::Opened;
use crate::store::{Check, Range, StoreError, Transaction, Write};

/// Keys whose values are remembered between groups, at most.
const REMEMBERED_KEYS: usize = 65_536;

/// What a group changes: each key's last value; `None`: removed.
pub type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Values of keys that commits check again and again (owners, heads). Exact, because only the
/// committer writes.
#[derive(Default)]
pub struct Checked(HashMap<Bytes, Option<Bytes>, FxBuildHasher>);

impl Checked {
    /// Takes over what a group writes. If that fails, everything remembered must be forgotten.
    pub fn update(&mut self, writes: &Changes) {
        for (key, value) in writes {
            if let Some(remembered) = self.0.get_mut(key) {
                remembered.clone_from(value);
            }
        }
    }

    fn get(&mut self, opened: &Opened, key: &Bytes) -> Result<Option<Bytes>, fjall::Error> {
        if let Some(value) = self.0.get(key) {
            return Ok(value.clone());
        }
        let value = opened.part(key).get(key)?.map(Bytes::from);
        if self.0.len() >= REMEMBERED_KEYS {
            self.0.clear();
        }
        self.0.insert(key.clone(), value.clone());
        Ok(value)
    }
}

/// The writes of the transactions of a group whose checks held, and what they make of the store.
pub struct Group<'o> {
    opened: &'o Opened,
    checked: &'o mut Checked,
    pub writes: Changes,
}

impl<'o> Group<'o> {
    pub fn new(opened: &'o Opened, checked: &'o mut Checked) -> Self {
        Self { opened, checked, writes: Changes::new() }
    }

    /// Adds `tx` if its checks hold after the transactions before it.
    pub fn add(&mut self, tx: Transaction) -> Result<(), StoreError> {
        let mut failed = Vec::new();
        for (index, check) in tx.checks.iter().enumerate() {
            if !self.holds(check).map_err(unreadable)? {
                failed.push(index);
            }
        }
        if !failed.is_empty() {
            return Err(StoreError::Conflict { failed });
        }
        // Ranges first: reading them is the one thing that can fail, and then nothing may be added.
        let mut cleared = Vec::new();
        for write in &tx.writes {
            if let Write::ClearRange { begin, end } = write {
                cleared.push(self.stored_keys(begin, end).map_err(unreadable)?);
            }
        }
        let mut cleared = cleared.into_iter();
        for write in tx.writes {
            match write {
                Write::Set { key, value } => drop(self.writes.insert(key, Some(value))),
                Write::Clear { key } => drop(self.writes.insert(key, None)),
                Write::ClearRange { begin, end } => {
                    self.clear_range(&begin, &end, cleared.next().unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn holds(&mut self, check: &Check) -> Result<bool, fjall::Error> {
        match check {
            Check::Value { key, expected } => match self.writes.get(key) {
                Some(value) => Ok(value == expected),
                None => Ok(self.checked.get(self.opened, key)? == *expected),
            },
            Check::Empty { begin, end } => {
                let written = self.written(begin, end).any(|(_, value)| value.is_some());
                let gone = |key: &Bytes| matches!(self.writes.get(key), Some(None));
                Ok(!written && self.stored_keys(begin, end)?.iter().all(gone))
            }
        }
    }

    fn clear_range(&mut self, begin: &Bytes, end: &Bytes, stored: Vec<Bytes>) {
        if begin < end {
            let bounds = (Bound::Included(begin), Bound::Excluded(end));
            self.writes.range_mut::<Bytes, _>(bounds).for_each(|(_, value)| *value = None);
        }
        self.writes.extend(stored.into_iter().map(|key| (key, None)));
    }

    fn written(&self, begin: &Bytes, end: &Bytes) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        let bounds = (Bound::Included(begin), Bound::Excluded(end));
        (begin < end).then(|| self.writes.range::<Bytes, _>(bounds)).into_iter().flatten()
    }

    /// The keys of a range before this group.
    fn stored_keys(&self, begin: &Bytes, end: &Bytes) -> Result<Vec<Bytes>, fjall::Error> {
        let range = Range { begin: begin.clone(), end: end.clone(), limit: usize::MAX, reverse: false };
        let rows = self.opened.range(&self.opened.db.snapshot(), &range)?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }
}

/// What a failed read means for a commit that needed it: nothing was applied.
fn unreadable(error: fjall::Error) -> StoreError {
    StoreError::Unavailable { reason: format!("a check could not be read: {error}") }
}
