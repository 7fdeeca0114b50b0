//! HTTP/1.1: one connection, one request in flight; no pipelining.

use std::time::Instant;

use bytes::Bytes;
use corallite_cell::outcome::Outcome;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::bench::tally::Answer;
use crate::bench::transport::{Shared, grpc};
use crate::bench::workload::Request;

/// One keep-alive connection.
pub type Connection = SendRequest<Full<Bytes>>;

/// Opens one connection to `host:port`.
///
/// # Errors
/// The cell cannot be reached.
pub async fn connect(address: &str) -> Result<Connection, String> {
    let unreachable = |error: std::io::Error| format!("cannot reach the cell at http://{address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // It ends when the sender is dropped; a broken connection shows with the next request.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// One request after the other. A connection that breaks makes its request unknown and is made anew.
///
/// # Errors
/// The connection was lost and cannot be made again.
pub async fn run(mut connection: Connection, address: String, window: Shared) -> Result<(), String> {
    while let Some(request) = window.next() {
        let bytes_out = grpc::payload_bytes(&request);
        let message = message(request, &address)?;
        let sent = Instant::now();
        match ask(&mut connection, message).await {
            Ok(answer) => window.answered(sent, bytes_out, &answer),
            Err(_) => {
                let lost = Answer::Failed(Outcome::Unknown, "ConnectionLost".to_owned());
                window.answered(sent, bytes_out, &lost);
                connection = connect(&address).await?;
            }
        }
    }
    Ok(())
}

fn message(request: Request, address: &str) -> Result<hyper::Request<Full<Bytes>>, String> {
    // The id grammar holds nothing that a path segment must escape.
    let builder = hyper::Request::builder().header(HOST, address);
    let message = match request.command {
        Some(command) => builder
            .method("POST")
            .uri(format!("/v1/actors/{}/{}/{}", request.type_name, request.id, command.name))
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", command.id)
            .body(Full::new(command.payload)),
        None => builder
            .uri(format!("/v1/actors/{}/{}", request.type_name, request.id))
            .body(Full::new(Bytes::new())),
    };
    message.map_err(|error| format!("cannot make a request: {error}"))
}

async fn ask(
    connection: &mut Connection,
    message: hyper::Request<Full<Bytes>>,
) -> Result<Answer, hyper::Error> {
    connection.ready().await?;
    let response = connection.send_request(message).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(if status.is_success() { Answer::Applied(body.len()) } else { failed(status.as_u16(), &body) })
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    code: String,
    outcome: String,
}

fn failed(status: u16, body: &[u8]) -> Answer {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => Answer::Failed(outcome(&error.outcome), error.code),
        Err(_) => Answer::Failed(Outcome::Unknown, format!("Http{status}")),
    }
}

fn outcome(word: &str) -> Outcome {
    let known = [Outcome::Refused, Outcome::NotApplied, Outcome::Unknown];
    known.into_iter().find(|outcome| outcome.as_str() == word).unwrap_or(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_read_off_the_body_and_is_unknown_without_one() {
        let body =
            br#"{"error":{"code":"Overloaded","message":"m","outcome":"notApplied","retryable":true}}"#;
        assert_eq!(failed(429, body), Answer::Failed(Outcome::NotApplied, "Overloaded".to_owned()));
        assert_eq!(failed(502, b"<html>"), Answer::Failed(Outcome::Unknown, "Http502".to_owned()));
        assert_eq!(outcome("applied?"), Outcome::Unknown);
    }
}
