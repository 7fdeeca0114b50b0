//! What became of a request: applied, refused, not applied, or unknown. Never two, always one.
//!
//! [`Failure`] is the only error that leaves a cell; the gateway maps it to the wire in one place.

use crate::limits;

/// What is known about the effect of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The behavior said no; nothing changed.
    Refused,
    /// Surely nothing happened; safe to send again.
    NotApplied,
    /// It may have happened; retry with the same command id to learn.
    Unknown,
}

impl Outcome {
    /// The word used on the wire and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotApplied => "notApplied",
            Self::Unknown => "unknown",
        }
    }
}

/// The class of a failure: what the HTTP status and the gRPC code are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 400: malformed request; the message names the field.
    Malformed,
    /// 401: no valid token.
    Unauthenticated,
    /// 403: the caller may not do this.
    Forbidden,
    /// 404: unknown type, command, query or actor.
    NotFound,
    /// 409: the behavior refused, or the command id was used with another payload.
    Refused,
    /// 410: the log begins later.
    Trimmed,
    /// 413: larger than a limit.
    TooLarge,
    /// 422: the behavior's script failed.
    Script,
    /// 429: a bounded queue is full.
    Overloaded,
    /// 501: declared, but not served by this version.
    Unimplemented,
    /// 503: moved, or the store is not reachable.
    Unavailable,
    /// 504: the deadline passed.
    Deadline,
    /// 500: a defect of the cell.
    Internal,
}

/// Why a request was not applied, with all that a caller needs to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What is known about its effect.
    pub outcome: Outcome,
    /// The class, which chooses status codes.
    pub class: Class,
    /// A stable word for programs: `UnknownCommand`, `Overloaded`, or the behavior's own code.
    pub code: String,
    /// A sentence for people, naming field, line or limit.
    pub message: String,
    /// When to try again, in milliseconds; `None` when trying again cannot help.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure before anything happened, which trying again cannot help.
    #[must_use]
    pub fn not_applied(class: Class, code: &str, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::NotApplied,
            class,
            code: code.to_owned(),
            message: message.into(),
            retry_after_ms: None,
        }
    }

    /// A failure before anything happened; the same request may succeed later.
    #[must_use]
    pub fn retryable(class: Class, code: &str, message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::not_applied(class, code, message) }
    }

    /// The behavior said no.
    #[must_use]
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, ..Self::not_applied(Class::Refused, code, message) }
    }

    /// The answer was lost; the effect is not known.
    #[must_use]
    pub fn unknown(class: Class, code: &str, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Unknown,
            retry_after_ms: Some(limits::DELIVERY_BACKOFF_MS_MIN),
            ..Self::not_applied(class, code, message)
        }
    }

    /// The request is malformed; `message` names the field.
    #[must_use]
    pub fn malformed(code: &str, message: impl Into<String>) -> Self {
        Self::not_applied(Class::Malformed, code, message)
    }

    /// The shard has no such type, command, query or actor.
    #[must_use]
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::not_applied(Class::NotFound, code, message)
    }

    /// A bounded queue is full.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::retryable(Class::Overloaded, "Overloaded", message, 100)
    }
}
