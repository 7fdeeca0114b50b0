//! `b/<b>/inbox/<source bucket>/<offset>/<n>`: the outcome of every message that may come again.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{Bucket, Offset};
use crate::store::StoreError;

/// Which message an inbox row answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxKey {
    /// The bucket of the actor that told it.
    pub source: Bucket,
    /// The record of that bucket it was told in.
    pub offset: Offset,
    /// Which message of the record.
    pub n: u32,
}

impl Keys {
    /// The key of a message's outcome.
    #[must_use]
    pub fn inbox(&self, bucket: Bucket, source: Bucket, offset: Offset, n: u32) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Inbox);
        self.pack(&(shard_kind, bucket, kind, source.0, offset.0, n))
    }

    /// All inbox rows of a bucket, by source.
    #[must_use]
    pub fn inbox_range(&self, bucket: Bucket) -> KeyRange {
        self.under(&at(bucket, BucketKind::Inbox))
    }

    /// The inbox rows of one source with an offset below `below`.
    #[must_use]
    pub fn inbox_below(&self, bucket: Bucket, source: Bucket, below: Offset) -> KeyRange {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Inbox);
        let begin = self.under(&(shard_kind, bucket, kind, source.0)).begin;
        KeyRange { begin, end: self.pack(&(shard_kind, bucket, kind, source.0, below.0)) }
    }

    /// The bucket and parts of an inbox key.
    ///
    /// # Errors
    /// `Damaged`: it is no inbox key of this shard.
    pub fn parse_inbox(&self, key: &[u8]) -> Result<(Bucket, InboxKey), StoreError> {
        let (shard_kind, bucket, kind, source, offset, n): (u32, u32, u32, u32, u64, u32) =
            self.unpack("inbox", key)?;
        expect_kind("inbox", key, (shard_kind, kind), BucketKind::Inbox)?;
        Ok((Bucket(bucket), InboxKey { source: Bucket(source), offset: Offset(offset), n }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(
            a in (0_u32..3, 0_u64..600, 0_u32..300),
            b in (0_u32..3, 0_u64..600, 0_u32..300),
        ) {
            let make = |of: (u32, u64, u32)| keys().inbox(Bucket(1), Bucket(of.0), Offset(of.1), of.2);
            let expected = InboxKey { source: Bucket(a.0), offset: Offset(a.1), n: a.2 };
            prop_assert_eq!(keys().parse_inbox(&make(a)).expect("parses"), (Bucket(1), expected));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
            prop_assert!(keys().inbox_range(Bucket(1)).contains(&make(a)));
            let below = keys().inbox_below(Bucket(1), Bucket(a.0), Offset(a.1));
            prop_assert_eq!(below.contains(&make(b)), a.0 == b.0 && b.1 < a.1);
        }
    }
}
