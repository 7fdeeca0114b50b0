//! What happened, for people: kept only when asked for, since a failing seed can be run again.

use std::fmt::Write;

/// Lines of what happened.
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    pub fn add(&mut self, stamp: u64, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{stamp:>5} {}", what()));
        }
    }

    /// The last lines.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines.as_deref().unwrap_or_default();
        let mut text = String::new();
        for line in &lines[lines.len().saturating_sub(count)..] {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
