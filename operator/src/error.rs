//! Why a reconcile did not come to its end.
//!
//! A spec that cannot be used is not an error but an answer; it becomes a condition. An [`Error`] is
//! what may be different at the next try.

use kube::core::Status;

use crate::certificates::CertificateError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server answered, and said no.
    #[error("the API server refused to {what}: {}", .status.message)]
    Refused {
        /// What was asked for, such as `apply StatefulSet shop`.
        what: String,
        /// The API server's answer.
        status: Box<Status>,
    },
    /// Somebody else wrote the object first; what is wanted is worked out again.
    #[error("another writer was first to {what}")]
    Conflict {
        /// What was asked for.
        what: String,
    },
    /// The API server could not be asked, or its answer not be read.
    #[error("the API server did not {what}: {source}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error("certificates of the shard: {0}")]
    Certificate(#[from] CertificateError),
    /// An object could not be written as JSON or YAML.
    #[error("{what} could not be written: {message}")]
    Render {
        /// Which object.
        what: &'static str,
        /// What the serializer says.
        message: String,
    },
    /// The reconcile did not end; it was given up.
    #[error("gave up after {seconds} s")]
    Timeout {
        /// How long it was given.
        seconds: u64,
    },
    /// The reconcile broke off: a defect of the operator.
    #[error("a defect: {0}")]
    Panicked(String),
}

impl Error {
    /// For `map_err` on a request: sorts the client's error by what it means for the reconcile.
    pub fn of(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |error| match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict { what },
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused { what, status }
            }
            source => Self::Unreachable { what, source: Box::new(source) },
        }
    }

    /// The metric label: one of a fixed few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Conflict { .. } => "conflict",
            Self::Unreachable { .. } => "unreachable",
            Self::Certificate(_) => "certificate",
            Self::Render { .. } => "render",
            Self::Timeout { .. } => "timeout",
            Self::Panicked(_) => "panic",
        }
    }

    /// Whether a person should hear of it: it does not pass by itself.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Certificate(_) | Self::Render { .. })
    }
}
