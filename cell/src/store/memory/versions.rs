//! Rows with their past: what each key had at every version a snapshot can still see.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::store::{Range, Write};

/// An ordered map that remembers.
#[derive(Default)]
pub struct Versions {
    version: u64,
    /// Per key, ascending: from which version on it had which value. The last is its value now.
    rows: BTreeMap<Bytes, Vec<(u64, Option<Bytes>)>>,
    /// How many open snapshots are at each version.
    open: BTreeMap<u64, usize>,
    /// Keys that were written, in order: they may have a past to forget once no snapshot is older
    /// than that write.
    written: VecDeque<(u64, Bytes)>,
}

impl Versions {
    /// Opens a snapshot of this instant and gives its version.
    pub fn open(&mut self) -> u64 {
        *self.open.entry(self.version).or_insert(0) += 1;
        self.version
    }

    /// Closes a snapshot.
    pub fn close(&mut self, version: u64) {
        if let Some(count) = self.open.get_mut(&version) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&version);
            }
        }
        self.forget();
    }

    /// The value of `key` now.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.get_at(key, self.version)
    }

    /// The value of `key` at a version that was opened.
    pub fn get_at(&self, key: &[u8], version: u64) -> Option<&Bytes> {
        self.rows.get(key).and_then(|past| value_at(past, version))
    }

    /// The rows of a range at a version that was opened.
    pub fn range_at(&self, range: &Range, version: u64) -> Vec<(Bytes, Bytes)> {
        if range.begin >= range.end {
            return Vec::new();
        }
        let rows = self
            .rows
            .range::<Bytes, _>(&range.begin..&range.end)
            .filter_map(|(key, past)| value_at(past, version).map(|value| (key.clone(), value.clone())));
        if range.reverse { rows.rev().take(range.limit).collect() } else { rows.take(range.limit).collect() }
    }

    /// Whether no key lies in `begin..end` now.
    pub fn is_empty(&self, begin: &Bytes, end: &Bytes) -> bool {
        let range = Range { begin: begin.clone(), end: end.clone(), limit: 1, reverse: false };
        self.range_at(&range, self.version).is_empty()
    }

    /// Every row now.
    pub fn latest(&self) -> impl Iterator<Item = (Bytes, Bytes)> + '_ {
        self.rows
            .iter()
            .filter_map(|(key, past)| value_at(past, self.version).map(|value| (key.clone(), value.clone())))
    }

    /// Makes a new version with `writes` done in order.
    pub fn apply(&mut self, writes: &[Write]) {
        self.version += 1;
        for write in writes {
            match write {
                Write::Set { key, value } => self.put(key.clone(), Some(value.clone())),
                Write::Clear { key } => self.put(key.clone(), None),
                Write::ClearRange { begin, end } if begin < end => {
                    let keys: Vec<Bytes> =
                        self.rows.range::<Bytes, _>(begin..end).map(|(key, _)| key.clone()).collect();
                    keys.into_iter().for_each(|key| self.put(key, None));
                }
                Write::ClearRange { .. } => {}
            }
        }
        self.forget();
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        self.written.push_back((self.version, key.clone()));
        let past = self.rows.entry(key).or_default();
        match past.last_mut() {
            Some((version, last)) if *version == self.version => *last = value,
            _ => past.push((self.version, value)),
        }
    }

    /// Drops what no open snapshot, and no later one, can see.
    fn forget(&mut self) {
        let oldest = self.open.keys().next().copied().unwrap_or(self.version);
        while let Some((_, key)) = self.written.pop_front_if(|(version, _)| *version <= oldest) {
            let Some(past) = self.rows.get_mut(&key) else { continue };
            let seen = past.iter().rposition(|(version, _)| *version <= oldest).unwrap_or(0);
            past.drain(..seen);
            if matches!(past.as_slice(), [(version, None)] if *version <= oldest) {
                self.rows.remove(&key);
            }
        }
    }

    /// Versions kept of all keys together.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }
}

fn value_at(past: &[(u64, Option<Bytes>)], version: u64) -> Option<&Bytes> {
    past.iter().rev().find(|(from, _)| *from <= version).and_then(|(_, value)| value.as_ref())
}
