//! `b/<b>/dead/<offset>`: dead letters, named by the record that made them.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{Bucket, Offset};
use crate::store::StoreError;

impl Keys {
    /// The key of a dead letter.
    #[must_use]
    pub fn dead(&self, bucket: Bucket, offset: Offset) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Dead);
        self.pack(&(shard_kind, bucket, kind, offset.0))
    }

    /// The dead letters of a bucket from an offset on, oldest first.
    #[must_use]
    pub fn dead_range(&self, bucket: Bucket, from: Offset) -> KeyRange {
        KeyRange { begin: self.dead(bucket, from), end: self.under(&at(bucket, BucketKind::Dead)).end }
    }

    /// The bucket and offset of a dead letter's key.
    ///
    /// # Errors
    /// `Damaged`: it is no such key of this shard.
    pub fn parse_dead(&self, key: &[u8]) -> Result<(Bucket, Offset), StoreError> {
        let (shard_kind, bucket, kind, offset): (u32, u32, u32, u64) = self.unpack("dead letter", key)?;
        expect_kind("dead letter", key, (shard_kind, kind), BucketKind::Dead)?;
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
            let make = |of: (u32, u64)| keys().dead(Bucket(of.0), Offset(of.1));
            prop_assert_eq!(keys().parse_dead(&make(a)).expect("parses"), (Bucket(a.0), Offset(a.1)));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
            let range = keys().dead_range(Bucket(a.0), Offset(a.1));
            prop_assert_eq!(range.contains(&make(b)), a.0 == b.0 && a.1 <= b.1);
        }
    }
}
