//! `types`: the actor types' names, interned in the order of the list.

use bytes::Bytes;

use super::{Keys, ShardKind};

impl Keys {
    /// The key of the interned type names.
    #[must_use]
    pub fn type_names(&self) -> Bytes {
        self.pack(&(ShardKind::TypeNames as u32,))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(keys().type_names().as_ref(), b"\x02default/shop\x00\x15\x05");
    }
}
