//! Performs a lane's outputs on the store and gives back the input that follows.
//!
//! Guarantees: reads that decide anything rest on a snapshot opened for them; a doubtful commit is
//! looked into by a transaction that reads the heads *and writes those that are still its own*, so
//! that afterwards it has either landed or cannot land. Simulation and machine run this same code.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;

use super::input::{CheckpointError, FoundRecord, Input, Loaded, Resolution};
use super::land::first_event;
use super::output::{EventSearch, HistoryRead, Output, Reply, ResolveBucket};
use super::row::Row;
use super::turn::actor_key;
use super::work::Token;
use crate::ids::{ActorKey, ActorRef, BatchId, Bucket, Offset, Position, Seq};
use crate::limits;
use crate::outcome::Failure;
use crate::request::{DeadLetter, Event, EventsPage};
use crate::store::key::Keys;
use crate::store::{Snapshot, Store, StoreError, Transaction, chunk, record};

/// Records looked through for an event that came after a command that is repeated.
const SEARCHED_RECORDS_MAX: usize = 10_000;

/// The store as one lane's outputs see it.
#[derive(Clone)]
pub struct StoreIo {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The shard's keys.
    pub keys: Keys,
    /// The key of this cell's session row.
    pub session_key: Bytes,
    /// Its value while the session is this one.
    pub session_value: Bytes,
    /// Type names by interned number, for dead letters.
    pub type_names: Arc<[Arc<str>]>,
}

/// What a performed output gives.
#[derive(Debug)]
pub enum Performed {
    /// An input for the lane that asked.
    Input(Input),
    /// An answer for a client.
    Reply(Token, Reply),
}

impl StoreIo {
    /// Performs one output; `Err` gives back one that is not the store's business.
    ///
    /// # Errors
    /// The output itself.
    pub async fn perform(&self, output: Output) -> Result<Performed, Output> {
        let input = match output {
            Output::Load { load, bucket, key, row, skip_snapshot } => {
                let result = self.load(bucket, &key, row.map(|row| *row), skip_snapshot).await;
                Input::Loaded { load, result }
            }
            Output::Commit { batch, tx } => Input::Committed { batch, result: self.store.commit(tx).await },
            Output::Resolve { batch, id, buckets } => {
                Input::Resolved { batch, result: self.resolve(id, &buckets).await }
            }
            Output::Checkpoint { bucket, tx } => {
                Input::Checkpointed { bucket, result: self.checkpoint(bucket, tx).await }
            }
            Output::CheckSession { check } => {
                Input::SessionChecked { check, result: self.check_session().await }
            }
            Output::FindRecord { lookup, bucket, offset, search } => {
                let result = self.find_record(bucket, offset, search).await;
                Input::RecordFound { lookup, result }
            }
            Output::FindDead { lookup, bucket, offset } => {
                Input::DeadFound { lookup, result: self.find_dead(bucket, offset).await }
            }
            Output::LoadTimers { bucket, from_ms, until_ms } => {
                let result = self.load_timers(bucket, from_ms, until_ms).await;
                Input::TimersLoaded { bucket, until_ms, result }
            }
            Output::ReadHistory(read) => return Ok(self.read_history(read).await),
            Output::ListDead { token, buckets, overlay, limit } => {
                let letters = self.list_dead(&buckets, overlay, limit as usize).await;
                let letters = letters.map_err(|error| super::read::store_failure(&error));
                return Ok(Performed::Reply(token, Reply::DeadLetters(letters)));
            }
            other @ (Output::Reply(..)
            | Output::Deliver(_)
            | Output::Answer(_)
            | Output::LowWater(_)
            | Output::Dropped { .. }
            | Output::Flushed) => return Err(other),
        };
        Ok(Performed::Input(input))
    }

