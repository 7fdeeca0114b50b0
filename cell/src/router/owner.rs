//! Who owns a bucket: sessions, claims and releases as store transactions.
//!
//! - Session: starting a cell writes its session row and so gives up the cell's earlier run.
//! - Claim: one transaction that checks the own session, the plan, and that the bucket is free, its
//!   owner's session is gone, or it is already this session's. It writes owner and head, so every
//!   commit of an earlier owner that has not landed cannot land any more.
//! - Release: frees the bucket, checked against the owner row.
//!
//! Safety rests on the store alone. What this does not do: decide who should own what.

use std::sync::Arc;

use bytes::Bytes;
use corallite_proto::store as rec;

use crate::ids::{Bucket, Offset, SessionId};
use crate::lane::bucket::BucketBoot;
use crate::lane::io::{StoreIo, actors_of, fence_mark};
use crate::lane::row::Row;
use crate::limits;
use crate::store::key::{KeyRange, Keys};
use crate::store::{Snapshot, Store, StoreError, Transaction, chunk, record};

/// One run of a cell, as the store knows it.
#[derive(Clone)]
pub struct Session {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The shard's keys.
    pub keys: Keys,
    /// The cell's name.
    pub cell: String,
    /// This run.
    pub id: SessionId,
    /// The session row as this run wrote it.
    pub value: Bytes,
}

