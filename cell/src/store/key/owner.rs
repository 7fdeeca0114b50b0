//! `b/<b>/owner`: who may append to the bucket's log.

use bytes::Bytes;

use super::{BucketKind, Keys, at};
use crate::ids::Bucket;

impl Keys {
    /// The key of a bucket's owner.
    #[must_use]
    pub fn owner(&self, bucket: Bucket) -> Bytes {
        self.pack(&at(bucket, BucketKind::Owner))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::keys;
    use super::*;

    #[test]
    fn the_bytes_are_frozen() {
        assert_eq!(keys().owner(Bucket(7)).as_ref(), b"\x02default/shop\x00\x15\x04\x15\x07\x14");
    }
}
