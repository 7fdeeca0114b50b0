//! Unary gRPC calls.

use std::time::{Duration, Instant};

use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::bench::tally::Answer;
use crate::bench::transport::Shared;
use crate::bench::workload::{Request, Sent};
use crate::failure::{Effect, Failure};

/// Opens one connection.
///
/// # Errors
/// The cell cannot be reached.
pub async fn connect(url: &str) -> Result<ActorsClient<Channel>, String> {
    let unreachable = |error: tonic::transport::Error| format!("cannot reach the cell at {url}: {error}");
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(unreachable)?;
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(ActorsClient::new(endpoint.connect().await.map_err(unreachable)?))
}

/// One request in flight after the other.
///
/// # Errors
/// The connection was lost and cannot be made again.
pub async fn run(mut client: ActorsClient<Channel>, window: Shared) -> Result<(), String> {
    while let Some(request) = window.next() {
        let bytes_out = payload_bytes(&request);
        let sent = Instant::now();
        let answer = ask(&mut client, request).await;
        window.answered(sent, bytes_out, &answer);
        if matches!(&answer, Answer::Failed(_, code) if code == "Unreachable") {
            return Err("the cell is gone".to_owned());
        }
    }
    Ok(())
}

async fn ask(client: &mut ActorsClient<Channel>, request: Request) -> Answer {
    let actor = v1::ActorRef { r#type: request.type_name.to_string(), id: request.id };
    match request.command {
        Some(command) => {
            let answer = client.execute(execute(actor, command)).await;
            counted(answer.map(|answer| answer.into_inner().reply.len()), Effect::Changes)
        }
        None => {
            let message = v1::GetRequest { actor: Some(actor), at_seq: 0, stale: false };
            let answer = client.get(message).await;
            counted(answer.map(|answer| answer.into_inner().state.len()), Effect::None)
        }
    }
}

/// The command as the wire has it.
pub fn execute(actor: v1::ActorRef, command: Sent) -> v1::ExecuteRequest {
    v1::ExecuteRequest {
        actor: Some(actor),
        command: command.name.to_string(),
        payload: command.payload,
        command_id: command.id,
        until: Vec::new(),
        wait_ms: 0,
    }
}

/// Bytes of payload a request sends.
pub fn payload_bytes(request: &Request) -> usize {
    request.command.as_ref().map_or(0, |command| command.payload.len())
}

fn counted(answer: Result<usize, Status>, effect: Effect) -> Answer {
    match answer {
        Ok(bytes) => Answer::Applied(bytes),
        Err(status) => {
            let failure = Failure::from_status(&status, effect);
            Answer::Failed(failure.outcome, failure.code)
        }
    }
}