/// Why a bucket was not claimed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another run of this cell has started.
    #[error("session {0:?} of this cell was given up: another run has started or the cell was fenced")]
    SessionLost(String),
    /// The plan gives the bucket to another cell.
    #[error("the plan does not give bucket {} to cell {cell}", bucket.0)]
    NotPlanned {
        /// The bucket.
        bucket: Bucket,
        /// This cell.
        cell: String,
    },
    /// Its owner's session lives.
    #[error("bucket {} is owned by cell {owner}, whose session lives", bucket.0)]
    Owned {
        /// The bucket.
        bucket: Bucket,
        /// Its owner.
        owner: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Session {
    /// Starts a session: from now on an earlier run of this cell cannot claim or answer.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start(
        store: Arc<dyn Store>,
        keys: Keys,
        cell: &str,
        id: SessionId,
        now_ms: u64,
    ) -> Result<Self, StoreError> {
        let session = Bytes::copy_from_slice(&id.0.to_be_bytes());
        let value = record::encode(&rec::Session { session, started_ms: now_ms });
        let key = keys.session(cell);
        retry(async || {
            let snapshot = store.snapshot().await?;
            let before = snapshot.get(&key).await?;
            if before.as_ref() == Some(&value) {
                return Ok(());
            }
            let mut tx = Transaction::default();
            tx.check(key.clone(), before);
            tx.set(key.clone(), value.clone());
            store.commit(tx).await
        })
        .await?;
        Ok(Self { store, keys, cell: cell.to_owned(), id, value })
    }

    /// The lane's view of the store under this session.
    #[must_use]
    pub fn io(&self, type_names: Arc<[Arc<str>]>) -> StoreIo {
        StoreIo {
            store: self.store.clone(),
            keys: self.keys.clone(),
            session_key: self.keys.session(&self.cell),
            session_value: self.value.clone(),
            type_names,
        }
    }

    /// Writes a plan that gives every bucket to this cell, unless there is a plan.
    ///
    /// # Errors
    /// The store failed.
    pub async fn plan_alone(&self, buckets: u32) -> Result<(), StoreError> {
        let key = self.keys.plan();
        let ranges = rec::CellRanges { cell: self.cell.clone(), bounds: vec![0, buckets - 1] };
        let plan = record::encode(&rec::Plan { version: 1, cells: vec![ranges] });
        retry(async || {
            let snapshot = self.store.snapshot().await?;
            if snapshot.get(&key).await?.is_some() {
                return Ok(());
            }
            let mut tx = Transaction::default();
            tx.check(key.clone(), None);
            tx.set(key.clone(), plan.clone());
            self.store.commit(tx).await
        })
        .await
    }

    /// Claims a bucket; gives the owner and head rows as written.
    ///
    /// # Errors
    /// See [`ClaimError`].
    pub async fn claim(&self, bucket: Bucket) -> Result<(Bytes, Bytes), ClaimError> {
        let mut last = StoreError::TooOld;
        for _ in 0..limits::RESOLVE_TRIES_MAX {
            match self.try_claim(bucket).await {
                Err(ClaimError::Store(
                    error @ (StoreError::Conflict { .. } | StoreError::Unknown { .. } | StoreError::TooOld),
                )) => last = error,
                ended => return ended,
            }
        }
        Err(last.into())
    }

    async fn try_claim(&self, bucket: Bucket) -> Result<(Bytes, Bytes), ClaimError> {
        let snapshot = self.store.snapshot().await?;
        let session_key = self.keys.session(&self.cell);
        if snapshot.get(&session_key).await?.as_ref() != Some(&self.value) {
            return Err(ClaimError::SessionLost(format!("{:032x}", self.id.0)));
        }
        let plan_key = self.keys.plan();
        let plan = snapshot.get(&plan_key).await?;
        if !plan_names(plan.as_ref(), &self.cell, bucket)? {
            return Err(ClaimError::NotPlanned { bucket, cell: self.cell.clone() });
        }
        let mut tx = Transaction::default();
        tx.check(session_key, Some(self.value.clone()));
        tx.check(plan_key, plan);
        let owner_key = self.keys.owner(bucket);
        let head_key = self.keys.head(bucket);
        let owner_now = snapshot.get(&owner_key).await?;
        let head_now = snapshot.get(&head_key).await?;
        let owner = match &owner_now {
            Some(value) => record::decode(value)?,
            None => rec::Owner { free: true, ..rec::Owner::default() },
        };
        if let (Some(value), Some(head)) = (&owner_now, &head_now)
            && !owner.free
            && owner.session == self.id.0.to_be_bytes()[..]
        {
            return Ok((value.clone(), head.clone()));
        }
        if !owner.free {
            self.check_gone(&*snapshot, bucket, &owner, &mut tx).await?;
        }
        let head: rec::Head = head_now.as_ref().map(record::decode).transpose()?.unwrap_or_default();
        let new_owner = record::encode(&rec::Owner {
            cell: self.cell.clone(),
            session: Bytes::copy_from_slice(&self.id.0.to_be_bytes()),
            epoch: owner.epoch + 1,
            projection: owner.projection,
            free: false,
        });
        let mark = fence_mark(crate::ids::BatchId(self.id.0), head_now.as_deref().unwrap_or_default());
        let new_head = record::encode(&rec::Head { last_batch: mark, ..head });
        tx.check(owner_key.clone(), owner_now);
        tx.check(head_key.clone(), head_now);
        tx.set(owner_key, new_owner.clone());
        tx.set(head_key, new_head.clone());
        self.store.commit(tx).await?;
        Ok((new_owner, new_head))
    }

    /// The owner's session must be gone, and stay so until the claim.
    async fn check_gone(
        &self,
        snapshot: &dyn Snapshot,
        bucket: Bucket,
        owner: &rec::Owner,
        tx: &mut Transaction,
    ) -> Result<(), ClaimError> {
        if owner.cell == self.cell {
            // This cell's session row is checked already: it names another run than the owner's.
            return Ok(());
        }
        let key = self.keys.session(&owner.cell);
        let value = snapshot.get(&key).await?;
        let session: Option<rec::Session> = value.as_ref().map(record::decode).transpose()?;
        if session.is_some_and(|session| session.session == owner.session) {
            return Err(ClaimError::Owned { bucket, owner: owner.cell.clone() });
        }
        tx.check(key, value);
        Ok(())
    }

    /// Frees a bucket that this session owns.
    ///
    /// # Errors
    /// The store failed; when the bucket has another owner there is nothing to free and that is `Ok`.
    pub async fn release(&self, bucket: Bucket) -> Result<(), StoreError> {
        retry(async || {
            let snapshot = self.store.snapshot().await?;
            let (owner_key, head_key) = (self.keys.owner(bucket), self.keys.head(bucket));
            let Some(value) = snapshot.get(&owner_key).await? else { return Ok(()) };
            let owner: rec::Owner = record::decode(&value)?;
            if owner.free || owner.session != self.id.0.to_be_bytes()[..] {
                return Ok(());
            }
            let head_now = snapshot.get(&head_key).await?;
            let head: rec::Head = head_now.as_ref().map(record::decode).transpose()?.unwrap_or_default();
            let mark = fence_mark(crate::ids::BatchId(self.id.0), head_now.as_deref().unwrap_or_default());
            let mut tx = Transaction::default();
            tx.check(owner_key.clone(), Some(value));
            tx.check(head_key.clone(), head_now);
            tx.set(owner_key, record::encode(&rec::Owner { free: true, ..owner }));
            tx.set(head_key, record::encode(&rec::Head { last_batch: mark, ..head }));
            self.store.commit(tx).await
        })
        .await
    }

    /// Reads what a lane needs to serve a bucket that was just claimed.
    ///
    /// # Errors
    /// The store failed, or holds damaged data.
    pub async fn read_bucket(
        &self,
        io: &StoreIo,
        bucket: Bucket,
        (owner, head): (Bytes, Bytes),
        now_ms: u64,
    ) -> Result<BucketBoot, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let keys = &self.keys;
        let checkpoint = snapshot.get(&keys.checkpoint(bucket)).await?;
        let stored: Option<rec::Checkpoint> = checkpoint.as_ref().map(record::decode).transpose()?;
        let mut boot = BucketBoot {
            bucket: bucket.0,
            owner,
            head_value: record::decode(&head)?,
            head,
            checkpoint,
            checkpoint_offset: stored.map_or(0, |stored| stored.offset),
            timers_until_ms: now_ms + limits::TIMER_HORIZON_MS,
            ..BucketBoot::default()
        };
        for (key, value) in read_all(&*snapshot, keys.outbox_range(bucket)).await? {
            let (_, at) = keys.parse_outbox(&key)?;
            boot.outbox.push(((at.offset.0, at.n), record::decode(&value)?));
        }
        for (key, value) in read_all(&*snapshot, keys.inbox_range(bucket)).await? {
            let (_, at) = keys.parse_inbox(&key)?;
            boot.inbox.push(((at.source.0, at.offset.0, at.n), record::decode(&value)?));
        }
        for (_, value) in read_all(&*snapshot, keys.low_water_range(bucket)).await? {
            let mark: rec::LowWater = record::decode(&value)?;
            boot.low_waters.push((mark.source_bucket, mark.below));
        }
        boot.timers = io.load_timers(bucket, 0, boot.timers_until_ms).await?;
        self.read_tail(&*snapshot, bucket, &mut boot).await?;
        Ok(boot)
    }

    async fn read_tail(
        &self,
        snapshot: &dyn Snapshot,
        bucket: Bucket,
        boot: &mut BucketBoot,
    ) -> Result<(), StoreError> {
        let keys = &self.keys;
        let (from, to) = (Offset(boot.checkpoint_offset), Offset(boot.head_value.next_offset));
        let mut expected = from;
        if from < to {
            for (key, value) in read_all(snapshot, keys.log_range(bucket, from, Some(to))).await? {
                let (_, offset) = keys.parse_log(&key)?;
                if offset != expected {
                    return Err(crate::lane::io::damaged(bucket, expected.0, "the record is missing"));
                }
                expected = expected.next();
                boot.tail.push((offset.0, record::decode(&value)?, value.len()));
            }
        }
        if expected != to {
            return Err(crate::lane::io::damaged(bucket, expected.0, "the log ends before its head says"));
        }
        for key in actors_of(&boot.tail) {
            if let Some(value) = snapshot.get(&keys.row(bucket, key.type_id, &key.id)).await? {
                boot.rows.push((key, Row::from_stored(record::decode(&value)?)?));
            }
        }
        Ok(())
    }
}

