//! `b/<b>/history/<type>/<id>/<seq>`: an actor's older records, one key per snapshot interval.

use std::borrow::Cow;

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{ActorKey, Bucket, Seq, TypeId};
use crate::store::StoreError;

/// The parts of a history key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryKey {
    /// Whose records they are.
    pub actor: ActorKey,
    /// The actor's sequence number after the last of them.
    pub seq: Seq,
}

impl Keys {
    /// The key of the records of an actor that end with `seq`.
    #[must_use]
    pub fn history(&self, bucket: Bucket, type_id: TypeId, id: &str, seq: Seq) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::History);
        self.pack(&(shard_kind, bucket, kind, type_id.0, id, seq.0))
    }

    /// The whole history of an actor, oldest first.
    #[must_use]
    pub fn history_range(&self, bucket: Bucket, type_id: TypeId, id: &str) -> KeyRange {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::History);
        self.under(&(shard_kind, bucket, kind, type_id.0, id))
    }

    /// The part of an actor's history whose keys end with `seq` or later: where a read of the
    /// events from `seq` on begins.
    #[must_use]
    pub fn history_from(&self, bucket: Bucket, type_id: TypeId, id: &str, seq: Seq) -> KeyRange {
        let end = self.history_range(bucket, type_id, id).end;
        KeyRange { begin: self.history(bucket, type_id, id, seq), end }
    }

    /// The bucket and parts of a history key.
    ///
    /// # Errors
    /// `Damaged`: it is no history key of this shard.
    pub fn parse_history(&self, key: &[u8]) -> Result<(Bucket, HistoryKey), StoreError> {
        let (shard_kind, bucket, kind, type_id, id, seq): (u32, u32, u32, u32, Cow<'_, str>, u64) =
            self.unpack("history", key)?;
        expect_kind("history", key, (shard_kind, kind), BucketKind::History)?;
        let actor = ActorKey { type_id: TypeId(type_id), id: id.into() };
        Ok((Bucket(bucket), HistoryKey { actor, seq: Seq(seq) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{any_id, keys};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_and_order(
            a in (0_u32..3, any_id(), 0_u64..1000),
            b in (0_u32..3, any_id(), 0_u64..1000),
        ) {
            let make = |of: &(u32, String, u64)| keys().history(Bucket(5), TypeId(of.0), &of.1, Seq(of.2));
            let (bucket, parsed) = keys().parse_history(&make(&a)).expect("parses");
            prop_assert_eq!(bucket, Bucket(5));
            prop_assert_eq!((parsed.actor.type_id.0, &*parsed.actor.id, parsed.seq.0), (a.0, &*a.1, a.2));
            prop_assert_eq!(make(&a).cmp(&make(&b)), a.cmp(&b));
            let own = keys().history_range(Bucket(5), TypeId(a.0), &a.1);
            prop_assert_eq!(own.contains(&make(&b)), (a.0, &a.1) == (b.0, &b.1));
            let from = keys().history_from(Bucket(5), TypeId(a.0), &a.1, Seq(b.2));
            prop_assert_eq!(from.contains(&make(&a)), a.2 >= b.2);
        }
    }
}
