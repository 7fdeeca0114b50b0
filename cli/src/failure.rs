//! Why a request gave no answer, in the client's words, and how that is read off a gRPC status.
//!
//! Guarantees: a status that does not say what happened to a command is *unknown*, never
//! *notApplied*; only a connection that was never made is surely *notApplied*.

use std::error::Error as _;
use std::time::Duration;

use corallite_cell::outcome::Outcome;
use corallite_proto::v1;
use prost::Message;
use tonic::{Code, Status};

/// A request that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// A stable word: the cell's, the behavior's, or the gRPC code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What is known about its effect.
    pub outcome: Outcome,
    /// The same request may succeed later.
    pub retryable: bool,
    /// When to try again, if the cell said so.
    pub retry_after: Option<Duration>,
    /// The id of the command, if there is one.
    pub command_id: Option<String>,
}

/// What a request would have changed: decides how an answer without an outcome is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A read: nothing, whatever becomes of it.
    None,
    /// A command.
    Changes,
}

impl Failure {
    /// The server could not be reached: nothing was sent.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self {
            code: "Unreachable".to_owned(),
            message: message.into(),
            outcome: Outcome::NotApplied,
            retryable: true,
            retry_after: None,
            command_id: None,
        }
    }

    /// Reads a failed gRPC call.
    pub fn from_status(status: &Status, effect: Effect) -> Self {
        if let Some(error) = error_detail(status.details()) {
            return Self::from_wire(error, effect);
        }
        if never_connected(status) {
            return Self::unreachable(root_cause(status));
        }
        let unsaid = match effect {
            Effect::None => Outcome::NotApplied,
            Effect::Changes => Outcome::Unknown,
        };
        let (outcome, retryable) = match status.code() {
            // The server has no such method: it cannot have run it.
            Code::Unimplemented => (Outcome::NotApplied, false),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => (unsaid, true),
            _ => (unsaid, unsaid == Outcome::Unknown),
        };
        Self {
            code: format!("{:?}", status.code()),
            message: match status.message() {
                "" => status.code().description().to_owned(),
                message => message.to_owned(),
            },
            outcome,
            retryable,
            retry_after: None,
            command_id: None,
        }
    }

    /// Reads the error a cell sent.
    pub fn from_wire(error: v1::Error, effect: Effect) -> Self {
        let outcome = match (error.outcome(), effect) {
            (v1::Outcome::Refused, _) => Outcome::Refused,
            (v1::Outcome::NotApplied, _) | (_, Effect::None) => Outcome::NotApplied,
            _ => Outcome::Unknown,
        };
        Self {
            code: error.code,
            message: error.message,
            outcome,
            retryable: error.retryable,
            retry_after: (error.retry_after_ms > 0).then(|| Duration::from_millis(error.retry_after_ms)),
            command_id: Some(error.command_id).filter(|id| !id.is_empty()),
        }
    }

    /// What the user can do about it, in a sentence.
    pub fn advice(&self) -> &'static str {
        match (self.outcome, self.retryable) {
            (Outcome::Refused, _) => {
                "the behavior said no and nothing changed; a new command is needed, not a retry"
            }
            (Outcome::NotApplied, true) if self.code == "Unreachable" => {
                "is the cell running, and is --server its gRPC address? `corallite dev` prints it"
            }
            (Outcome::NotApplied, true) => "nothing happened; send it again later",
            (Outcome::NotApplied, false) => "nothing happened; correct the request before sending it again",
            (Outcome::Unknown, _) => "it may have happened; call again with the same --id to learn",
        }
    }
}

/// `google.rpc.Status`, as far as it is needed to find the detail in it.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyDetail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct AnyDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Finds the cell's error in the details of a status: wrapped as `google.rpc.Status`, or bare.
fn error_detail(details: &[u8]) -> Option<v1::Error> {
    if details.is_empty() {
        return None;
    }
    let wrapped = RichStatus::decode(details).ok().and_then(|status| {
        let detail = status.details.into_iter().find(|any| any.type_url.ends_with("/corallite.v1.Error"))?;
        v1::Error::decode(detail.value.as_slice()).ok()
    });
    wrapped.or_else(|| v1::Error::decode(details).ok().filter(|error| !error.code.is_empty()))
}

/// Whether the call failed because no connection was made, so that nothing was sent.
fn never_connected(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::ConnectError>())
}

fn root_cause(status: &Status) -> String {
    causes(status).last().map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let mut next = status.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(outcome: v1::Outcome) -> v1::Error {
        v1::Error {
            code: "AlreadyPlaced".to_owned(),
            message: "this order was placed before".to_owned(),
            outcome: outcome.into(),
            ..v1::Error::default()
        }
    }

    #[test]
    fn a_detail_is_found_bare_or_wrapped() {
        let error = wire(v1::Outcome::Refused);
        let any = AnyDetail {
            type_url: "type.googleapis.com/corallite.v1.Error".to_owned(),
            value: error.encode_to_vec(),
        };
        let wrapped = RichStatus { details: vec![any] }.encode_to_vec();
        for details in [error.encode_to_vec(), wrapped] {
            let status = Status::with_details(Code::FailedPrecondition, "no", details.into());
            let failure = Failure::from_status(&status, Effect::Changes);
            assert_eq!((failure.outcome, failure.code.as_str()), (Outcome::Refused, "AlreadyPlaced"));
        }
    }

    #[test]
    fn an_answer_without_an_outcome_is_unknown() {
        for code in [Code::Unavailable, Code::Internal, Code::DeadlineExceeded, Code::InvalidArgument] {
            let failure = Failure::from_status(&Status::new(code, "?"), Effect::Changes);
            assert_eq!(failure.outcome, Outcome::Unknown, "{code:?}");
            assert!(failure.retryable, "{code:?}: the same id tells what happened");
            let read = Failure::from_status(&Status::new(code, "?"), Effect::None);
            assert_eq!(read.outcome, Outcome::NotApplied, "{code:?}: a read changes nothing");
        }
        let failure = Failure::from_wire(wire(v1::Outcome::Unspecified), Effect::Changes);
        assert_eq!(failure.outcome, Outcome::Unknown);
    }

    #[test]
    fn a_method_the_server_lacks_was_not_run() {
        let failure = Failure::from_status(&Status::unimplemented(""), Effect::Changes);
        assert_eq!((failure.outcome, failure.retryable), (Outcome::NotApplied, false));
        assert!(!failure.message.is_empty());
    }
}
