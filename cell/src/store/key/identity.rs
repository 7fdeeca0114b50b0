//! `identity`: what the shard is; written once, a mismatch stops the cell.

use bytes::Bytes;

use super::{Keys, ShardKind};

impl Keys {
    /// The key of the shard's identity.
    #[must_use]
    pub fn identity(&self) -> Bytes {
        self.pack(&(ShardKind::Identity as u32,))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;

    #[test]
    fn the_identity_is_the_first_key_of_the_shard() {
        assert_eq!(keys().identity().as_ref(), b"\x02default/shop\x00\x14");
    }
}
