//! `b/<b>/low-water/<source bucket>`: the offset below which a source's messages are settled.

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::Bucket;
use crate::store::StoreError;

impl Keys {
    /// The key of a source's low-water mark.
    #[must_use]
    pub fn low_water(&self, bucket: Bucket, source: Bucket) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::LowWater);
        self.pack(&(shard_kind, bucket, kind, source.0))
    }

    /// The low-water marks of a bucket, by source.
    #[must_use]
    pub fn low_water_range(&self, bucket: Bucket) -> KeyRange {
        self.under(&at(bucket, BucketKind::LowWater))
    }

    /// The bucket and source of a low-water key.
    ///
    /// # Errors
    /// `Damaged`: it is no such key of this shard.
    pub fn parse_low_water(&self, key: &[u8]) -> Result<(Bucket, Bucket), StoreError> {
        let (shard_kind, bucket, kind, source): (u32, u32, u32, u32) = self.unpack("low-water", key)?;
        expect_kind("low-water", key, (shard_kind, kind), BucketKind::LowWater)?;
        Ok((Bucket(bucket), Bucket(source)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(a in any::<(u32, u32)>(), b in any::<(u32, u32)>()) {
            let make = |of: (u32, u32)| keys().low_water(Bucket(of.0), Bucket(of.1));
            prop_assert_eq!(keys().parse_low_water(&make(a)).expect("parses"), (Bucket(a.0), Bucket(a.1)));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
            prop_assert_eq!(keys().low_water_range(Bucket(a.0)).contains(&make(b)), a.0 == b.0);
        }
    }
}
