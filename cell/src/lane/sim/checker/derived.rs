//! What is written behind the log, made comparable: however often it was checkpointed, and even if it
//! was thrown away and made again, it says the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use corallite_proto::store as rec;

use super::super::process::BUCKETS;
use super::super::world::World;
use super::ensure;
use crate::ids::Bucket;
use crate::store::record;
use crate::store::tail::Tail;

/// An actor's row with all its records, whichever part of the store lists them.
#[derive(Clone, Debug, Default, PartialEq)]
struct ActorRow {
    seq: u64,
    offset: u64,
    absent: bool,
    timers: Vec<rec::Timer>,
    remembered: Vec<rec::RememberedId>,
    records: Vec<(u64, u32)>,
}

/// The derived keys of all buckets.
#[derive(Default)]
pub struct Derived {
    rows: BTreeMap<(u32, String), ActorRow>,
    /// Outbox, inbox, timers, dead letters, low-water marks and checkpoints as stored.
    others: BTreeMap<Bytes, Bytes>,
}

impl Derived {
    /// Reads them from a world's store.
    pub fn read(world: &World) -> Result<Self, String> {
        Self::try_read(world).map_err(|error| error.to_string())
    }

    fn try_read(world: &World) -> Result<Self, crate::store::StoreError> {
        let keys = &world.keys;
        let mut derived = Self::default();
        for bucket in (0..BUCKETS).map(Bucket) {
            let mut low_waters: BTreeMap<u32, u64> = BTreeMap::new();
            for (_, value) in world.store.dump_range(&keys.low_water_range(bucket)) {
                let mark: rec::LowWater = record::decode(&value)?;
                low_waters.insert(mark.source_bucket, mark.below);
            }
            let mut histories: BTreeMap<String, BTreeMap<u64, Tail>> = BTreeMap::new();
            for (key, value) in
                keys.derived_ranges(bucket).iter().flat_map(|range| world.store.dump_range(range))
            {
                if let Ok((_, actor)) = keys.parse_row(&key) {
                    let row: rec::Row = record::decode(&value)?;
                    histories
                        .entry(actor.id.to_string())
                        .or_default()
                        .insert(row.base_seq, Tail::parse(&row.tail)?);
                    let row = ActorRow {
                        seq: row.seq,
                        offset: row.offset,
                        absent: row.absent,
                        timers: row.timers,
                        remembered: row.remembered,
                        records: Vec::new(),
                    };
                    derived.rows.insert((bucket.0, actor.id.to_string()), row);
                } else if let Ok((_, at)) = keys.parse_history(&key) {
                    let history: rec::History = record::decode(&value)?;
                    let parts = histories.entry(at.actor.id.to_string()).or_default();
                    parts.insert(at.seq.0, Tail::parse(&history.tail)?);
                } else if let Ok((_, at)) = keys.parse_inbox(&key) {
                    let settled = low_waters.get(&at.source.0).is_some_and(|below| at.offset.0 < *below);
                    if !settled {
                        derived.others.insert(key, value);
                    }
                } else if key != keys.snapshot(bucket, crate::ids::TypeId(0), &snapshot_of(&key)) {
                    derived.others.insert(key, value);
                }
            }
            for (id, parts) in histories {
                let row = derived.rows.entry((bucket.0, id)).or_default();
                let entries = parts.values().flat_map(Tail::entries);
                row.records = entries.map(|entry| (entry.offset.0, entry.events)).collect();
            }
        }
        Ok(derived)
    }

    /// Whether both say the same.
    pub fn check_same(&self, rebuilt: &Self) -> Result<(), String> {
        for (key, row) in self.rows.iter().chain(&rebuilt.rows) {
            let (before, after) = (self.rows.get(key), rebuilt.rows.get(key));
            ensure!(before == after, "row {key:?} ({row:?}) was {before:?}, rebuilt it is {after:?}");
        }
        for key in self.others.keys().chain(rebuilt.others.keys()) {
            let (before, after) = (self.others.get(key), rebuilt.others.get(key));
            ensure!(before == after, "derived key {key:?} was {before:?}, rebuilt it is {after:?}");
        }
        Ok(())
    }
}

/// Whether every bucket's checkpoint holds all of its log.
pub fn is_checkpointed(world: &World) -> bool {
    (0..BUCKETS).map(Bucket).all(|bucket| {
        let head = world.row(&world.keys.head(bucket)).and_then(|row| record::decode::<rec::Head>(&row).ok());
        let checkpoint = world.row(&world.keys.checkpoint(bucket));
        let checkpoint = checkpoint.and_then(|row| record::decode::<rec::Checkpoint>(&row).ok());
        checkpoint.map_or(0, |row| row.offset) == head.map_or(0, |row| row.next_offset)
    })
}

/// The account of a snapshot key: its ids have two characters.
fn snapshot_of(key: &[u8]) -> String {
    let end = key.len().saturating_sub(1);
    String::from_utf8_lossy(&key[end.saturating_sub(2)..end]).into_owned()
}
