//! Checkpoints: what durable records made of a bucket, written behind them.
//!
//! A checkpoint takes all its values at one durable offset, checks that the bucket is still this
//! cell's, and compares-and-sets the checkpoint row, so a late one cannot go back. It touches no
//! head: commands never wait for it, unless the tail grows past its bound.

use corallite_proto::store as rec;

use super::Lane;
use super::Output;
use super::bucket::{Derived, Dirty};
use super::input::CheckpointError;
use crate::behavior::Engine;
use crate::ids::{Bucket, Offset, Seq, TypeId};
use crate::limits;
use crate::store::key::Keys;
use crate::store::{StoreError, Transaction, chunk, record};

impl<E: Engine> Lane<E> {
    /// Writes the checkpoints that are due by records, bytes or age.
    pub(super) fn checkpoint_if_due(&mut self) {
        let now_ms = self.now_ms;
        let flushing = self.flushing;
        let is_due = |derived: &Derived| {
            let dirty = &derived.dirty;
            derived.taken.is_none()
                && !dirty.is_empty()
                && now_ms >= derived.checkpoint_after_ms
                && (flushing
                    || dirty.records >= limits::CHECKPOINT_TAIL_RECORDS
                    || dirty.bytes >= limits::CHECKPOINT_TAIL_BYTES
                    || now_ms.saturating_sub(dirty.since_ms) >= limits::CHECKPOINT_AGE_MS)
        };
        let due = self.buckets.iter().filter(|(_, owned)| is_due(&owned.derived));
        let mut due: Vec<Bucket> = due.map(|(bucket, _)| *bucket).collect();
        due.sort_unstable();
        for bucket in due {
            self.start_checkpoint(bucket);
        }
    }

