//! `b/<b>/timer/<due>/<type>/<id>/<name>`: pending timers, soonest first.

use std::borrow::Cow;

use bytes::Bytes;

use super::{BucketKind, KeyRange, Keys, at, expect_kind};
use crate::ids::{ActorKey, Bucket, TypeId};
use crate::store::StoreError;

/// The parts of a timer key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    /// When it fires, in milliseconds since the epoch.
    pub due_ms: u64,
    /// Whose timer it is.
    pub actor: ActorKey,
    /// Its name among the actor's timers.
    pub name: String,
}

impl Keys {
    /// The key of a pending timer.
    #[must_use]
    pub fn timer(&self, bucket: Bucket, due_ms: u64, type_id: TypeId, id: &str, name: &str) -> Bytes {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Timer);
        self.pack(&(shard_kind, bucket, kind, due_ms, type_id.0, id, name))
    }

    /// The timers with `from_ms <= due < to_ms`.
    #[must_use]
    pub fn timer_range(&self, bucket: Bucket, from_ms: u64, to_ms: u64) -> KeyRange {
        let (shard_kind, bucket, kind) = at(bucket, BucketKind::Timer);
        KeyRange {
            begin: self.pack(&(shard_kind, bucket, kind, from_ms)),
            end: self.pack(&(shard_kind, bucket, kind, to_ms)),
        }
    }

    /// The bucket and parts of a timer key.
    ///
    /// # Errors
    /// `Damaged`: it is no timer key of this shard.
    pub fn parse_timer(&self, key: &[u8]) -> Result<(Bucket, TimerKey), StoreError> {
        type Parts<'k> = (u32, u32, u32, u64, u32, Cow<'k, str>, Cow<'k, str>);
        let (shard_kind, bucket, kind, due_ms, type_id, id, name): Parts<'_> = self.unpack("timer", key)?;
        expect_kind("timer", key, (shard_kind, kind), BucketKind::Timer)?;
        let actor = ActorKey { type_id: TypeId(type_id), id: id.into() };
        Ok((Bucket(bucket), TimerKey { due_ms, actor, name: name.into_owned() }))
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
            a in (0_u64..1000, 0_u32..3, any_id(), any_id()),
            b in (0_u64..1000, 0_u32..3, any_id(), any_id()),
        ) {
            let make = |of: &(u64, u32, String, String)| keys().timer(Bucket(6), of.0, TypeId(of.1), &of.2, &of.3);
            let (bucket, timer) = keys().parse_timer(&make(&a)).expect("parses");
            prop_assert_eq!(bucket, Bucket(6));
            prop_assert_eq!((timer.due_ms, timer.actor.type_id.0), (a.0, a.1));
            prop_assert_eq!((&*timer.actor.id, &*timer.name), (&*a.2, &*a.3));
            prop_assert_eq!(make(&a).cmp(&make(&b)), a.cmp(&b));
            prop_assert_eq!(keys().timer_range(Bucket(6), 0, b.0).contains(&make(&a)), a.0 < b.0);
            prop_assert_eq!(keys().timer_range(Bucket(6), b.0, u64::MAX).contains(&make(&a)), a.0 >= b.0);
        }
    }
}
