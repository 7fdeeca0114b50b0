//! `session/<cell>`: the run of a cell that may own buckets.

use std::borrow::Cow;

use bytes::Bytes;

use super::{KeyRange, Keys, ShardKind, damaged};
use crate::store::StoreError;

impl Keys {
    /// The key of a cell's session.
    #[must_use]
    pub fn session(&self, cell: &str) -> Bytes {
        self.pack(&(ShardKind::Session as u32, cell))
    }

    /// The sessions of all cells.
    #[must_use]
    pub fn session_range(&self) -> KeyRange {
        self.under(&(ShardKind::Session as u32,))
    }

    /// The cell of a session key.
    ///
    /// # Errors
    /// `Damaged`: it is no session key of this shard.
    pub fn parse_session(&self, key: &[u8]) -> Result<String, StoreError> {
        let (kind, cell): (u32, Cow<'_, str>) = self.unpack("session", key)?;
        if kind != ShardKind::Session as u32 {
            return Err(damaged("session", key, "a key of another kind"));
        }
        Ok(cell.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(cell in any::<String>()) {
            let key = keys().session(&cell);
            prop_assert!(keys().session_range().contains(&key));
            prop_assert_eq!(keys().parse_session(&key).expect("parses"), cell);
        }
    }
}
