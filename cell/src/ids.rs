//! The names of things: parsed once at the border, cheap to copy afterwards.
//!
//! Guarantees: a value of one of these types is valid by construction. Nothing is normalized; what
//! the grammar does not allow is an error that says which character or length was wrong.

use std::fmt;
use std::sync::Arc;

use crate::limits::ACTOR_ID_BYTES_MAX;

/// An actor type's name as interned by the store: small, stable for the life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// One bucket of the shard's bucket space: the unit of ownership. `0..buckets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(pub u32);

/// The place of a record in its bucket's log: gap-free from 0, in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub u64);

/// How many events an actor has recorded; its first event has sequence number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// Grows by one with each claim of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

/// One run of one cell: random, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u128);

/// One commit of one lane: the marker by which a doubtful commit is recognised in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u128);

impl Offset {
    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("{what} is empty; it has 1 to {ACTOR_ID_BYTES_MAX} characters of A-Z a-z 0-9 . _ ~ @ = + : -")]
    Empty {
        /// Which part of the request the text was.
        what: &'static str,
    },
    /// The text is longer than an id may be.
    #[error("{what} has {bytes} bytes; at most {ACTOR_ID_BYTES_MAX} are allowed")]
    TooLong {
        /// Which part of the request the text was.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The text has a character outside the grammar.
    #[error("{what} has the character {character:?} at byte {at}; allowed are A-Z a-z 0-9 . _ ~ @ = + : -")]
    Character {
        /// Which part of the request the text was.
        what: &'static str,
        /// The first character that is not allowed.
        character: char,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// `Type/id` without a slash.
    #[error("{0:?} names no actor; write Type/id")]
    NoSlash(String),
}

/// Checks `text` against the id grammar: 1 to 256 bytes of `[A-Za-z0-9._~@=+:-]`.
///
/// # Errors
/// Says what is wrong with `what`, the caller's word for the text.
pub fn check_id(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > ACTOR_ID_BYTES_MAX {
        return Err(IdError::TooLong { what, bytes: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~@=+:-".contains(c);
    match text.char_indices().find(|&(_, c)| !allowed(c)) {
        Some((at, character)) => Err(IdError::Character { what, character, at }),
        None => Ok(()),
    }
}

/// The address of an actor as users write it: `Order/o-1001`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorRef {
    /// The actor type's name.
    pub type_name: Arc<str>,
    /// The actor's id within its type.
    pub id: Arc<str>,
}

impl ActorRef {
    /// Makes an address from its two parts.
    ///
    /// # Errors
    /// One of the parts is outside the id grammar.
    pub fn new(type_name: &str, id: &str) -> Result<Self, IdError> {
        check_id("actor type", type_name)?;
        check_id("actor id", id)?;
        Ok(Self { type_name: type_name.into(), id: id.into() })
    }

    /// Parses `Type/id`, split at the first slash.
    ///
    /// # Errors
    /// There is no slash, or one of the parts is outside the id grammar.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (type_name, id) = text.split_once('/').ok_or_else(|| IdError::NoSlash(text.to_owned()))?;
        Self::new(type_name, id)
    }
}

impl fmt::Display for ActorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.id)
    }
}

/// An actor inside a shard: what maps are keyed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorKey {
    /// The interned type.
    pub type_id: TypeId,
    /// The id within the type; valid by [`check_id`].
    pub id: Box<str>,
}

/// The place of a record in the shard: what a reply's position token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The bucket whose log it is.
    pub bucket: Bucket,
    /// The record in that log.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bucket.0, self.offset.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_splits_at_the_first_slash() {
        let parsed = ActorRef::parse("Order/o-1001").expect("valid");
        assert_eq!((&*parsed.type_name, &*parsed.id), ("Order", "o-1001"));
        assert!(matches!(
            ActorRef::parse("Order/a/b"),
            Err(IdError::Character { character: '/', at: 1, .. })
        ));
        assert!(matches!(ActorRef::parse("Order"), Err(IdError::NoSlash(_))));
        assert!(matches!(ActorRef::parse("Order/"), Err(IdError::Empty { what: "actor id" })));
    }

    #[test]
    fn the_grammar_is_ascii_and_bounded() {
        assert_eq!(check_id("actor id", &"x".repeat(256)), Ok(()));
        assert!(matches!(check_id("actor id", &"x".repeat(257)), Err(IdError::TooLong { bytes: 257, .. })));
        assert!(matches!(check_id("actor id", "é"), Err(IdError::Character { character: 'é', at: 0, .. })));
        assert_eq!(check_id("actor id", "Az09._~@=+:-"), Ok(()));
    }
}
