//! `b/<b>/head`: where the bucket's log ends; overwritten by every commit.

use bytes::Bytes;

use super::{BucketKind, Keys, at};
use crate::ids::Bucket;

impl Keys {
    /// The key of a bucket's head.
    #[must_use]
    pub fn head(&self, bucket: Bucket) -> Bytes {
        self.pack(&at(bucket, BucketKind::Head))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(keys().head(Bucket(7)).as_ref(), b"\x02default/shop\x00\x15\x04\x15\x07\x15\x01");
    }
}
