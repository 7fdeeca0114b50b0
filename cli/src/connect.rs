//! The connection that client commands share: where the cell is, how long to wait, how to print.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use corallite_cell::ids::ActorRef;
use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use tonic::transport::{Channel, Endpoint};

use crate::exit::{self, Exit};
use crate::failure::{Effect, Failure};
use crate::output::{self, Format};
use crate::retry;

/// Largest answer taken from a cell, in bytes: a page of history of large events.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Options of every command that talks to a cell.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ClientArgs {
    /// The cell's gRPC address
    #[arg(long, env = "CORALLITE_SERVER", default_value = "http://127.0.0.1:7070", value_name = "URL")]
    #[arg(global = true)]
    pub server: String,
    /// How long to go on trying for an answer: 500ms, 5s, 1m
    #[arg(long, default_value = "5s", value_parser = crate::duration::parse, value_name = "DURATION")]
    #[arg(global = true)]
    pub timeout: Duration,
    /// How to print: json (compact, errors as JSON too) or pretty; by default pretty on a terminal
    /// and compact in a pipe
    #[arg(long, value_enum, global = true)]
    pub output: Option<Format>,
}

/// Why a client command ends early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request could not be made from the arguments; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// The answer could not be printed.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// The cell said no, or could not be asked.
    #[error(transparent)]
    Failed(Failure),
}

/// Opens a channel to the cell. Connecting happens with the first request.
///
/// # Errors
/// The address is not a URL.
pub fn channel(server: &str) -> Result<Channel, Error> {
    let wrong = |why: String| {
        Error::Usage(format!("--server {server:?} is no address ({why}); write it as http://127.0.0.1:7070"))
    };
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|error| wrong(error.to_string()))?;
    if endpoint.uri().scheme_str() != Some("http") {
        return Err(wrong("only http:// is spoken".to_owned()));
    }
    Ok(endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true).connect_lazy())
}

/// A client of the cell's actors.
///
/// # Errors
/// The address is not a URL.
pub fn actors(args: &ClientArgs) -> Result<ActorsClient<Channel>, Error> {
    Ok(ActorsClient::new(channel(&args.server)?).max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// Makes one unary call, trying again what may be tried again until `timeout` is over.
///
/// # Errors
/// The last failure.
pub async fn ask<T, F, A>(args: &ClientArgs, effect: Effect, timeout: Duration, call: F) -> Result<T, Error>
where
    F: Fn(ActorsClient<Channel>, Duration) -> A,
    A: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let client = actors(args)?;
    let answer = retry::until(timeout, |left| {
        let attempt = call(client.clone(), left);
        async move { attempt.await.map_err(|status| Failure::from_status(&status, effect)) }
    });
    Ok(answer.await.map_err(Error::Failed)?.into_inner())
}

/// A request that carries its deadline.
pub fn request<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Parses `Type/id` as an argument.
///
/// # Errors
/// It is outside the grammar; the message says where.
pub fn parse_actor(text: &str) -> Result<ActorRef, String> {
    ActorRef::parse(text).map_err(|error| error.to_string())
}

/// Parses an argument that must be JSON, and keeps it as it was typed.
///
/// # Errors
/// It is not JSON; the message says where.
pub fn parse_json(text: &str) -> Result<String, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("not JSON: {error}"))
}

/// The address as the wire has it.
pub fn wire(actor: &ActorRef) -> v1::ActorRef {
    v1::ActorRef { r#type: actor.type_name.to_string(), id: actor.id.to_string() }
}

/// Runs a client command to its exit code, printing what went wrong.
pub fn block_on(args: &ClientArgs, command: impl Future<Output = Result<(), Error>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return exit::LOCAL.into();
        }
    };
    match runtime.block_on(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Failed(failure)) => {
            output::print_failure(&failure, args.output);
            Exit::from(failure.outcome).into()
        }
        // A reader that closed the pipe has seen enough.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            exit::LOCAL.into()
        }
    }
}
