//! `b/<b>/row/<type>/<id>`: where each actor stands.

use std::borrow::Cow;

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{ActorKey, Bucket, TypeId};
use crate::store::StoreError;

impl Keys {
    /// The key of an actor's row.
    #[must_use]
    pub fn row(&self, bucket: Bucket, type_id: TypeId, id: &str) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Row);
        self.pack(&(shard_kind, bucket, kind, type_id.0, id))
    }

    /// The rows of a bucket, by type and id.
    #[must_use]
    pub fn row_range(&self, bucket: Bucket) -> KeyRange {
        self.under(&at(bucket, BucketKind::Row))
    }

    /// The rows of one type in a bucket, by id.
    #[must_use]
    pub fn row_range_of_type(&self, bucket: Bucket, type_id: TypeId) -> KeyRange {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Row);
        self.under(&(shard_kind, bucket, kind, type_id.0))
    }

    /// The bucket and actor of a row's key.
    ///
    /// # Errors
    /// `Damaged`: it is no row key of this shard.
    pub fn parse_row(&self, key: &[u8]) -> Result<(Bucket, ActorKey), StoreError> {
        let (shard_kind, bucket, kind, type_id, id): (u32, u32, u32, u32, Cow<'_, str>) =
            self.unpack("row", key)?;
        expect_kind("row", key, (shard_kind, kind), BucketKind::Row)?;
        Ok((Bucket(bucket), ActorKey { type_id: TypeId(type_id), id: id.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, keys};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(a in (0_u32..4, 0_u32..4, any_id()), b in (0_u32..4, 0_u32..4, any_id())) {
            let make = |of: &(u32, u32, String)| keys().row(Bucket(of.0), TypeId(of.1), &of.2);
            let (bucket, actor) = keys().parse_row(&make(&a)).expect("parses");
            prop_assert_eq!((bucket.0, actor.type_id.0, &*actor.id), (a.0, a.1, &*a.2));
            prop_assert_eq!(make(&a).cmp(&make(&b)), a.cmp(&b));
            prop_assert_eq!(keys().row_range(Bucket(a.0)).contains(&make(&b)), a.0 == b.0);
            let of_type = keys().row_range_of_type(Bucket(a.0), TypeId(a.1));
            prop_assert_eq!(of_type.contains(&make(&b)), (a.0, a.1) == (b.0, b.1));
        }
    }
}
