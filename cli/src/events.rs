//! `corallite events`: the history of one actor, one event a line.

use corallite_cell::ids::ActorRef;
use corallite_cell::limits::EVENTS_PAGE_MAX;
use corallite_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connect::{self, ClientArgs, Error};
use crate::failure::Effect;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite events Order/o-1
  corallite events Order/o-1 --from 101 --limit 50
  corallite events Order/o-1 --output json | jq -r .name

Prints one JSON value per event. When there are more than --limit, standard error says where the
rest begins.";

/// Prints the history of an actor.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Whose history, as Type/id
    #[arg(value_name = "TYPE/ID", value_parser = connect::parse_actor)]
    actor: ActorRef,
    /// First sequence number
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// At most this many events
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// One event as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLine {
    seq: u64,
    name: String,
    payload: Box<RawValue>,
    time_ms: u64,
    position: String,
}

impl From<v1::Event> for EventLine {
    fn from(event: v1::Event) -> Self {
        Self {
            seq: event.seq,
            name: event.name,
            payload: output::raw(&event.payload),
            time_ms: event.time_ms,
            position: event.position,
        }
    }
}

/// Reads pages until the limit or the end of the history, and prints them.
///
/// # Errors
/// There is no such actor, or the cell cannot answer.
pub async fn run(args: Args) -> Result<(), Error> {
    let mut from = args.from;
    let mut left = args.limit;
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(u32::MAX).min(EVENTS_PAGE_MAX);
        let page = page(&args, from, limit).await?;
        left = left.saturating_sub(page.events.len() as u64);
        for event in page.events {
            output::print(&EventLine::from(event), args.client.output).map_err(Error::Output)?;
        }
        // A page that does not move on would be read for ever.
        if page.next <= from {
            return Ok(());
        }
        from = page.next;
    }
    eprintln!("more events follow: --from {from}");
    Ok(())
}

async fn page(args: &Args, from: u64, limit: u32) -> Result<v1::EventsResponse, Error> {
    let message = v1::EventsRequest { actor: Some(connect::wire(&args.actor)), from, limit };
    let answer = connect::ask(&args.client, Effect::None, args.client.timeout, |mut client, left| {
        let message = connect::request(message.clone(), left);
        async move { client.events(message).await }
    });
    answer.await
}
