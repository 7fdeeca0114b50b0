//! What can go wrong while a cluster is built, started or used.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why the harness could not do something. Each message names what was tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or process could not be reached.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended with a failure.
    #[error("{command} failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed, standard error first.
        output: String,
    },
    /// Something did not come to be in time.
    #[error("{what} did not happen within {seconds} s; last seen: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
    /// A component ended by itself.
    #[error("{name} ended by itself ({status}); its log is {log}")]
    Ended {
        /// The component.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Where its log is.
        log: PathBuf,
    },
    /// The API server refused or could not be reached.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// Anything else, in a sentence.
    #[error("{0}")]
    Other(String),
}

/// Adds what was being done to an error of the system.
pub(crate) trait Context<T> {
    /// `what` is a phrase such as `writing /tmp/x`.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

impl<T> Context<T> for Result<T, kube::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { what: what(), source: Box::new(source) })
    }
}
