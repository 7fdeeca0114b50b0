//! `behavior/<type>/<ordinal>`: the versions of each type's behavior, oldest first.

use bytes::Bytes;

use super::{KeyRange, Keys, ShardKind, damaged};
use crate::ids::TypeId;
use crate::store::StoreError;

impl Keys {
    /// The key of one version of a type's behavior; the first has ordinal 0.
    #[must_use]
    pub fn behavior_version(&self, type_id: TypeId, ordinal: u32) -> Bytes {
        self.pack(&(ShardKind::BehaviorVersion as u32, type_id.0, ordinal))
    }

    /// The versions of one type's behavior in their order.
    #[must_use]
    pub fn behavior_version_range(&self, type_id: TypeId) -> KeyRange {
        self.under(&(ShardKind::BehaviorVersion as u32, type_id.0))
    }

    /// The versions of every type's behavior.
    #[must_use]
    pub fn behavior_version_range_all(&self) -> KeyRange {
        self.under(&(ShardKind::BehaviorVersion as u32,))
    }

    /// The type and ordinal of a behavior version's key.
    ///
    /// # Errors
    /// `Damaged`: it is no such key of this shard.
    pub fn parse_behavior_version(&self, key: &[u8]) -> Result<(TypeId, u32), StoreError> {
        let (kind, type_id, ordinal): (u32, u32, u32) = self.unpack("behavior version", key)?;
        if kind != ShardKind::BehaviorVersion as u32 {
            return Err(damaged("behavior version", key, "a key of another kind"));
        }
        Ok((TypeId(type_id), ordinal))
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
            let make = |(type_id, ordinal)| keys().behavior_version(TypeId(type_id), ordinal);
            prop_assert_eq!(keys().parse_behavior_version(&make(a)).expect("parses"), (TypeId(a.0), a.1));
            prop_assert_eq!(make(a).cmp(&make(b)), a.cmp(&b));
            prop_assert_eq!(keys().behavior_version_range(TypeId(a.0)).contains(&make(b)), a.0 == b.0);
            prop_assert!(keys().behavior_version_range_all().contains(&make(a)));
        }
    }
}
