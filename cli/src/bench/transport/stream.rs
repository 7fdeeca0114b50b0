//! `ExecuteStream`: answers are matched to requests by tags, which are places in a slab.

use std::time::Instant;

use corallite_cell::outcome::Outcome;
use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use corallite_proto::v1::execute_stream_response::Answer as WireAnswer;
use slab::Slab;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::bench::tally::Answer;
use crate::bench::transport::{Shared, grpc};
use crate::failure::{Effect, Failure};

/// A command without an answer yet.
struct Outstanding {
    sent: Instant,
    bytes_out: usize,
}

type Requests = mpsc::Sender<v1::ExecuteStreamRequest>;

/// Keeps `share` commands in flight on one stream.
///
/// # Errors
/// The stream could not be opened or broke; what was outstanding is counted as unknown.
pub async fn run(mut client: ActorsClient<Channel>, share: usize, window: Shared) -> Result<(), String> {
    // Every command in flight has its place, so sending never waits.
    let (requests, outgoing) = mpsc::channel(share);
    let mut outstanding = Slab::with_capacity(share);
    for _ in 0..share {
        send_next(&requests, &mut outstanding, &window);
    }
    let broken = |status: tonic::Status| format!("the stream broke: {}", status.message());
    let answers = client.execute_stream(ReceiverStream::new(outgoing)).await;
    let mut answers = answers.map_err(broken)?.into_inner();
    while !outstanding.is_empty() {
        match answers.message().await {
            Ok(Some(response)) => take(response, &requests, &mut outstanding, &window)?,
            end => {
                lose(outstanding, &window);
                return Err(end.err().map_or_else(|| "the cell ended the stream".to_owned(), broken));
            }
        }
    }
    Ok(())
}

fn send_next(requests: &Requests, outstanding: &mut Slab<Outstanding>, window: &Shared) {
    let Some(request) = window.next() else { return };
    let bytes_out = grpc::payload_bytes(&request);
    // The workload of a stream was made without reads.
    let Some(command) = request.command else { return };
    let actor = v1::ActorRef { r#type: request.type_name.to_string(), id: request.id };
    let tag = outstanding.insert(Outstanding { sent: Instant::now(), bytes_out });
    let message = v1::ExecuteStreamRequest {
        tag: tag as u64,
        request: Some(grpc::execute(actor, command)),
        timeout_ms: 0,
    };
    if requests.try_send(message).is_err() {
        // The stream is gone; reading from it says why.
        outstanding.remove(tag);
    }
}

fn take(
    response: v1::ExecuteStreamResponse,
    requests: &Requests,
    outstanding: &mut Slab<Outstanding>,
    window: &Shared,
) -> Result<(), String> {
    let tag = usize::try_from(response.tag).unwrap_or(usize::MAX);
    let command = outstanding
        .try_remove(tag)
        .ok_or_else(|| format!("the cell answered with tag {tag}, which nothing was sent under"))?;
    let answer = match response.answer {
        Some(WireAnswer::Applied(applied)) => Answer::Applied(applied.reply.len()),
        Some(WireAnswer::Error(error)) => {
            let failure = Failure::from_wire(error, Effect::Changes);
            Answer::Failed(failure.outcome, failure.code)
        }
        None => Answer::Failed(Outcome::Unknown, "NoAnswer".to_owned()),
    };
    window.answered(command.sent, command.bytes_out, &answer);
    send_next(requests, outstanding, window);
    Ok(())
}

fn lose(outstanding: Slab<Outstanding>, window: &Shared) {
    let lost = Answer::Failed(Outcome::Unknown, "StreamBroken".to_owned());
    for (_, command) in outstanding {
        window.answered(command.sent, command.bytes_out, &lost);
    }
}
