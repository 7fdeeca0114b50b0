//! Values longer than the store takes, spread over several keys.
//!
//! A value up to [`STORE_VALUE_BYTES_MAX`] is stored as it is. A longer one leaves a header under its
//! key (a mark no record format uses, how many chunks follow, length and hash of the whole) and its
//! chunks under the same key one tuple element longer, `0, 1, 2 …`. So the chunks follow their header
//! directly, sort before the next key of the same shape, and lie in every range that holds the key.
//!
//! Guarantees: a value is read back whole or is [`StoreError::Damaged`]; header and chunks are written
//! by one transaction. Not done here: keeping a value within the transaction's limit.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use foundationdb_tuple::TuplePack;
use xxhash_rust::xxh3::xxh3_64;

use super::key::KeyRange;
use super::{Snapshot, StoreError, Transaction};
use crate::limits::STORE_VALUE_BYTES_MAX;

/// First byte of a header. No value of its own may begin with it; formats count up from 1.
const MARK: u8 = 0xff;
/// Mark, chunks, bytes, hash.
const HEADER_BYTES: usize = 1 + 4 + 8 + 8;
/// Chunks are full except the last.
const CHUNK_BYTES: usize = STORE_VALUE_BYTES_MAX;

/// Writes a value under a key that never had one (a record, a message): no old chunks are cleared.
pub fn write_new_value(tx: &mut Transaction, key: Bytes, value: Bytes) {
    debug_assert!(value.first() != Some(&MARK), "a value may not begin with the header's mark");
    if value.len() <= STORE_VALUE_BYTES_MAX {
        tx.set(key, value);
        return;
    }
    let count = value.len().div_ceil(CHUNK_BYTES);
    tx.set(key.clone(), header(count, &value));
    for index in 0..count {
        let end = value.len().min((index + 1) * CHUNK_BYTES);
        tx.set(chunk_key(&key, index), value.slice(index * CHUNK_BYTES..end));
    }
}

/// Writes a value over what the key had, if anything.
pub fn write_value(tx: &mut Transaction, key: Bytes, value: Bytes) {
    let KeyRange { begin, end } = chunks_of(&key);
    tx.clear_range(begin, end);
    write_new_value(tx, key, value);
}

/// Removes a value and its chunks.
pub fn clear_value(tx: &mut Transaction, key: Bytes) {
    let KeyRange { begin, end } = chunks_of(&key);
    tx.clear_range(begin, end);
    tx.clear(key);
}

/// Reads the whole value of `key`.
///
/// # Errors
/// `Damaged` when chunks are missing or are not those of the header; else what the read failed with.
pub async fn read_value(snapshot: &dyn Snapshot, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
    match snapshot.get(key).await? {
        Some(first) if first.first() == Some(&MARK) => join(snapshot, key, &first).await.map(Some),
        whole => Ok(whole),
    }
}

/// A page of whole values, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Keys (without chunk keys) and whole values.
    pub values: Vec<(Bytes, Bytes)>,
    /// Where the next page begins; `None` when the range was read to its end.
    pub next: Option<Bytes>,
}

/// Reads the whole values of a range that begins at a key, at most `limit_rows` rows at once. Every
/// page that has a `next` has at least one value.
///
/// # Errors
/// `Damaged` when chunks are missing or are not those of their header; else what a read failed with.
pub async fn read_range(
    snapshot: &dyn Snapshot,
    range: KeyRange,
    limit_rows: usize,
) -> Result<Values, StoreError> {
    let rows = snapshot.range(range.read(limit_rows)).await?;
    let full = rows.len() >= limit_rows;
    let Folded { mut values, cut } = fold(rows)?;
    if let Some((key, header)) = cut {
        if !full {
            return Err(damaged(&key, "its last chunks are missing"));
        }
        let value = join(snapshot, &key, &header).await?;
        values.push((key, value));
    }
    let next = values.last().filter(|_| full).map(|(key, _)| chunks_of(key).end);
    Ok(Values { values, next })
}

/// What rows of a range are, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Keys (without chunk keys) and whole values.
    pub values: Vec<(Bytes, Bytes)>,
    /// Key and header of a value whose last chunks were not among the rows.
    pub cut: Option<(Bytes, Bytes)>,
}