/// All rows of a range, chunked values put together.
pub(crate) async fn read_all(
    snapshot: &dyn Snapshot,
    mut range: KeyRange,
) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut rows = Vec::new();
    loop {
        let page = chunk::read_range(snapshot, range.clone(), limits::STORE_PAGE_ROWS).await?;
        rows.extend(page.values);
        let Some(next) = page.next else { return Ok(rows) };
        range.begin = next;
    }
}

/// Runs an idempotent transaction until it is surely done.
pub(crate) async fn retry(step: impl AsyncFn() -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut last = StoreError::TooOld;
    for _ in 0..limits::RESOLVE_TRIES_MAX {
        match step().await {
            Err(error @ (StoreError::Conflict { .. } | StoreError::Unknown { .. } | StoreError::TooOld)) => {
                last = error;
            }
            ended => return ended,
        }
    }
    Err(last)
}

fn plan_names(plan: Option<&Bytes>, cell: &str, bucket: Bucket) -> Result<bool, StoreError> {
    let Some(plan) = plan else { return Ok(false) };
    let plan: rec::Plan = record::decode(plan)?;
    let mine = plan.cells.iter().filter(|ranges| ranges.cell == cell);
    let in_range = |bounds: &[u32]| matches!(bounds, [first, last] if (*first..=*last).contains(&bucket.0));
    Ok(mine.flat_map(|ranges| ranges.bounds.chunks(2)).any(in_range))
}
