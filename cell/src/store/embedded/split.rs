//! Which of the two parts of the store a key lies in: the log, or the rest.
//!
//! Both are one ordered map to the outside: a range that may touch both is read from both and merged.

use bytes::Bytes;
use fjall::{Keyspace, Readable};

use super::folder::Opened;
use crate::store::Range;
use crate::store::key::{Part, is_log, log_part};

impl Opened {
    /// The part `key` lies in.
    pub fn part(&self, key: &[u8]) -> &Keyspace {
        if is_log(key) { &self.log } else { &self.rest }
    }

    /// Reads a range as of `at`.
    pub fn range(&self, at: &fjall::Snapshot, range: &Range) -> fjall::Result<Vec<(Bytes, Bytes)>> {
        if range.begin >= range.end {
            return Ok(Vec::new());
        }
        match log_part(&range.begin, &range.end) {
            Part::Log => read(at, &self.log, range),
            Part::Rest => read(at, &self.rest, range),
            Part::Both => Ok(merge(read(at, &self.log, range)?, read(at, &self.rest, range)?, range)),
        }
    }
}

fn read(at: &fjall::Snapshot, part: &Keyspace, range: &Range) -> fjall::Result<Vec<(Bytes, Bytes)>> {
    let rows = at.range(part, range.begin.as_ref()..range.end.as_ref());
    let row = |guard: fjall::Guard| guard.into_inner().map(|(key, value)| (key.into(), value.into()));
    if range.reverse {
        rows.rev().take(range.limit).map(row).collect()
    } else {
        rows.take(range.limit).map(row).collect()
    }
}

fn merge(log: Vec<(Bytes, Bytes)>, rest: Vec<(Bytes, Bytes)>, range: &Range) -> Vec<(Bytes, Bytes)> {
    let mut rows = log;
    rows.extend(rest);
    rows.sort_unstable_by(|(a, _), (b, _)| if range.reverse { b.cmp(a) } else { a.cmp(b) });
    rows.truncate(range.limit);
    rows
}
