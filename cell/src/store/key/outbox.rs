//! `b/<b>/outbox/<offset>/<n>`: messages without an acknowledgement, in the order they were told.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{Bucket, Offset};
use crate::store::StoreError;

/// Which message an outbox row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey {
    /// The record it was told in.
    pub offset: Offset,
    /// Which message of the record.
    pub n: u32,
}

impl Keys {
    /// The key of a message.
    #[must_use]
    pub fn outbox(&self, bucket: Bucket, offset: Offset, n: u32) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Outbox);
        self.pack(&(shard_kind, bucket, kind, offset.0, n))
    }

    /// The outbox of a bucket, oldest first.
    #[must_use]
    pub fn outbox_range(&self, bucket: Bucket) -> KeyRange {
        self.under(&at(bucket, BucketKind::Outbox))
    }

    /// The bucket and parts of an outbox key.
    ///
    /// # Errors
    /// `Damaged`: it is no outbox key of this shard.
    pub fn parse_outbox(&self, key: &[u8]) -> Result<(Bucket, OutboxKey), StoreError> {
        let (shard_kind, bucket, kind, offset, n): (u32, u32, u32, u64, u32) = self.unpack("outbox", key)?;
        expect_kind("outbox", key, (shard_kind, kind), BucketKind::Outbox)?;
        Ok((Bucket(bucket), OutboxKey { offset: Offset(offset), n }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(a in any::<(u64, u32)>(), b in any::<(u64, u32)>()) {
            let make = |of: (u64, u32)| keys().outbox(Bucket(1), Offset(of.0), of.1);
            let expected = OutboxKey { offset: Offset(a.0), n: a.1 };
            prop_assert_eq!(keys().parse_outbox(&make(a)).expect("parses"), (Bucket(1), expected));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
            prop_assert!(keys().outbox_range(Bucket(1)).contains(&make(a)));
            prop_assert!(!keys().outbox_range(Bucket(2)).contains(&make(a)));
        }
    }
}
