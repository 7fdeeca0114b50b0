//! `plan`: which cell serves which bucket; changed by compare-and-set.

use bytes::Bytes;

use super::{Keys, ShardKind};

impl Keys {
    /// The key of the plan.
    #[must_use]
    pub fn plan(&self) -> Bytes {
        self.pack(&(ShardKind::Plan as u32,))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(keys().plan().as_ref(), b"\x02default/shop\x00\x15\x01");
    }
}
