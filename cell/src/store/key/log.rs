//! `b/<b>/log/<offset>`: the records of a bucket, in commit order, without gaps.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, ShardKind, at, expect_kind};
use crate::ids::{Bucket, Offset};
use crate::store::StoreError;

impl Keys {
    /// The key of a record.
    #[must_use]
    pub fn log(&self, bucket: Bucket, offset: Offset) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Log);
        self.pack(&(shard_kind, bucket, kind, offset.0))
    }

    /// The records with `from <= offset < to`, or to the end of the log.
    #[must_use]
    pub fn log_range(&self, bucket: Bucket, from: Offset, to: Option<Offset>) -> KeyRange {
        let end = match to {
            Some(to) => self.log(bucket, to),
            None => self.under(&at(bucket, BucketKind::Log)).end,
        };
        KeyRange { begin: self.log(bucket, from), end }
    }

    /// The bucket and offset of a record's key.
    ///
    /// # Errors
    /// `Damaged`: it is no log key of this shard.
    pub fn parse_log(&self, key: &[u8]) -> Result<(Bucket, Offset), StoreError> {
        let (shard_kind, bucket, kind, offset): (u32, u32, u32, u64) = self.unpack("log", key)?;
        expect_kind("log", key, (shard_kind, kind), BucketKind::Log)?;
        Ok((Bucket(bucket), Offset(offset)))
    }
}

/// What of a range, or of a single key, lies in the logs of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything: records and their chunks.
    Log,
    /// Nothing.
    Rest,
    /// Possibly something.
    Both,
}

/// Whether `key` belongs to the log of any bucket of any shard: a record, or a chunk of one. A driver
/// may keep those apart from the rest, since they are written once and read in order.
#[must_use]
pub fn is_log(key: &[u8]) -> bool {
    bucket_prefix(key).is_some_and(|bucket| is_below(LOG, &key[bucket..]))
}

/// What of the keys in `begin..end` is in logs. The ranges a bucket is read by are never
/// [`Part::Both`].
#[must_use]
pub fn log_part(begin: &[u8], end: &[u8]) -> Part {
    let Some(bucket) = bucket_prefix(begin).filter(|&bucket| end.starts_with(&begin[..bucket])) else {
        return Part::Both;
    };
    let (begin, end) = (&begin[bucket..], &end[bucket..]);
    if is_below(LOG, begin) && is_below(LOG, end) {
        Part::Log
    } else if end <= LOG || (begin > LOG && !begin.starts_with(LOG)) {
        Part::Rest
    } else {
        Part::Both
    }
}

/// The part of a log key that follows its bucket.
const LOG: &[u8] = &[INT_OF_ONE_BYTE, BucketKind::Log as u8];

fn is_below(prefix: &[u8], key: &[u8]) -> bool {
    key.len() > prefix.len() && key.starts_with(prefix)
}

/// The length of `<shard>/b/<bucket>` if `key` lies below it.
fn bucket_prefix(key: &[u8]) -> Option<usize> {
    let root = string_length(key)?;
    let bucket = key[root..].strip_prefix(&[INT_OF_ONE_BYTE, ShardKind::Bucket as u8])?;
    // An integer is its length in bytes, counted from this code on, and those bytes.
    let length = bucket.first()?.checked_sub(INT_ZERO).filter(|&length| length <= 8)?;
    let end = root + 2 + 1 + usize::from(length);
    (key.len() > end).then_some(end)
}

/// The length of the tuple string `key` begins with.
fn string_length(key: &[u8]) -> Option<usize> {
    let mut at = (key.first() == Some(&STRING)).then_some(1)?;
    loop {
        at += key[at..].iter().position(|&byte| byte == 0)? + 1;
        match key.get(at) {
            Some(0xff) => at += 1,
            _ => return Some(at),
        }
    }
}

