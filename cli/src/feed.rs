//! `corallite feed`: the events of the whole shard as they become durable.
//!
//! Does not resume by itself after a broken connection: it prints the position to go on from.

use corallite_proto::v1;
use corallite_proto::v1::feed_client::FeedClient;
use serde::Serialize;

use crate::connect::{self, ClientArgs, Error};
use crate::events::EventLine;
use crate::failure::{Effect, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite feed
  corallite feed --types Order,Payment --output json | jq -r '.actor + \" \" + .name'
  corallite feed --from <position printed with an event>

A cell that does not serve the feed yet answers Unimplemented (exit code 3).";

/// Follows the events of the whole shard.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Only these actor types
    #[arg(long, value_delimiter = ',', value_name = "TYPE,…")]
    types: Vec<String>,
    /// Only these events
    #[arg(long, value_delimiter = ',', value_name = "EVENT,…")]
    events: Vec<String>,
    /// Go on after this position instead of from now
    #[arg(long, value_name = "POSITION")]
    from: Option<String>,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Serialize)]
struct FeedLine {
    actor: String,
    #[serde(flatten)]
    event: EventLine,
}

/// Prints events until the connection ends or the user stops it.
///
/// # Errors
/// The cell does not serve a feed, or the connection broke.
pub async fn run(args: Args) -> Result<(), Error> {
    let message =
        v1::SubscribeRequest { types: args.types, events: args.events, from: args.from.unwrap_or_default() };
    let mut client = FeedClient::new(connect::channel(&args.client.server)?);
    let mut events = client.subscribe(message).await.map_err(failed)?.into_inner();
    while let Some(answer) = events.message().await.map_err(failed)? {
        let actor = answer.actor.unwrap_or_default();
        let event = EventLine::from(answer.event.unwrap_or_default());
        let line = FeedLine { actor: format!("{}/{}", actor.r#type, actor.id), event };
        output::print(&line, args.client.output).map_err(Error::Output)?;
    }
    Ok(())
}

fn failed(status: tonic::Status) -> Error {
    let mut failure = Failure::from_status(&status, Effect::None);
    if status.code() == tonic::Code::Unimplemented {
        failure.message = "the feed is not served by this version of the cell".to_owned();
    }
    Error::Failed(failure)
}
