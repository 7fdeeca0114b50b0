//! `b/<b>/log/<offset>`: the records of a bucket, in commit order, without gaps.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
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

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let keys = keys();
        assert!(matches!(keys.parse_log(&keys.dead(Bucket(1), Offset(2))), Err(StoreError::Damaged { .. })));
        assert!(matches!(keys.parse_log(&keys.head(Bucket(1))), Err(StoreError::Damaged { .. })));
    }
}
