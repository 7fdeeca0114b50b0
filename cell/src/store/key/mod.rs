//! The key table: every key a shard writes, and the ranges it reads.
//!
//! Guarantees: keys are FoundationDB tuples under the shard's prefix, so their bytes order as their
//! parts do; a key parses back to exactly the parts it was made of; nothing else in the cell builds
//! or takes apart a key. What a key's value is, is in `store.proto`.
//!
//! Kinds are small integers ([`ShardKind`], [`BucketKind`]). A kind that is no longer written keeps
//! its integer for ever: it is never given to another.
//!
//! Long values ([`super::chunk`]) continue under their key, one tuple element longer, so every range
//! here also covers the chunks of the keys in it.

mod behavior_version;
mod checkpoint;
mod dead;
mod head;
mod history;
mod identity;
mod inbox;
mod log;
mod low_water;
mod outbox;
mod owner;
mod plan;
mod row;
mod session;
mod snapshot;
mod timer;
mod type_names;

use bytes::Bytes;
use foundationdb_tuple::{TuplePack, TupleUnpack};

use super::{Range, StoreError};
use crate::ids::Bucket;

pub use history::HistoryKey;
pub use inbox::InboxKey;
pub use log::{Part, is_log, log_part};
pub use outbox::OutboxKey;
pub use timer::TimerKey;

/// What stands directly under the shard's prefix. The integer is part of the stored key: only ever
/// add one, never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ShardKind {
    /// `identity` → `Identity`; written once.
    Identity = 0,
    /// `plan` → `Plan`.
    Plan = 1,
    /// `session/<cell>` → `Session`.
    Session = 2,
    /// `beat/<cell>`: the cell's heartbeat; reserved, not written yet.
    Beat = 3,
    /// `b/<bucket>/…`: see [`BucketKind`].
    Bucket = 4,
    /// `types` → `TypeNames`: names interned as [`crate::ids::TypeId`].
    TypeNames = 5,
    /// `behavior/<type>/<ordinal>` → `BehaviorVersion`, chunked.
    BehaviorVersion = 6,
    /// `index/…`: reserved, not written yet.
    Index = 7,
    /// `view/…`: reserved, not written yet.
    View = 8,
    /// `consumer/…`: reserved, not written yet.
    Consumer = 9,
}

/// What stands under `b/<bucket>`. The integer is part of the stored key: only ever add one, never
/// reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BucketKind {
    /// `owner` → `Owner`; written by claim, release and a raised projection only.
    Owner = 0,
    /// `head` → `Head`; overwritten by every commit.
    Head = 1,
    /// `log/<offset>` → `Record`, chunked; the truth, written once each.
    Log = 2,
    /// `checkpoint` → `Checkpoint`: how far the kinds below are complete.
    Checkpoint = 3,
    /// `row/<type>/<id>` → `Row`, chunked; written behind.
    Row = 4,
    /// `history/<type>/<id>/<seq>` → `History`, chunked; written behind.
    History = 5,
    /// `snapshot/<type>/<id>` → `Snapshot`, chunked; written behind.
    Snapshot = 6,
    /// `inbox/<source bucket>/<offset>/<n>` → `InboxEntry`; written behind.
    Inbox = 7,
    /// `outbox/<offset>/<n>` → `OutboxEntry`, chunked; written behind.
    Outbox = 8,
    /// `timer/<due>/<type>/<id>/<name>` → `Timer`, chunked; written behind.
    Timer = 9,
    /// `dead/<offset>` → `DeadEntry`, chunked; written behind.
    Dead = 10,
    /// `low-water/<source bucket>` → `LowWater`: below its offset that source is settled; written
    /// behind.
    LowWater = 11,
    /// `first`: where a trimmed log begins; reserved, not written yet.
    First = 12,
}

