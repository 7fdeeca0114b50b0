//! `corallite call`: one command to one actor, under one command id however often it is sent.

use std::time::Duration;

use corallite_cell::ids::{ActorRef, check_id};
use corallite_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connect::{self, ClientArgs, Error};
use crate::events::EventLine;
use crate::failure::{Effect, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite call Order/o-1 place '{\"userId\":\"u-1\",\"productId\":\"lamp\",\"quantity\":1,\"unitPriceCents\":4900}'
  corallite call Order/o-1 place \"$ORDER\" --until OrderReady,OrderCancelled --wait 10s
  corallite call Order/o-1 cancel --id cancel-o-1 | jq .events

Every call has a command id, made here unless --id gives one. What surely did not happen
(overloaded, moved) and what may have happened (the answer was lost) is sent again under the same
id until --timeout is over: a command that was already applied returns its recorded reply.

Exit codes: 0 applied, 1 usage, 2 refused, 3 notApplied, 4 unknown.";

/// Sends a command to an actor.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Whom it is for, as Type/id
    #[arg(value_name = "TYPE/ID", value_parser = connect::parse_actor)]
    actor: ActorRef,
    /// The command's name in the behavior
    #[arg(value_parser = parse_command)]
    command: String,
    /// The payload as JSON
    #[arg(value_name = "JSON", default_value = "null", value_parser = connect::parse_json)]
    payload: String,
    /// Idempotency key; give the one that was printed to learn what became of an unknown command
    #[arg(long, value_name = "KEY", value_parser = parse_id)]
    id: Option<String>,
    /// Wait for the first of these events of the actor
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',')]
    until: Vec<String>,
    /// How long to wait for --until, on top of --timeout
    #[arg(long, requires = "until", default_value = "10s", value_name = "DURATION")]
    #[arg(value_parser = crate::duration::parse)]
    wait: Duration,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

fn parse_command(text: &str) -> Result<String, String> {
    check_id("command", text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn parse_id(text: &str) -> Result<String, String> {
    check_id("command id", text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// What is printed when a command was applied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    reply: Box<RawValue>,
    seq: u64,
    position: String,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventLine>,
    command_id: String,
}

/// Sends the command until it is answered, and prints the reply.
///
/// # Errors
/// It was refused, not applied, or its outcome is unknown: always with the command id.
pub async fn run(args: Args) -> Result<(), Error> {
    let id = args.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let wait = if args.until.is_empty() { Duration::ZERO } else { args.wait };
    let message = v1::ExecuteRequest {
        actor: Some(connect::wire(&args.actor)),
        command: args.command,
        payload: args.payload.into(),
        command_id: id.clone(),
        until: args.until,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
    };
    let answer =
        connect::ask(&args.client, Effect::Changes, args.client.timeout + wait, |mut client, left| {
            let message = connect::request(message.clone(), left);
            async move { client.execute(message).await }
        });
    let answer = answer.await.map_err(|error| name_command(error, &id))?;
    output::print(&applied(answer, id), args.client.output).map_err(Error::Output)
}

/// A failure is of no use without the id to ask again with.
fn name_command(error: Error, id: &str) -> Error {
    match error {
        Error::Failed(failure) => Error::Failed(Failure { command_id: Some(id.to_owned()), ..failure }),
        other => other,
    }
}

fn applied(answer: v1::ExecuteResponse, id: String) -> Applied {
    Applied {
        reply: output::raw(&answer.reply),
        seq: answer.seq,
        position: answer.position,
        events: answer.events,
        event: answer.event.map(EventLine::from),
        command_id: id,
    }
}
