//! The walk behind [`super::check`]: serde_json does the grammar, visitors do the rest.
//!
//! Nothing is built but the keys of the objects that are open; a path is built only for an error.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use super::number::{Literals, is_inexact};
use super::{JsonError, JsonProblem, push_index, push_key};
use crate::limits::JSON_DEPTH_MAX;

/// Objects with more keys than this look them up in a set.
const KEYS_IN_LINE_MAX: usize = 16;

/// From here on an f64 may come from an integer literal that did not fit a `u64` or `i64`.
const BEYOND_I64: f64 = 9_223_372_036_854_775_808.0;

/// Checks `text`, already valid UTF-8.
pub(super) fn check(text: &str) -> Result<(), JsonError> {
    let notes = Notes::new(text);
    let mut reader = serde_json::Deserializer::from_str(text);
    let outcome = Walk { notes: &notes, depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end());
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Err(notes.take_error(&error)),
    }
}

/// What the visitors share.
struct Notes<'t> {
    problem: RefCell<Option<JsonProblem>>,
    /// From the culprit outwards; empty unless there is one.
    path: RefCell<Vec<Segment>>,
    /// Numbers seen, to find the literal of one of them.
    numbers: Cell<usize>,
    literals: RefCell<Literals<'t>>,
}

enum Segment {
    Key(String),
    Index(usize),
}

impl<'t> Notes<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            problem: RefCell::default(),
            path: RefCell::default(),
            numbers: Cell::new(0),
            literals: RefCell::new(Literals::new(text)),
        }
    }

    fn fail<E: serde::de::Error>(&self, problem: JsonProblem) -> E {
        *self.problem.borrow_mut() = Some(problem);
        E::custom("")
    }

    fn through(&self, segment: Segment) {
        self.path.borrow_mut().push(segment);
    }

    fn take_error(&self, error: &serde_json::Error) -> JsonError {
        let mut path = String::new();
        for segment in self.path.take().into_iter().rev() {
            match segment {
                Segment::Key(key) => push_key(&mut path, &key),
                Segment::Index(index) => push_index(&mut path, index),
            }
        }
        let problem = self.problem.take().unwrap_or_else(|| parser_problem(error));
        JsonError { path, line: error.line().max(1), column: error.column().max(1), problem }
    }
}

/// The parser's own complaint, without the place, which is told apart.
fn parser_problem(error: &serde_json::Error) -> JsonProblem {
    let sentence = error.to_string();
    if sentence.starts_with("number out of range") {
        return JsonProblem::OutOfRange;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    JsonProblem::Syntax(sentence.strip_suffix(&place).unwrap_or(&sentence).to_owned())
}

/// Walks one value at `depth` open arrays and objects.
#[derive(Clone, Copy)]
struct Walk<'a> {
    notes: &'a Notes<'a>,
    depth: usize,
}

impl Walk<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.notes.fail(JsonProblem::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn count_number(&self) {
        self.notes.numbers.set(self.notes.numbers.get() + 1);
    }

    fn refuse_inexact<E: serde::de::Error>(&self, literal: impl fmt::Display) -> E {
        self.notes.fail(JsonProblem::Inexact(literal.to_string()))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.count_number();
        if i128::from(value) == (value as f64) as i128 { Ok(()) } else { Err(self.refuse_inexact(value)) }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.count_number();
        if i128::from(value) == (value as f64) as i128 { Ok(()) } else { Err(self.refuse_inexact(value)) }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.count_number();
        if value.abs() < BEYOND_I64 {
            return Ok(());
        }
        let ordinal = self.notes.numbers.get();
        match self.notes.literals.borrow_mut().nth(ordinal) {
            Some(literal) if is_inexact(literal, value) => Err(self.refuse_inexact(literal)),
            _ => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut index = 0;
        loop {
            match items.next_element_seed(inner) {
                Ok(Some(())) => index += 1,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.notes.through(Segment::Index(index));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut keys = Keys::default();
        while let Some(key) = fields.next_key_seed(KeySeed)? {
            if key == "__proto__" {
                self.notes.through(Segment::Key(key.into_owned()));
                return Err(self.notes.fail(JsonProblem::ProtoKey));
            }
            if keys.contains(&key) {
                self.notes.through(Segment::Key(key.into_owned()));
                return Err(self.notes.fail(JsonProblem::DuplicateKey));
            }
            if let Err(error) = fields.next_value_seed(inner) {
                self.notes.through(Segment::Key(key.into_owned()));
                return Err(error);
            }
            keys.add(key);
        }
        Ok(())
    }
}

/// The keys of one object so far. Short objects are compared in line, which is faster than hashing.
#[derive(Default)]
struct Keys<'de> {
    few: SmallVec<[Cow<'de, str>; KEYS_IN_LINE_MAX]>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    fn contains(&self, key: &str) -> bool {
        self.few.iter().any(|known| known == key) || (!self.many.is_empty() && self.many.contains(key))
    }

    fn add(&mut self, key: Cow<'de, str>) {
        if self.few.len() < KEYS_IN_LINE_MAX {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
    }
}

/// Reads a key, borrowed unless it has escapes.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