/// The kinds that are derived from the log and written behind it.
const DERIVED: [BucketKind; 9] = [
    BucketKind::Checkpoint,
    BucketKind::Row,
    BucketKind::History,
    BucketKind::Snapshot,
    BucketKind::Inbox,
    BucketKind::Outbox,
    BucketKind::Timer,
    BucketKind::Dead,
    BucketKind::LowWater,
];

/// Makes and parses the keys of one shard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The packed prefix, which every key begins with.
    root: Bytes,
}

/// The keys with `begin <= key < end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub begin: Bytes,
    /// The key after the last.
    pub end: Bytes,
}

impl KeyRange {
    /// Reads at most `limit` rows from the begin.
    #[must_use]
    pub fn read(self, limit: usize) -> Range {
        Range { begin: self.begin, end: self.end, limit, reverse: false }
    }

    /// Reads at most `limit` rows from the end, highest key first.
    #[must_use]
    pub fn read_reverse(self, limit: usize) -> Range {
        Range { begin: self.begin, end: self.end, limit, reverse: true }
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.begin.as_ref() <= key && key < self.end.as_ref()
    }
}

impl Keys {
    /// The keys of the shard with this prefix: `<namespace>/<name>` by default.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { root: Bytes::from(prefix.pack_to_vec()) }
    }

    /// Every key of the shard.
    #[must_use]
    pub fn all(&self) -> KeyRange {
        self.under(&())
    }

    /// What is before and after every key of the shard: nothing, in a store of its own. The first
    /// key of a shard is its identity.
    #[must_use]
    pub fn others(&self) -> [KeyRange; 2] {
        let KeyRange { begin, end } = self.all();
        [
            KeyRange { begin: Bytes::new(), end: begin },
            KeyRange { begin: end, end: Bytes::from_static(&[0xff]) },
        ]
    }

    /// Every key of a bucket.
    #[must_use]
    pub fn bucket_range(&self, bucket: Bucket) -> KeyRange {
        self.under(&(ShardKind::Bucket as u32, bucket.0))
    }

    /// The keys of a bucket that are written behind its log: deleting them loses nothing that the
    /// log cannot give back.
    #[must_use]
    pub fn derived_ranges(&self, bucket: Bucket) -> Vec<KeyRange> {
        DERIVED
            .iter()
            .map(|&kind| {
                // The checkpoint is the one derived key without further parts: begin at itself.
                let begin = self.pack(&at(bucket, kind));
                KeyRange { end: self.under(&at(bucket, kind)).end, begin }
            })
            .collect()
    }

    /// Packs prefix and `tail` with one allocation.
    fn pack<T: TuplePack>(&self, tail: &T) -> Bytes {
        Bytes::copy_from_slice(&self.pack_in_place(tail))
    }

    /// The keys that begin with the parts of `tail` and have more parts.
    fn under<T: TuplePack>(&self, tail: &T) -> KeyRange {
        let mut buffer = self.pack_in_place(tail);
        buffer.push(0x00);
        let begin = Bytes::copy_from_slice(&buffer);
        buffer.pop();
        buffer.push(0xff);
        KeyRange { begin, end: Bytes::copy_from_slice(&buffer) }
    }

    /// The parts after the shard's prefix; `what` names the key in the error.
    fn unpack<'k, T: TupleUnpack<'k>>(&self, what: &str, key: &'k [u8]) -> Result<T, StoreError> {
        let tail = key.strip_prefix(self.root.as_ref()).ok_or_else(|| damaged(what, key, "other shard"))?;
        T::unpack_root(tail).map_err(|error| damaged(what, key, &error.to_string()))
    }

    fn pack_in_place<T: TuplePack>(&self, tail: &T) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.extend_from_slice(&self.root);
        // Writing to memory cannot fail, and no part comes near the 4 GiB a tuple may have.
        let _ = tail.pack_root(&mut Appender(&mut buffer));
        buffer
    }
}

