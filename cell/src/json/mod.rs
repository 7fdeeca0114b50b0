//! Strict JSON: what may enter a cell, and nothing else.
//!
//! [`check`] guarantees that bytes are one JSON value in UTF-8 that every reader (serde, QuickJS, a
//! client in any language) understands alike:
//!
//! - no duplicate keys, no nesting deeper than [`JSON_DEPTH_MAX`], no lone surrogates;
//! - an integer literal is refused unless an f64 holds exactly that integer (`9007199254740993` is
//!   refused, `9007199254740992` is not), and so is a number that is not finite (`1e400`). A literal
//!   with a fraction or an exponent is rounded to the nearest f64, as everywhere;
//! - the key `__proto__` is refused: scripts that copy keys would change a prototype with it;
//! - `-0` is accepted and read as negative zero; what a behavior records of it is `0`.
//!
//! It does not copy or normalize anything: accepted bytes stay as they were sent.

mod number;
mod walk;

use std::fmt;

use crate::limits::JSON_DEPTH_MAX;

/// Checks that `bytes` are one strict JSON value.
///
/// # Errors
/// Names the field, the line and column, what is wrong and what to send instead.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = line_and_column(bytes, error.valid_up_to());
        JsonError { path: String::new(), line, column, problem: JsonProblem::NotUtf8 }
    })?;
    walk::check(text)
}

/// Why bytes are not strict JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The field as a script would write it: `items[2].price`; empty for the value itself.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1; where the reader noticed, at or just after the culprit.
    pub column: usize,
    /// What is wrong there.
    pub problem: JsonProblem,
}

/// What can be wrong with JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonProblem {
    /// The bytes are not UTF-8.
    #[error("is not valid UTF-8; send JSON encoded as UTF-8")]
    NotUtf8,
    /// The bytes do not follow the JSON grammar; the parser's sentence.
    #[error("is not valid JSON: {0}")]
    Syntax(String),
    /// Arrays and objects are nested too deep.
    #[error("is nested deeper than {JSON_DEPTH_MAX} levels; send a flatter value")]
    TooDeep,
    /// An object has a key twice.
    #[error("appears twice in its object; send each key once")]
    DuplicateKey,
    /// An object has the key `__proto__`.
    #[error("is not allowed as a key; choose another name")]
    ProtoKey,
    /// An integer that an f64 cannot hold exactly.
    #[error("is {0}, which a 64-bit float cannot hold exactly; send it as a string")]
    Inexact(String),
    /// A number beyond the range of f64.
    #[error("is beyond the range of a 64-bit float; send it as a string")]
    OutOfRange,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.path.is_empty() { "the value" } else { &self.path };
        write!(f, "{field} {} (line {}, column {})", self.problem, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

/// Appends a key to a path: `.price`, or `["odd key"]` where a script would need that.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
        && !key.starts_with(|c: char| c.is_ascii_digit());
    if !plain {
        path.push_str(&format!("[{key:?}]"));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Appends an index to a path: `[2]`.
pub(crate) fn push_index(path: &mut String, index: usize) {
    path.push_str(&format!("[{index}]"));
}

/// Where the byte `at` stands, both from 1.
fn line_and_column(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at];
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = at - before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1) + 1;
    (line, column)
}

#[cfg(test)]
pub(crate) mod tests;
