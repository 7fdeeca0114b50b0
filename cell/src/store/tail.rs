//! The list of an actor's records that have events, as rows and histories keep it.
//!
//! Encoding: pairs of varints (offset delta, event count); the delta of the first pair counts from 0,
//! so it is the offset itself. A record costs two bytes when the actor is busy.
//!
//! Guarantees: offsets ascend strictly and counts are at least 1, in what is written and in what is
//! read; anything else is [`StoreError::Damaged`].

use bytes::Bytes;

use super::StoreError;
use crate::ids::Offset;

/// One record with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in its bucket's log.
    pub offset: Offset,
    /// How many events it has; at least 1.
    pub events: u32,
}

/// A growing list of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    bytes: Vec<u8>,
    last: Option<Offset>,
    records: usize,
    events: u64,
}

impl Tail {
    /// Takes up a stored list.
    ///
    /// # Errors
    /// `Damaged`: it is not what [`Tail::to_bytes`] gives.
    pub fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut tail = Self { bytes: bytes.to_vec(), ..Self::default() };
        for entry in iter(bytes) {
            tail.count(entry?);
        }
        Ok(tail)
    }

    /// Adds a record. One that is not after the last, or has no events, is ignored: a fold that
    /// meets a record again changes nothing.
    pub fn push(&mut self, entry: Entry) {
        if entry.events == 0 || self.last.is_some_and(|last| entry.offset <= last) {
            return;
        }
        let base = self.last.map_or(0, |last| last.0);
        put_varint(&mut self.bytes, entry.offset.0 - base);
        put_varint(&mut self.bytes, u64::from(entry.events));
        self.count(entry);
    }

    /// Adds the records of a later list; those it already has are ignored.
    ///
    /// # Errors
    /// `Damaged`: `later` is no list.
    pub fn merge(&mut self, later: &[u8]) -> Result<(), StoreError> {
        for entry in iter(later) {
            self.push(entry?);
        }
        Ok(())
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// The records in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        iter(&self.bytes).filter_map(Result::ok)
    }

    /// The offset of the last record.
    #[must_use]
    pub fn last(&self) -> Option<Offset> {
        self.last
    }

    /// How many records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// How many events they have together.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    fn count(&mut self, entry: Entry) {
        self.last = Some(entry.offset);
        self.records += 1;
        self.events += u64::from(entry.events);
    }
}

/// Reads a stored list; ends after the first error.
pub fn iter(bytes: &[u8]) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
    let mut rest = bytes;
    let mut last = None;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = take_entry(&mut rest, last);
        match &entry {
            Ok(entry) => last = Some(entry.offset),
            Err(_) => rest = &[],
        }
        Some(entry)
    })
}

fn take_entry(rest: &mut &[u8], last: Option<Offset>) -> Result<Entry, StoreError> {
    let delta = take_varint(rest)?;
    let events = take_varint(rest)?;
    if delta == 0 && last.is_some() {
        return Err(damaged("two records have one offset"));
    }
    let base = last.map_or(0, |last| last.0);
    let offset = base.checked_add(delta).ok_or_else(|| damaged("an offset is too large"))?;
    match u32::try_from(events) {
        Ok(events) if events > 0 => Ok(Entry { offset: Offset(offset), events }),
        _ => Err(damaged("an event count is zero or too large")),
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, StoreError> {
    let mut value = 0_u64;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        if index == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(damaged("a number is cut off or too large"))
}

fn damaged(why: &str) -> StoreError {
    StoreError::Damaged { reason: format!("a stored list of records: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
        let gaps = proptest::collection::vec((1_u64..1 << 40, 1_u32..=u32::MAX), 0..50);
        (0_u64..1000, gaps).prop_map(|(start, gaps)| {
            let mut at = start;
            let place = |(gap, events): (u64, u32)| {
                let entry = Entry { offset: Offset(at), events };
                at += gap;
                entry
            };
            gaps.into_iter().map(place).collect()
        })
    }

    fn tail_of(entries: &[Entry]) -> Tail {
        let mut tail = Tail::default();
        entries.iter().for_each(|&entry| tail.push(entry));
        tail
    }

    proptest! {
        #[test]
        fn round_trip(entries in any_entries()) {
            let tail = tail_of(&entries);
            prop_assert_eq!(tail.entries().collect::<Vec<_>>(), entries.clone());
            prop_assert_eq!(tail.records(), entries.len());
            prop_assert_eq!(tail.events(), entries.iter().map(|entry| u64::from(entry.events)).sum::<u64>());
            prop_assert_eq!(Tail::parse(&tail.to_bytes()).expect("parses"), tail);
        }

        #[test]
        fn merging_overlapping_parts_gives_the_whole(
            entries in any_entries(), cut in 0_usize..50, overlap in 0_usize..5,
        ) {
            let cut = cut.min(entries.len());
            let mut merged = tail_of(&entries[..cut]);
            merged.merge(&tail_of(&entries[cut.saturating_sub(overlap)..]).to_bytes()).expect("merges");
            prop_assert_eq!(merged, tail_of(&entries));
        }

        #[test]
        fn any_bytes_are_a_list_or_damaged(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(tail) = Tail::parse(&bytes) {
                let offsets: Vec<_> = tail.entries().map(|entry| entry.offset).collect();
                prop_assert!(offsets.is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn a_busy_actors_record_costs_two_bytes() {
        let entries: Vec<_> = (0..100).map(|at| Entry { offset: Offset(at * 3), events: 1 }).collect();
        assert_eq!(tail_of(&entries).to_bytes().len(), 200);
    }

    #[test]
    fn damage_is_named() {
        assert!(matches!(Tail::parse(&[0x80]), Err(StoreError::Damaged { .. })), "cut off");
        assert!(matches!(Tail::parse(&[5, 0]), Err(StoreError::Damaged { .. })), "no events");
        assert!(matches!(Tail::parse(&[5, 1, 0, 1]), Err(StoreError::Damaged { .. })), "one offset twice");
    }
}
