//! Integer literals too long for a machine word: are they what an f64 holds?
//!
//! The parser hands such a literal on as a float, so the text is looked at again, front to back and
//! once at most.

/// Finds the number literals of a valid JSON text by their order.
pub(super) struct Literals<'t> {
    text: &'t str,
    /// Where the search goes on, in bytes.
    at: usize,
    /// How many literals lie before.
    passed: usize,
}

impl<'t> Literals<'t> {
    /// The literals of `text`; what was not yet parsed of it need not be valid.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, passed: 0 }
    }

    /// The `ordinal`-th literal, from 1; ordinals must grow from call to call.
    pub(super) fn nth(&mut self, ordinal: usize) -> Option<&'t str> {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() {
            match bytes[self.at] {
                b'"' => self.at = string_end(bytes, self.at),
                b'-' | b'0'..=b'9' => {
                    let from = self.at;
                    let is_part = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    self.at += bytes[from..].iter().take_while(|b| is_part(b)).count();
                    self.passed += 1;
                    if self.passed == ordinal {
                        return Some(&self.text[from..self.at]);
                    }
                }
                _ => self.at += 1,
            }
        }
        None
    }
}

/// The position after the string that starts at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    end
}

/// Whether `literal` is an integer literal that `value`, its nearest f64, does not hold exactly.
pub(super) fn is_inexact(literal: &str, value: f64) -> bool {
    let is_integer = !literal.contains(['.', 'e', 'E']);
    // The standard library prints an integral float with all its digits.
    is_integer && format!("{value:.0}") != literal
}
