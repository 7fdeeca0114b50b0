//! `b/<b>/checkpoint`: the offset up to which the bucket's derived keys are complete.

use bytes::Bytes;

use super::{BucketKind, Keys, at};
use crate::ids::Bucket;

impl Keys {
    /// The key of a bucket's checkpoint.
    #[must_use]
    pub fn checkpoint(&self, bucket: Bucket) -> Bytes {
        self.pack(&at(bucket, BucketKind::Checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(keys().checkpoint(Bucket(7)).as_ref(), b"\x02default/shop\x00\x15\x04\x15\x07\x15\x03");
    }
}
