//! `b/<b>/snapshot/<type>/<id>`: an actor's state as of some sequence number.

use bytes::Bytes;

use super::{BucketKind, Keys, at};
use crate::ids::{Bucket, TypeId};

impl Keys {
    /// The key of an actor's snapshot.
    #[must_use]
    pub fn snapshot(&self, bucket: Bucket, type_id: TypeId, id: &str) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Snapshot);
        self.pack(&(shard_kind, bucket, kind, type_id.0, id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, keys};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_actors_share_a_snapshot(a in (0_u32..4, any_id()), b in (0_u32..4, any_id())) {
            let make = |of: &(u32, String)| keys().snapshot(Bucket(2), TypeId(of.0), &of.1);
            prop_assert_eq!(make(&a) == make(&b), a == b);
            prop_assert_ne!(make(&a), keys().row(Bucket(2), TypeId(a.0), &a.1));
        }
    }
}
