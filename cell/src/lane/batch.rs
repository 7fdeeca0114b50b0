//! A batch: records of many actors that become durable together, and the transaction that does it.

use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;

use super::actor::ActorIx;
use super::bucket::BucketState;
use super::work::Work;
use crate::ids::{BatchId, Bucket, Offset};
use crate::request::Applied;
use crate::store::key::Keys;
use crate::store::{Transaction, chunk, record};

/// Records that are to become durable together.
pub(crate) struct Batch {
    /// Counts up within the lane; answers name the batch they wait for by it.
    pub number: u64,
    /// Its marker in the log and in the heads.
    pub id: BatchId,
    /// In the order the turns ran.
    pub entries: Vec<Entry>,
    /// Bytes of its records and snapshots.
    pub bytes: usize,
}

/// One record of a batch.
pub(crate) struct Entry {
    /// The bucket whose log it goes into.
    pub bucket: Bucket,
    /// Its place there.
    pub offset: u64,
    /// The actor, unless it is a record of the bucket itself.
    pub actor: Option<ActorIx>,
    /// The turn that made it, to be run again if need be.
    pub work: Option<Work>,
    /// The record.
    pub record: rec::Record,
    /// The record as stored.
    pub value: Bytes,
    /// What to answer the client.
    pub applied: Option<Applied>,
    /// A snapshot of the actor after this record.
    pub snapshot: Option<Arc<rec::Snapshot>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.value.len() + self.snapshot.as_ref().map_or(0, |snapshot| snapshot.state.len())
    }
}

impl Batch {
    pub fn new(number: u64, id: BatchId) -> Self {
        Self { number, id, entries: Vec::new(), bytes: 0 }
    }

    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push(entry);
    }

    /// Goes on with these entries only.
    pub fn keep(&mut self, entries: Vec<Entry>) {
        self.bytes = entries.iter().map(Entry::bytes).sum();
        self.entries = entries;
    }

    /// Its buckets in order, each with the offset of its first record here.
    pub fn buckets(&self) -> Vec<(Bucket, u64)> {
        let mut first: Vec<(Bucket, u64)> = self.entries.iter().map(|e| (e.bucket, e.offset)).collect();
        first.sort_unstable();
        first.dedup_by_key(|(bucket, _)| *bucket);
        first
    }

    /// The head each bucket has after this batch, as stored.
    pub fn heads(&self) -> Vec<(Bucket, Bytes)> {
        let mut last: Vec<(Bucket, &Entry)> = self.entries.iter().map(|e| (e.bucket, e)).collect();
        last.sort_by_key(|(bucket, entry)| (*bucket, std::cmp::Reverse(entry.offset)));
        last.dedup_by_key(|(bucket, _)| *bucket);
        last.into_iter()
            .map(|(bucket, entry)| {
                let head = rec::Head {
                    next_offset: entry.offset + 1,
                    last_batch: Bytes::copy_from_slice(&self.id.0.to_be_bytes()),
                    last_time_ms: entry.record.time_ms,
                };
                (bucket, record::encode(&head))
            })
            .collect()
    }

    /// The transaction: owner and head of each bucket checked, heads overwritten, records written.
    pub fn transaction<'a>(
        &self,
        keys: &Keys,
        heads: &[(Bucket, Bytes)],
        state: impl Fn(Bucket) -> Option<&'a BucketState>,
    ) -> Transaction {
        let mut tx = Transaction::default();
        for (bucket, head) in heads {
            let Some(owned) = state(*bucket) else { continue };
            let head_key = keys.head(*bucket);
            tx.check(keys.owner(*bucket), Some(owned.owner.clone()));
            tx.check(head_key.clone(), Some(owned.head.clone()));
            tx.set(head_key, head.clone());
        }
        for entry in &self.entries {
            let key = keys.log(entry.bucket, Offset(entry.offset));
            chunk::write_new_value(&mut tx, key, entry.value.clone());
        }
        tx
    }
}