/// A key under construction: only ids far above the usual length leave the stack.
type Buffer = smallvec::SmallVec<[u8; 128]>;

struct Appender<'b>(&'b mut Buffer);

impl std::io::Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The parts every key of a bucket begins with.
fn at(bucket: Bucket, kind: BucketKind) -> (u32, u32, u32) {
    (ShardKind::Bucket as u32, bucket.0, kind as u32)
}

/// Refuses a key of another kind.
fn expect_kind(what: &str, key: &[u8], found: (u32, u32), kind: BucketKind) -> Result<(), StoreError> {
    if found == (ShardKind::Bucket as u32, kind as u32) {
        Ok(())
    } else {
        Err(damaged(what, key, "a key of another kind"))
    }
}

fn damaged(what: &str, key: &[u8], why: &str) -> StoreError {
    StoreError::Damaged {
        reason: format!("{:?} is no {what} key: {why}", foundationdb_tuple::Bytes::from(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Offset, TypeId};

    /// Ids in the grammar, weighted to short ones.
    pub fn any_id() -> impl proptest::strategy::Strategy<Value = String> {
        proptest::string::string_regex("[A-Za-z0-9._~@=+:-]{1,40}").expect("a valid expression")
    }

    pub fn keys() -> Keys {
        Keys::new("default/shop")
    }

    #[test]
    fn the_bytes_of_a_key_are_frozen() {
        let key = keys().log(Bucket(7), Offset(300));
        assert_eq!(key.as_ref(), b"\x02default/shop\x00\x15\x04\x15\x07\x15\x02\x16\x01\x2c");
    }

    #[test]
    fn shards_do_not_see_each_other() {
        let other = Keys::new("default/shop2");
        assert!(!keys().all().contains(&other.log(Bucket(0), Offset(0))));
        assert!(keys().all().contains(&keys().identity()));
        assert!(!keys().others().iter().any(|range| range.contains(&keys().identity())));
        for prefix in ["default/shop2", "default/sho", "a/b", "z/y"] {
            let range =
                keys().others().into_iter().find(|range| range.contains(&Keys::new(prefix).identity()));
            assert!(range.is_some(), "{prefix}");
        }
        assert!(matches!(
            keys().parse_log(&other.log(Bucket(0), Offset(0))),
            Err(StoreError::Damaged { .. })
        ));
    }

    #[test]
    fn a_buckets_range_holds_it_alone() {
        let range = keys().bucket_range(Bucket(1));
        assert!(range.contains(&keys().owner(Bucket(1))));
        assert!(range.contains(&keys().low_water(Bucket(1), Bucket(300))));
        assert!(!range.contains(&keys().owner(Bucket(0))));
        assert!(!range.contains(&keys().owner(Bucket(2))));
        assert!(!range.contains(&keys().owner(Bucket(256))));
    }

    #[test]
    fn derived_ranges_hold_what_is_written_behind_and_nothing_else() {
        let (keys, bucket) = (keys(), Bucket(9));
        let derived = |key: &Bytes| keys.derived_ranges(bucket).iter().any(|range| range.contains(key));
        for key in [
            keys.checkpoint(bucket),
            keys.row(bucket, TypeId(0), "a"),
            keys.history(bucket, TypeId(0), "a", crate::ids::Seq(1)),
            keys.snapshot(bucket, TypeId(0), "a"),
            keys.inbox(bucket, Bucket(0), Offset(0), 0),
            keys.outbox(bucket, Offset(0), 0),
            keys.timer(bucket, 0, TypeId(0), "a", "t"),
            keys.dead(bucket, Offset(0)),
            keys.low_water(bucket, Bucket(0)),
        ] {
            assert!(derived(&key), "{key:?}");
        }
        for key in
            [keys.owner(bucket), keys.head(bucket), keys.log(bucket, Offset(3)), keys.checkpoint(Bucket(8))]
        {
            assert!(!derived(&key), "{key:?}");
        }
    }
}
