//! Exit codes: the outcome of a request as scripts see it.

use std::process::ExitCode;

use corallite_cell::outcome::Outcome;

/// A process exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

/// Usage or local error: nothing was sent.
pub const LOCAL: Exit = Exit(1);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Refused => Self(2),
            Outcome::NotApplied => Self(3),
            Outcome::Unknown => Self(4),
        }
    }
}
