//! `corallite query`: a named query of one actor.

use corallite_cell::ids::ActorRef;
use corallite_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connect::{self, ClientArgs, Error};
use crate::failure::Effect;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite query Order/o-1 summary
  corallite query Inventory/lamp available

Queries are the functions under `queries` in the actor type's behavior.";

/// Runs a named query of an actor.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Which actor is asked, as Type/id
    #[arg(value_name = "TYPE/ID", value_parser = connect::parse_actor)]
    actor: ActorRef,
    /// The query's name in the behavior
    name: String,
    /// Its arguments as JSON
    #[arg(value_name = "JSON", default_value = "null", value_parser = connect::parse_json)]
    args: String,
    /// Allow an answer of a cell that was replaced a moment ago
    #[arg(long)]
    stale: bool,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Serialize)]
struct Answer {
    result: Box<RawValue>,
    seq: u64,
    position: String,
}

/// Runs the query and prints its result.
///
/// # Errors
/// There is no such actor or query, its script failed, or the cell cannot answer.
pub async fn run(args: Args) -> Result<(), Error> {
    let message = v1::QueryRequest {
        actor: Some(connect::wire(&args.actor)),
        query: args.name,
        args: args.args.into(),
        stale: args.stale,
    };
    let answer = connect::ask(&args.client, Effect::None, args.client.timeout, |mut client, left| {
        let message = connect::request(message.clone(), left);
        async move { client.query(message).await }
    });
    let answer = answer.await?;
    let answer = Answer { result: output::raw(&answer.result), seq: answer.seq, position: answer.position };
    output::print(&answer, args.client.output).map_err(Error::Output)
}
