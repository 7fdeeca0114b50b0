//! Reads the body of an HTTP request, up to a bound.
//!
//! Guarantees: at most [`PAYLOAD_BYTES_MAX`] and one network read are ever held; a body that says it
//! is larger is refused before any of it is read. A body in one piece is not copied.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::intake::{parameter, too_large};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::outcome::{Class, Failure};

/// What is read and thrown away of a refused body, so that its sender gets to see the answer: a
/// connection closed with unread bytes is reset. Bounded in bytes and in time.
const DISCARD_BYTES_MAX: usize = 8 * PAYLOAD_BYTES_MAX;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The whole body, which must arrive within `timeout`.
pub(super) async fn read<S, B, E>(headers: &HeaderMap, body: S, timeout: Duration) -> Result<Bytes, Failure>
where
    S: Stream<Item = Result<B, E>> + Send + 'static,
    B: Buf + Send + 'static,
    E: Send + 'static,
{
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(parameter("Content-Encoding is not supported; send the payload as it is"));
    }
    let mut body = Box::pin(body);
    let claimed = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let read = match claimed.filter(|bytes| *bytes > PAYLOAD_BYTES_MAX) {
        Some(bytes) => Err(too_large("payload", Some(bytes))),
        None => tokio::time::timeout(timeout, collect(&mut body)).await.unwrap_or_else(|_| {
            let message = "the payload did not arrive before the deadline";
            Err(Failure::retryable(Class::Deadline, "DeadlinePassed", message, 0))
        }),
    };
    if read.as_ref().is_err_and(|failure| failure.class == Class::TooLarge) {
        tokio::spawn(tokio::time::timeout(DISCARD_TIME, discard(body)));
    }
    read
}

async fn collect<B: Buf, E>(body: &mut (impl Stream<Item = Result<B, E>> + Unpin)) -> Result<Bytes, Failure> {
    let mut first = match next(body).await? {
        None => return Ok(Bytes::new()),
        Some(piece) => piece,
    };
    let first = within(first.remaining()).map(|bytes| first.copy_to_bytes(bytes))?;
    let Some(mut piece) = next(body).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    loop {
        within(whole.len().saturating_add(piece.remaining()))?;
        whole.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        match next(body).await? {
            None => return Ok(whole.freeze()),
            Some(more) => piece = more,
        }
    }
}

async fn next<B, E>(body: &mut (impl Stream<Item = Result<B, E>> + Unpin)) -> Result<Option<B>, Failure> {
    let cut = |_| Failure::malformed("MalformedBody", "the connection broke off within the payload");
    body.next().await.transpose().map_err(cut)
}

fn within(bytes: usize) -> Result<usize, Failure> {
    if bytes > PAYLOAD_BYTES_MAX { Err(too_large("payload", None)) } else { Ok(bytes) }
}

async fn discard<B: Buf, E>(body: impl Stream<Item = Result<B, E>>) {
    let mut body = pin!(body);
    let mut discarded = 0_usize;
    while let Some(Ok(piece)) = body.next().await {
        discarded = discarded.saturating_add(piece.remaining());
        if discarded > DISCARD_BYTES_MAX {
            return;
        }
    }
}
