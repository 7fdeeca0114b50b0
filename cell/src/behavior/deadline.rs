//! The time limit of a running script: the one place in this folder that looks at a clock.
//!
//! QuickJS asks [`Deadline::is_over`] once every 10,000 calls and backward jumps, so a loop of script
//! code is stopped well within 2 ms of its deadline. A loop of costly built-in calls is late by at most
//! 10,000 of them (`JSON.stringify` of a small object: some 10 ms), and one built-in call that is long in
//! itself (sorting many numbers) runs to its end; the memory limit bounds those.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// When the script that is running must stop.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Cell<Option<Instant>>,
    limit_ms: Cell<u32>,
    stopped: Cell<bool>,
}

impl Deadline {
    /// Gives the script that is about to run `limit_ms` milliseconds.
    pub(super) fn arm(&self, limit_ms: u32) {
        self.at.set(Some(Instant::now() + Duration::from_millis(u64::from(limit_ms))));
        self.limit_ms.set(limit_ms);
        self.stopped.set(false);
    }

    /// Lets whatever runs next run on.
    pub(super) fn disarm(&self) {
        self.at.set(None);
    }

    /// Asked by the interpreter: must the script stop now?
    pub(super) fn is_over(&self) -> bool {
        let over = self.at.get().is_some_and(|at| Instant::now() >= at);
        if over {
            self.stopped.set(true);
        }
        over
    }

    /// The limit, if a script was stopped by it since [`Deadline::arm`].
    pub(super) fn exceeded_ms(&self) -> Option<u32> {
        self.stopped.get().then(|| self.limit_ms.get())
    }
}