/// Puts the ascending rows of a range together; the first row must not be a chunk.
///
/// # Errors
/// `Damaged`: between a header and its last chunk lies something else, or the whole has another hash.
pub fn fold(rows: Vec<(Bytes, Bytes)>) -> Result<Folded, StoreError> {
    let mut folded = Folded::default();
    let mut rows = rows.into_iter();
    while let Some((key, first)) = rows.next() {
        if first.first() != Some(&MARK) {
            folded.values.push((key, first));
            continue;
        }
        let header = Header::parse(&key, &first)?;
        let mut whole = header.buffer();
        for index in 0..header.count {
            let Some((chunk_at, chunk)) = rows.next() else {
                folded.cut = Some((key, first));
                return Ok(folded);
            };
            header.append(&key, index, &chunk_at, &chunk, &mut whole)?;
        }
        let value = header.finish(&key, whole)?;
        folded.values.push((key, value));
    }
    Ok(folded)
}

async fn join(snapshot: &dyn Snapshot, key: &[u8], first: &Bytes) -> Result<Bytes, StoreError> {
    let header = Header::parse(key, first)?;
    let rows = snapshot.range(chunks_of(key).read(header.count)).await?;
    if rows.len() < header.count {
        return Err(damaged(key, "its last chunks are missing"));
    }
    let mut whole = header.buffer();
    for (index, (chunk_at, chunk)) in rows.iter().enumerate() {
        header.append(key, index, chunk_at, chunk, &mut whole)?;
    }
    header.finish(key, whole)
}

/// What a header says of its chunks.
struct Header {
    count: usize,
    bytes: usize,
    hash: u64,
}

impl Header {
    fn parse(key: &[u8], first: &Bytes) -> Result<Self, StoreError> {
        if first.len() != HEADER_BYTES {
            return Err(damaged(key, "the header of its chunks has a wrong length"));
        }
        let mut rest = first.slice(1..);
        let (count, bytes, hash) = (rest.get_u32(), rest.get_u64(), rest.get_u64());
        let (count, bytes) = (count as usize, usize::try_from(bytes).unwrap_or(usize::MAX));
        if bytes.div_ceil(CHUNK_BYTES) != count {
            return Err(damaged(key, "the header of its chunks contradicts itself"));
        }
        Ok(Self { count, bytes, hash })
    }

    /// Room for the value, but never on a damaged header's word alone.
    fn buffer(&self) -> BytesMut {
        BytesMut::with_capacity(self.bytes.min(crate::limits::STORE_TRANSACTION_BYTES_MAX))
    }

    fn append(
        &self,
        key: &[u8],
        index: usize,
        chunk_at: &[u8],
        chunk: &Bytes,
        whole: &mut BytesMut,
    ) -> Result<(), StoreError> {
        if chunk_at != chunk_key(key, index).as_ref() {
            return Err(damaged(key, "a chunk is missing"));
        }
        whole.put_slice(chunk);
        Ok(())
    }

    fn finish(&self, key: &[u8], whole: BytesMut) -> Result<Bytes, StoreError> {
        if whole.len() != self.bytes || xxh3_64(&whole) != self.hash {
            return Err(damaged(key, "its chunks are not those of its header"));
        }
        Ok(whole.freeze())
    }
}

fn header(count: usize, value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    out.put_u8(MARK);
    // A value of 2^32 chunks does not fit memory.
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    out.put_u64(value.len() as u64);
    out.put_u64(xxh3_64(value));
    out.freeze()
}

fn chunk_key(key: &[u8], index: usize) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + 5);
    out.extend_from_slice(key);
    (index as u64,).pack_into_vec(&mut out);
    out.into()
}

/// Every key that continues `key`.
fn chunks_of(key: &[u8]) -> KeyRange {
    let longer = |byte: u8| Bytes::from([key, &[byte]].concat());
    KeyRange { begin: longer(0x00), end: longer(0xff) }
}

fn damaged(key: &[u8], why: &str) -> StoreError {
    StoreError::Damaged { reason: format!("{:?}: {why}", foundationdb_tuple::Bytes::from(key)) }
}

#[cfg(test)]
mod tests;