/// Codes of the tuple encoding.
const STRING: u8 = 0x02;
const INT_ZERO: u8 = 0x14;
const INT_OF_ONE_BYTE: u8 = 0x15;

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(a in any::<(u32, u64)>(), b in any::<(u32, u64)>()) {
            let make = |(bucket, offset)| keys().log(Bucket(bucket), Offset(offset));
            prop_assert_eq!(keys().parse_log(&make(a)).expect("parses"), (Bucket(a.0), Offset(a.1)));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
        }

        #[test]
        fn ranges_hold_their_offsets(from in 0_u64..600, to in proptest::option::of(0_u64..600), at in 0_u64..600) {
            let range = keys().log_range(Bucket(3), Offset(from), to.map(Offset));
            let expected = from <= at && to.is_none_or(|to| at < to);
            prop_assert_eq!(range.contains(&keys().log(Bucket(3), Offset(at))), expected);
            prop_assert!(!range.contains(&keys().log(Bucket(4), Offset(at))));
        }
    }

    proptest! {
        #[test]
        fn log_keys_are_told_from_all_others(
            prefix in any::<String>(), bucket in any::<u32>(), offset in any::<u64>(), id in any::<String>(),
        ) {
            let (keys, bucket) = (Keys::new(&prefix), Bucket(bucket));
            let key = keys.log(bucket, Offset(offset));
            prop_assert!(is_log(&key));
            prop_assert!(is_log(&[&key[..], b"\x14"].concat()), "a chunk");
            for other in [
                keys.head(bucket), keys.owner(bucket), keys.checkpoint(bucket), keys.session(&id),
                keys.dead(bucket, Offset(offset)), keys.row(bucket, crate::ids::TypeId(2), &id), keys.plan(),
            ] {
                prop_assert!(!is_log(&other));
                prop_assert!(!is_log(&other[..other.len() - 1]));
            }
        }

        #[test]
        fn a_range_is_in_the_part_of_every_key_in_it(
            begin in any_key(), end in any_key(), key in any_key(), chunk in any::<bool>(),
        ) {
            let key = if chunk { Bytes::from([&key[..], b"\x14"].concat()) } else { key };
            if begin <= key && key < end {
                match log_part(&begin, &end) {
                    Part::Log => prop_assert!(is_log(&key)),
                    Part::Rest => prop_assert!(!is_log(&key)),
                    Part::Both => {}
                }
            }
        }

        #[test]
        fn any_bytes_have_a_part(key in proptest::collection::vec(any::<u8>(), 0..30)) {
            let _ = (is_log(&key), log_part(&key, &key));
        }
    }

    /// Keys of few shards, buckets and kinds, and bounds of their ranges.
    fn any_key() -> impl Strategy<Value = Bytes> {
        let parts = (any::<bool>(), 0_u32..3, 0_u64..3, 0_usize..11);
        parts.prop_map(|(other, bucket, n, kind)| {
            let keys = Keys::new(if other { "a/b" } else { "a/a" });
            let bucket = Bucket(bucket * 200);
            match kind {
                0 => keys.log(bucket, Offset(n)),
                1 => keys.log_range(bucket, Offset(n), None).end,
                2 => keys.log_range(bucket, Offset(n), Some(Offset(n + 1))).end,
                3 => keys.head(bucket),
                4 => keys.dead(bucket, Offset(n)),
                5 => keys.dead_range(bucket, Offset(n)).end,
                6 => keys.checkpoint(bucket),
                7 => keys.bucket_range(bucket).begin,
                8 => keys.all().end,
                9 => keys.plan(),
                _ => keys.row_range(bucket).begin,
            }
        })
    }

    #[test]
    fn the_ranges_of_a_bucket_are_of_one_part() {
        let (keys, bucket) = (keys(), Bucket(3));
        for range in keys.derived_ranges(bucket) {
            assert_eq!(log_part(&range.begin, &range.end), Part::Rest, "{range:?}");
        }
        for to in [None, Some(Offset(9))] {
            let range = keys.log_range(bucket, Offset(2), to);
            assert_eq!(log_part(&range.begin, &range.end), Part::Log);
        }
        let all = keys.bucket_range(bucket);
        assert_eq!(log_part(&all.begin, &all.end), Part::Both);
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let keys = keys();
        assert!(matches!(keys.parse_log(&keys.dead(Bucket(1), Offset(2))), Err(StoreError::Damaged { .. })));
        assert!(matches!(keys.parse_log(&keys.head(Bucket(1))), Err(StoreError::Damaged { .. })));
    }
}