    fn start_checkpoint(&mut self, bucket: Bucket) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let mut taken = std::mem::take(&mut owned.derived.dirty);
        taken.upto = owned.durable_next;
        let mut tx = Transaction::default();
        tx.check(self.config.keys.owner(bucket), Some(owned.owner.clone()));
        let checkpoint_key = self.config.keys.checkpoint(bucket);
        tx.check(checkpoint_key.clone(), owned.derived.checkpoint.clone());
        tx.set(checkpoint_key, stored_checkpoint(&taken));
        write_bucket_rows(&mut tx, &self.config.keys, bucket, &taken);
        self.write_actor_rows(&mut tx, bucket, &taken);
        if let Some(owned) = self.buckets.get_mut(&bucket) {
            owned.derived.taken = Some(taken);
        }
        self.out.push(Output::Checkpoint { bucket, tx });
    }

    fn write_actor_rows(&self, tx: &mut Transaction, bucket: Bucket, taken: &Dirty) {
        let keys = &self.config.keys;
        let mut actors: Vec<_> = taken.actors.iter().copied().collect();
        actors.sort_unstable();
        for ix in actors {
            let actor = &self.actors[ix];
            let Some(row) = &actor.row else { continue };
            #[cfg(test)]
            let row = actor
                .speculative()
                .filter(|_| self.sabotage.checkpoint_speculates)
                .map_or(&**row, |s| &s.row);
            let key = keys.row(bucket, actor.key.type_id, &actor.key.id);
            tx.set(key, record::encode(&row.to_stored()));
            let snapshot_key = keys.snapshot(bucket, actor.key.type_id, &actor.key.id);
            if let Some(snapshot) = taken.snapshots.get(&ix) {
                chunk::write_value(tx, snapshot_key, record::encode(&*snapshot.value));
            } else if taken.no_snapshots.contains(&ix) {
                chunk::clear_value(tx, snapshot_key);
            }
        }
        for (ix, part) in taken.retired.iter().filter(|(_, part)| !part.tail.is_empty()) {
            let key = &self.actors[*ix].key;
            let key = keys.history(bucket, key.type_id, &key.id, Seq(part.base_seq));
            tx.set(key, record::encode(&rec::History { tail: part.tail.to_bytes() }));
        }
    }

    pub(super) fn checkpointed(&mut self, bucket: Bucket, result: Result<(), CheckpointError>) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let Some(taken) = owned.derived.taken.take() else { return };
        match result {
            Ok(()) => {
                self.stats.checkpoints += 1;
                owned.derived.checkpoint = Some(stored_checkpoint(&taken));
                self.checkpointed_actors(bucket, taken.actors.into_iter());
                self.finish_releases();
                self.pump_ready();
            }
            Err(CheckpointError::Moved { value }) => {
                owned.derived.checkpoint = value;
                owned.derived.dirty.put_back(taken);
                self.start_checkpoint(bucket);
            }
            Err(CheckpointError::Store(error)) => {
                let pause =
                    if matches!(error, StoreError::Unknown { .. }) { 0 } else { limits::STORE_RETRY_MS };
                owned.derived.checkpoint_after_ms = self.now_ms + pause;
                owned.derived.dirty.put_back(taken);
            }
            Err(CheckpointError::Lost) => {
                owned.derived.dirty.put_back(taken);
                // The batch under way finds out too; until then another try would only fail again.
                owned.derived.checkpoint_after_ms = self.now_ms + limits::STORE_RETRY_MS;
                if !self.in_flight(bucket) {
                    self.drop_bucket(bucket, false);
                }
            }
        }
    }

    /// Brings everything into the store; says so once it is there.
    pub(super) fn flush_everything(&mut self) {
        let mut buckets: Vec<Bucket> = self.buckets.keys().copied().collect();
        buckets.sort_unstable();
        if self.flight.is_none() && self.batch.entries.is_empty() {
            for bucket in &buckets {
                self.log_what_waits(*bucket, 0);
            }
            self.start_flight();
        }
        self.checkpoint_if_due();
        let clean = |derived: &Derived| derived.taken.is_none() && derived.dirty.is_empty();
        let idle = self.flight.is_none() && self.batch.entries.is_empty() && self.held.is_empty();
        if idle && self.buckets.values().all(|owned| clean(&owned.derived)) {
            self.flushing = false;
            self.out.push(Output::Flushed);
        }
    }
}

fn stored_checkpoint(taken: &Dirty) -> bytes::Bytes {
    record::encode(&rec::Checkpoint { offset: taken.upto, last_time_ms: 0 })
}

fn write_bucket_rows(tx: &mut Transaction, keys: &Keys, bucket: Bucket, taken: &Dirty) {
    for (source, below) in &taken.low_waters {
        let source = Bucket(*source);
        let settled = keys.inbox_below(bucket, source, Offset(*below));
        tx.clear_range(settled.begin, settled.end);
        let value = record::encode(&rec::LowWater { source_bucket: source.0, below: *below });
        tx.set(keys.low_water(bucket, source), value);
    }
    for ((source, offset, n), entry) in &taken.inbox {
        tx.set(keys.inbox(bucket, Bucket(*source), Offset(*offset), *n), record::encode(entry));
    }
    for ((offset, n), entry) in &taken.outbox {
        let key = keys.outbox(bucket, Offset(*offset), *n);
        match entry {
            Some(entry) => chunk::write_new_value(tx, key, record::encode(entry)),
            None => chunk::clear_value(tx, key),
        }
    }
    for (at, timer) in &taken.timers {
        let key = keys.timer(bucket, at.due_ms, TypeId(at.type_id), &at.id, &at.name);
        match timer {
            Some(timer) => tx.set(key, record::encode(timer)),
            None => tx.clear(key),
        }
    }
    for (offset, entry) in &taken.dead {
        let key = keys.dead(bucket, Offset(*offset));
        match entry {
            Some(entry) => chunk::write_value(tx, key, record::encode(entry)),
            None => chunk::clear_value(tx, key),
        }
    }
}
