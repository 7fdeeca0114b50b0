//! Dead letters: listed from the store and what is newer in memory; replayed or dropped by a record.

use corallite_proto::store as rec;

use super::batch::Entry;
use super::input::{DeadInput, DeadKind};
use super::read::{Lookup, store_failure};
use super::work::Token;
use super::{Lane, Output, Reply};
use crate::behavior::Engine;
use crate::ids::Bucket;
use crate::outcome::Failure;
use crate::store::{StoreError, record};

impl<E: Engine> Lane<E> {
    pub(super) fn take_dead(&mut self, dead: DeadInput) {
        match dead.what {
            DeadKind::List { after, limit } => self.list_dead(dead.token, after, limit),
            DeadKind::Replay(bucket, offset) => self.find_dead(dead.token, bucket, offset, true),
            DeadKind::Drop(bucket, offset) => self.find_dead(dead.token, bucket, offset, false),
        }
    }

    fn list_dead(&mut self, token: Token, after: Option<(Bucket, u64)>, limit: u32) {
        let mut buckets: Vec<_> = self
            .buckets
            .keys()
            .filter(|bucket| after.is_none_or(|(first, _)| **bucket >= first))
            .map(|bucket| (*bucket, after.filter(|(first, _)| first == bucket).map(|(_, offset)| offset)))
            .collect();
        buckets.sort_unstable();
        let mut overlay = Vec::new();
        for (bucket, owned) in &self.buckets {
            let taken = owned.derived.taken.iter().flat_map(|taken| &taken.dead);
            let newer = taken.chain(&owned.derived.dirty.dead);
            overlay.extend(newer.map(|(offset, entry)| (*bucket, *offset, entry.clone())));
        }
        self.out.push(Output::ListDead { token, buckets, overlay, limit });
    }

    fn find_dead(&mut self, token: Token, bucket: Bucket, offset: u64, replay: bool) {
        let Some(owned) = self.buckets.get(&bucket) else {
            return self.reply(token, Reply::DeadChanged(Err(super::moved(bucket))));
        };
        let newer = [Some(&owned.derived.dirty), owned.derived.taken.as_ref()];
        let newer = newer.into_iter().flatten().find_map(|dirty| dirty.dead.get(&offset)).cloned();
        let lookup = self.next_number();
        self.lookups.insert(lookup, Lookup::Dead { token, bucket, offset, replay });
        match newer {
            Some(entry) => self.dead_found(lookup, Ok(entry)),
            None => self.out.push(Output::FindDead { lookup, bucket, offset }),
        }
    }

    pub(super) fn dead_found(&mut self, lookup: u64, result: Result<Option<rec::DeadEntry>, StoreError>) {
        let Some(Lookup::Dead { token, bucket, offset, replay }) = self.lookups.remove(&lookup) else {
            return;
        };
        let letter = match result {
            Ok(Some(letter)) => letter,
            Ok(None) => return self.reply(token, Reply::DeadChanged(Err(no_letter(bucket, offset)))),
            Err(error) => return self.reply(token, Reply::DeadChanged(Err(store_failure(&error)))),
        };
        let gone = self.buckets.get(&bucket).is_none_or(|owned| {
            let dirty = owned.derived.dirty.dead.get(&offset);
            owned.speculative_dead.contains(&offset) || dirty.is_some_and(Option::is_none)
        });
        if gone {
            return self.reply(token, Reply::DeadChanged(Err(no_letter(bucket, offset))));
        }
        let mut record = rec::Record {
            time_ms: self.time_in(bucket),
            dead_dropped: vec![offset],
            ..rec::Record::default()
        };
        if replay {
            record.cause = Some(rec::record::Cause::Replay(rec::ReplayCause { dead_offset: offset }));
            record.messages.push(rec::MessageEntry {
                target: letter.target.clone(),
                command: letter.command,
                payload: letter.payload,
                on_refused: String::new(),
                hops: 1,
                source: letter.source.or(letter.target),
            });
        }
        self.append_bucket_record(bucket, record);
        self.dead_waiting.push((self.batch.number, bucket, token));
    }

    /// Appends a record that belongs to no actor.
    pub(super) fn append_bucket_record(&mut self, bucket: Bucket, record: rec::Record) {
        let Some((offset, record)) = self.place(bucket, record) else { return };
        let value = record::encode(&record);
        self.batch.push(Entry {
            bucket,
            offset,
            actor: None,
            work: None,
            record,
            value,
            applied: None,
            snapshot: None,
        });
    }

    /// Tells those who changed dead letters in this batch how it went.
    pub(super) fn dead_changed(&mut self, upto_batch: u64, result: &Result<(), Failure>) {
        let waiting = std::mem::take(&mut self.dead_waiting);
        for (batch, bucket, token) in waiting {
            if batch <= upto_batch {
                self.reply(token, Reply::DeadChanged(result.clone()));
            } else {
                self.dead_waiting.push((batch, bucket, token));
            }
        }
    }
}

fn no_letter(bucket: Bucket, offset: u64) -> Failure {
    Failure::not_found("UnknownDeadLetter", format!("there is no dead letter at {}:{offset}", bucket.0))
}