    async fn load(
        &self,
        bucket: Bucket,
        key: &ActorKey,
        row: Option<Row>,
        skip_snapshot: bool,
    ) -> Result<Loaded, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let row = match row {
            Some(row) => row,
            None => match snapshot.get(&self.keys.row(bucket, key.type_id, &key.id)).await? {
                Some(value) => Row::from_stored(record::decode(&value)?)?,
                None => return Ok(Loaded::default()),
            },
        };
        let mut loaded = Loaded::default();
        if !row.absent {
            if row.has_snapshot && !skip_snapshot {
                let key = self.keys.snapshot(bucket, key.type_id, &key.id);
                let value = chunk::read_value(&*snapshot, &key).await?;
                let value = value.ok_or_else(|| damaged(bucket, row.offset, "its snapshot is missing"))?;
                loaded.snapshot = Some(record::decode(&value)?);
            }
            for entry in row.tail.entries() {
                loaded.records.push(self.read_record(&*snapshot, bucket, entry.offset.0).await?);
            }
        }
        loaded.row = Some(row);
        Ok(loaded)
    }

    async fn read_record(
        &self,
        snapshot: &dyn Snapshot,
        bucket: Bucket,
        offset: u64,
    ) -> Result<rec::Record, StoreError> {
        let value = chunk::read_value(snapshot, &self.keys.log(bucket, Offset(offset))).await?;
        record::decode(&value.ok_or_else(|| damaged(bucket, offset, "the record is missing"))?)
    }

    async fn find_record(
        &self,
        bucket: Bucket,
        offset: u64,
        search: Option<Box<EventSearch>>,
    ) -> Result<Box<FoundRecord>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let record = self.read_record(&*snapshot, bucket, offset).await?;
        let Some(search) = search else { return Ok(Box::new(FoundRecord { record, event: None })) };
        let position = |offset| Position { bucket, offset: Offset(offset) };
        let mut event = first_event(&record, position(offset), &search.names);
        if event.is_none() {
            let later = self.history_entries(&*snapshot, &search.history, record.seq + 1).await?;
            for (offset, _) in later.into_iter().take(SEARCHED_RECORDS_MAX) {
                let found = self.read_record(&*snapshot, bucket, offset).await?;
                event = first_event(&found, position(offset), &search.names);
                if event.is_some() {
                    break;
                }
            }
        }
        Ok(Box::new(FoundRecord { record, event }))
    }

    async fn check_session(&self) -> Result<bool, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let value = snapshot.get(&self.session_key).await?;
        Ok(value.as_ref() == Some(&self.session_value))
    }

    async fn checkpoint(&self, bucket: Bucket, tx: Transaction) -> Result<(), CheckpointError> {
        let owner = tx.checks.first().cloned();
        match self.store.commit(tx).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict { .. }) => {
                let found = self.look_after_conflict(bucket).await.map_err(CheckpointError::Store)?;
                let (owner_now, value) = found;
                let expected = match owner {
                    Some(crate::store::Check::Value { expected, .. }) => expected,
                    _ => None,
                };
                if owner_now == expected {
                    Err(CheckpointError::Moved { value })
                } else {
                    Err(CheckpointError::Lost)
                }
            }
            Err(error) => Err(CheckpointError::Store(error)),
        }
    }

    async fn look_after_conflict(
        &self,
        bucket: Bucket,
    ) -> Result<(Option<Bytes>, Option<Bytes>), StoreError> {
        let snapshot = self.store.snapshot().await?;
        let owner = snapshot.get(&self.keys.owner(bucket)).await?;
        let checkpoint = snapshot.get(&self.keys.checkpoint(bucket)).await?;
        Ok((owner, checkpoint))
    }

    /// Finds out what became of a batch in each of its buckets, and makes it impossible where it has
    /// not landed.
    async fn resolve(
        &self,
        id: BatchId,
        buckets: &[ResolveBucket],
    ) -> Result<Vec<(Bucket, Resolution)>, StoreError> {
        let mut last = StoreError::TooOld;
        for _ in 0..limits::RESOLVE_TRIES_MAX {
            let (resolutions, fence) = match self.look_at_heads(id, buckets).await {
                Ok(found) => found,
                Err(StoreError::TooOld) => continue,
                Err(error) => return Err(error),
            };
            if fence.writes.is_empty() {
                return Ok(resolutions);
            }
            match self.store.commit(fence).await {
                Ok(()) => return Ok(resolutions),
                Err(error @ StoreError::Unavailable { .. }) => return Err(error),
                // Landed meanwhile, lost meanwhile, or in doubt itself: the heads tell.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn look_at_heads(
        &self,
        id: BatchId,
        buckets: &[ResolveBucket],
    ) -> Result<(Vec<(Bucket, Resolution)>, Transaction), StoreError> {
        let snapshot = self.store.snapshot().await?;
        let mut found = Vec::with_capacity(buckets.len());
        let mut fence = Transaction::default();
        for ResolveBucket { bucket, owner, first_offset } in buckets {
            let owner_key = self.keys.owner(*bucket);
            let head_key = self.keys.head(*bucket);
            let owner_now = snapshot.get(&owner_key).await?;
            let head_now = snapshot.get(&head_key).await?;
            if owner_now.as_ref() != Some(owner) {
                let landed = self.is_in_log(&*snapshot, *bucket, *first_offset, id).await?;
                found.push((*bucket, Resolution::Lost { landed }));
                continue;
            }
            let Some(stored) = head_now else {
                return Err(damaged(*bucket, *first_offset, "the head is missing"));
            };
            let head: rec::Head = record::decode(&stored)?;
            if head.last_batch == id.0.to_be_bytes()[..] {
                found.push((*bucket, Resolution::Landed));
                continue;
            }
            let fenced = record::encode(&rec::Head { last_batch: fence_mark(id, &stored), ..head });
            fence.check(owner_key, Some(owner.clone()));
            fence.check(head_key.clone(), Some(stored));
            fence.set(head_key, fenced.clone());
            found.push((*bucket, Resolution::NotLanded { head: fenced }));
        }
        Ok((found, fence))
    }

    async fn is_in_log(
        &self,
        snapshot: &dyn Snapshot,
        bucket: Bucket,
        offset: u64,
        id: BatchId,
    ) -> Result<bool, StoreError> {
        let value = chunk::read_value(snapshot, &self.keys.log(bucket, Offset(offset))).await?;
        let Some(value) = value else { return Ok(false) };
        let found: rec::Record = record::decode(&value)?;
        Ok(found.batch == id.0.to_be_bytes()[..])
    }

    pub(crate) async fn load_timers(
        &self,
        bucket: Bucket,
        from_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<(ActorKey, rec::Timer)>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let mut timers = Vec::new();
        let mut range = self.keys.timer_range(bucket, from_ms, until_ms);
        loop {
            let page = chunk::read_range(&*snapshot, range.clone(), limits::STORE_PAGE_ROWS).await?;
            for (key, value) in page.values {
                let (_, at) = self.keys.parse_timer(&key)?;
                timers.push((at.actor, record::decode(&value)?));
            }
            let Some(next) = page.next else { return Ok(timers) };
            range.begin = next;
        }
    }

    async fn find_dead(&self, bucket: Bucket, offset: u64) -> Result<Option<rec::DeadEntry>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let value = chunk::read_value(&*snapshot, &self.keys.dead(bucket, Offset(offset))).await?;
        value.map(|value| record::decode(&value)).transpose()
    }

    async fn list_dead(
        &self,
        buckets: &[(Bucket, Option<u64>)],
        overlay: Vec<(Bucket, u64, Option<rec::DeadEntry>)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let mut newer: BTreeMap<(Bucket, u64), Option<rec::DeadEntry>> = BTreeMap::new();
        for (bucket, offset, entry) in overlay {
            newer.insert((bucket, offset), entry);
        }
        let mut letters = Vec::new();
        for (bucket, after) in buckets {
            let from = after.map_or(0, |offset| offset + 1);
            let mut found: BTreeMap<u64, rec::DeadEntry> = BTreeMap::new();
            let mut range = self.keys.dead_range(*bucket, Offset(from));
            while found.len() < limit {
                let page = chunk::read_range(&*snapshot, range.clone(), limits::STORE_PAGE_ROWS).await?;
                for (key, value) in page.values {
                    let (_, offset) = self.keys.parse_dead(&key)?;
                    if newer.get(&(*bucket, offset.0)) != Some(&None) {
                        found.insert(offset.0, record::decode(&value)?);
                    }
                }
                let Some(next) = page.next else { break };
                range.begin = next;
            }
            for ((_, offset), entry) in newer.range((*bucket, from)..=(*bucket, u64::MAX)) {
                if let Some(entry) = entry {
                    found.insert(*offset, entry.clone());
                }
            }
            letters.extend(found.into_iter().map(|(offset, entry)| self.dead_letter(*bucket, offset, entry)));
            if letters.len() >= limit {
                letters.truncate(limit);
                break;
            }
        }
        Ok(letters)
    }

    fn dead_letter(&self, bucket: Bucket, offset: u64, entry: rec::DeadEntry) -> DeadLetter {
        let name = |name: rec::ActorName| ActorRef {
            type_name: self.type_names.get(name.r#type as usize).cloned().unwrap_or_else(|| "".into()),
            id: name.id.into(),
        };
        DeadLetter {
            position: Position { bucket, offset: Offset(offset) },
            target: name(entry.target.unwrap_or_default()),
            source: entry.source.map(name),
            command: entry.command.into(),
            payload: entry.payload,
            code: entry.code,
            message: entry.message,
            time_ms: entry.time_ms,
        }
    }

    async fn read_history(&self, read: HistoryRead) -> Performed {
        if read.fold {
            let result = self.past_records(&read).await;
            let position = Position { bucket: read.bucket, offset: Offset(read.row.offset) };
            let HistoryRead { token, key, from, .. } = read;
            return Performed::Input(Input::PastRead { token, key, at: from, position, result });
        }
        let page = async {
            let snapshot = self.history_snapshot(&read).await?;
            let page = self.history_page(&*snapshot, &read).await;
            page.map_err(|error| super::read::store_failure(&error))
        };
        Performed::Reply(read.token, Reply::Events(page.await))
    }

    /// A snapshot that was opened after the read's turn and, for a fenced read, still names this
    /// session: until then nobody else can have added to what the turn saw.
    async fn history_snapshot(&self, read: &HistoryRead) -> Result<Arc<dyn Snapshot>, Failure> {
        let opened = async {
            let snapshot = self.store.snapshot().await?;
            let session = if read.fenced { snapshot.get(&self.session_key).await? } else { None };
            Ok((snapshot, session))
        };
        let (snapshot, session) =
            opened.await.map_err(|error: StoreError| super::read::store_failure(&error))?;
        if read.fenced && session.as_ref() != Some(&self.session_value) {
            return Err(super::moved(read.bucket));
        }
        Ok(snapshot)
    }

    /// Offsets of the actor's records with events, each with the seq before its first event.
    async fn history_entries(
        &self,
        snapshot: &dyn Snapshot,
        read: &HistoryRead,
        from: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut parts: BTreeMap<u64, crate::store::tail::Tail> = BTreeMap::new();
        let mut range = self.keys.history_range(read.bucket, read.key.type_id, &read.key.id);
        loop {
            let page = chunk::read_range(snapshot, range.clone(), limits::STORE_PAGE_ROWS).await?;
            for (key, value) in page.values {
                let (_, at) = self.keys.parse_history(&key)?;
                let stored: rec::History = record::decode(&value)?;
                parts.insert(at.seq.0, crate::store::tail::Tail::parse(&stored.tail)?);
            }
            let Some(next) = page.next else { break };
            range.begin = next;
        }
        for part in &read.pending {
            parts.insert(part.base_seq, part.tail.clone());
        }
        parts.insert(read.row.base_seq, read.row.tail.clone());
        let mut entries = Vec::new();
        for (base, tail) in parts {
            let mut before = base;
            for entry in tail.entries() {
                let after = before + u64::from(entry.events);
                if after >= from {
                    entries.push((entry.offset.0, before));
                }
                before = after;
            }
        }
        Ok(entries)
    }

    async fn history_page(
        &self,
        snapshot: &dyn Snapshot,
        read: &HistoryRead,
    ) -> Result<EventsPage, StoreError> {
        let from = read.from.0.max(1);
        let limit = read.limit as usize;
        let mut events = Vec::new();
        for (offset, before) in self.history_entries(snapshot, read, from).await? {
            let found = self.read_record(snapshot, read.bucket, offset).await?;
            let position = Position { bucket: read.bucket, offset: Offset(offset) };
            for (seq, event) in (before + 1..).zip(found.events).filter(|(seq, _)| *seq >= from) {
                if events.len() == limit {
                    return Ok(EventsPage { events, next: Some(Seq(seq)) });
                }
                events.push(Event {
                    seq: Seq(seq),
                    name: event.name.into(),
                    payload: event.payload,
                    time_ms: found.time_ms,
                    position,
                });
            }
        }
        Ok(EventsPage { events, next: None })
    }

    /// The actor's records up to a seq; the last one may go past it and is cut.
    async fn past_records(&self, read: &HistoryRead) -> Result<Vec<rec::Record>, Failure> {
        let snapshot = self.history_snapshot(read).await?;
        let wanted = read.from.0;
        if wanted == 0 || wanted > read.row.seq {
            return Err(Failure::not_found(
                "UnknownSeq",
                format!("atSeq is {wanted}; the actor has 1 to {}", read.row.seq),
            ));
        }
        if wanted > limits::PAST_EVENTS_MAX {
            return Err(Failure::not_applied(
                crate::outcome::Class::TooLarge,
                "TooManyEvents",
                format!(
                    "atSeq {wanted} takes as many events to fold; at most {} are",
                    limits::PAST_EVENTS_MAX
                ),
            ));
        }
        let read_all = async {
            let mut records = Vec::new();
            for (offset, before) in self.history_entries(&*snapshot, read, 1).await? {
                if before >= wanted {
                    break;
                }
                let mut found = self.read_record(&*snapshot, read.bucket, offset).await?;
                let keep = usize::try_from(wanted - before).unwrap_or(usize::MAX);
                if found.events.len() > keep {
                    found.events.truncate(keep);
                    found.destroyed = false;
                }
                records.push(found);
            }
            Ok(records)
        };
        read_all.await.map_err(|error: StoreError| super::read::store_failure(&error))
    }
}

/// A mark that no batch has, different from the one before.
pub(crate) fn fence_mark(id: BatchId, head: &[u8]) -> Bytes {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(&id.0.to_be_bytes());
    hasher.update(head);
    Bytes::copy_from_slice(&hasher.digest128().to_be_bytes())
}

pub(crate) fn damaged(bucket: Bucket, offset: u64, why: &str) -> StoreError {
    StoreError::Damaged { reason: format!("bucket {} at offset {offset}: {why}", bucket.0) }
}

/// The actors of some records, without repetition.
pub(crate) fn actors_of(tail: &[(u64, rec::Record, usize)]) -> Vec<ActorKey> {
    let mut keys: Vec<ActorKey> =
        tail.iter().filter_map(|(_, r, _)| r.actor.as_ref()).map(actor_key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
