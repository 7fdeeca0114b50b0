//! Checks fjall's journals before fjall reads them.
//!
//! fjall ends a journal at the first bytes it does not understand and drops the rest without a word.
//! That is right for a torn tail: a batch that was being written when the machine stopped, and that
//! nobody was told of. It is wrong for a journal changed in the middle. Each batch is synced before
//! the next is written, so a whole batch after an unreadable place is proof of damage.
//!
//! Guarantees: damage before the last batch of a journal is found and named; a torn tail is cut off.
//! Not told apart: a torn tail from damage of the very last batch.
//!
//! The format of a batch (fjall 3, little endian): `1`, items `u32`, seqno `u64`; per item `2`, kind
//! `u8`, compression `u8`, keyspace `u64`, key length `u16`, value length `u32`, stored length `u32`,
//! key, stored value; or `4`, keyspace `u64`; then `3`, `xxh3_64` of the items, `FJL\x03`.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// What is wrong with a journal.
#[derive(Debug)]
pub enum Found {
    /// It cannot be read or cut.
    Io(io::Error),
    /// It was changed after it was written.
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where, and what.
        reason: String,
    },
}

/// Checks every journal of a folder nobody else has open; cuts the torn tail of the newest.
pub fn check(folder: &Path) -> Result<(), Found> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder).map_err(Found::Io)? {
        let path = entry.map_err(Found::Io)?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            journals.push((number_of(&path)?, path));
        }
    }
    journals.sort_unstable();
    let newest = journals.pop();
    for (_, path) in &journals {
        // Sealed and synced: nothing of it can be torn.
        if let Some(at) = unreadable_from(&fs::read(path).map_err(Found::Io)?) {
            return Err(damaged(path, at));
        }
    }
    match newest {
        Some((_, path)) => check_newest(&path),
        None => Err(Found::Damaged { path: folder.to_owned(), reason: "it has no journal (*.jnl)".into() }),
    }
}

/// Whether a journal was ever written to.
pub fn is_used(path: &Path) -> io::Result<bool> {
    Ok(written(&fs::read(path)?) > 0)
}

fn number_of(path: &Path) -> Result<u64, Found> {
    let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    number.ok_or_else(|| Found::Damaged {
        path: path.to_owned(),
        reason: "a journal's name is a number before .jnl".into(),
    })
}

fn check_newest(path: &Path) -> Result<(), Found> {
    let bytes = fs::read(path).map_err(Found::Io)?;
    let Some(at) = unreadable_from(&bytes) else { return Ok(()) };
    let written = &bytes[..written(&bytes)];
    if (at + 1..written.len()).any(|later| written[later] == START && batch(&written[later..]).is_some()) {
        return Err(damaged(path, at));
    }
    tracing::info!(journal = %path.display(), at, "cut off a batch that was torn by a crash");
    let cut = || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(at as u64)?;
        file.sync_all()
    };
    cut().map_err(Found::Io)
}

fn damaged(path: &Path, at: usize) -> Found {
    Found::Damaged { path: path.to_owned(), reason: format!("what is written from byte {at} on was changed") }
}

/// Where the first batch begins that is not whole; `None` when only unused space follows the last.
fn unreadable_from(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut last) = (0, None);
    // The hash leaves the seqno out, but seqnos ascend.
    while let Some((length, seqno)) = batch(&bytes[at..]).filter(|&(_, seqno)| last < Some(seqno)) {
        at += length;
        last = Some(seqno);
    }
    (at < written(bytes)).then_some(at)
}

/// How many bytes there are before the zeros a journal is made with. Looked for in blocks: a fresh
/// journal is 64 MiB of them.
fn written(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let used = bytes.rchunks(ZEROS.len()).position(|block| *block != ZEROS[..block.len()]);
    let end = bytes.len() - used.map_or(bytes.len(), |blocks| blocks * ZEROS.len());
    bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// The length and seqno of the whole batch `bytes` begin with.
fn batch(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut rest = Rest { bytes, at: 0 };
    if rest.u8()? != START {
        return None;
    }
    let items = rest.u32()?;
    let seqno = rest.u64()?;
    let begin = rest.at;
    for _ in 0..items {
        match rest.u8()? {
            ITEM => {
                rest.take(1 + 1 + 8)?;
                let key = usize::from(rest.u16()?);
                rest.take(4)?;
                let value = rest.u32()? as usize;
                rest.take(key)?;
                rest.take(value)?;
            }
            CLEAR => drop(rest.take(8)?),
            _ => return None,
        }
    }
    let hash = xxh3_64(&bytes[begin..rest.at]);
    let whole = rest.u8()? == END && rest.u64()? == hash && rest.take(TRAILER.len())? == TRAILER;
    whole.then_some((rest.at, seqno))
}

/// Bytes taken from the front.
struct Rest<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Rest<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
