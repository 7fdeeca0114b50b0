//! `corallite get`: the state of one actor.

use corallite_cell::ids::ActorRef;
use corallite_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connect::{self, ClientArgs, Error};
use crate::failure::Effect;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite get Order/o-1
  corallite get Order/o-1 --at-seq 1        as it was after its first event
  corallite get Order/o-1 | jq .state.status

An actor that never was, or was destroyed, is NotFound (exit code 3).";

/// Prints the state of an actor.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Whose state, as Type/id
    #[arg(value_name = "TYPE/ID", value_parser = connect::parse_actor)]
    actor: ActorRef,
    /// The state as of this sequence number instead of now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    at_seq: Option<u64>,
    /// Allow an answer of a cell that was replaced a moment ago
    #[arg(long)]
    stale: bool,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Serialize)]
struct State {
    state: Box<RawValue>,
    seq: u64,
    position: String,
}

/// Reads the state and prints it.
///
/// # Errors
/// There is no such actor, or the cell cannot answer.
pub async fn run(args: Args) -> Result<(), Error> {
    let message = v1::GetRequest {
        actor: Some(connect::wire(&args.actor)),
        at_seq: args.at_seq.unwrap_or(0),
        stale: args.stale,
    };
    let answer = connect::ask(&args.client, Effect::None, args.client.timeout, |mut client, left| {
        let message = connect::request(message.clone(), left);
        async move { client.get(message).await }
    });
    let answer = answer.await?;
    let state = State { state: output::raw(&answer.state), seq: answer.seq, position: answer.position };
    output::print(&state, args.client.output).map_err(Error::Output)
}
