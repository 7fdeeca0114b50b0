//! `corallite dead`: messages, timers and refusals that were given up.

use corallite_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::connect::{self, ClientArgs, Error};
use crate::failure::Effect;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  corallite dead list
  corallite dead show 17:204
  corallite dead replay 17:204      send it again, as a new message
  corallite dead drop 17:204        forget it

A letter is named by its position, as `list` prints it.";

/// Looks at dead letters.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// What to do with them.
    #[command(subcommand)]
    action: Action,
    /// Where and how.
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Print dead letters in order of position, one a line
    List {
        /// At most this many
        #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Continue after this position
        #[arg(long, value_name = "POSITION")]
        after: Option<String>,
    },
    /// Print one dead letter
    Show {
        /// Its name, as `list` prints it
        position: String,
    },
    /// Send a dead letter again, as a new message
    Replay {
        /// Its name, as `list` prints it
        position: String,
    },
    /// Forget a dead letter
    Drop {
        /// Its name, as `list` prints it
        position: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LetterLine {
    position: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    command: String,
    payload: Box<RawValue>,
    code: String,
    message: String,
    time_ms: u64,
}

impl From<v1::DeadLetter> for LetterLine {
    fn from(letter: v1::DeadLetter) -> Self {
        let address = |actor: v1::ActorRef| format!("{}/{}", actor.r#type, actor.id);
        Self {
            position: letter.position,
            target: address(letter.target.unwrap_or_default()),
            source: letter.source.map(address),
            command: letter.command,
            payload: output::raw(&letter.payload),
            code: letter.code,
            message: letter.message,
            time_ms: letter.time_ms,
        }
    }
}

/// Sends one unary call of the actors service, retrying what may be retried.
macro_rules! ask {
    ($args:expr, $method:ident, $effect:expr, $message:expr) => {{
        let message = $message;
        connect::ask(&$args.client, $effect, $args.client.timeout, |mut client, left| {
            let message = connect::request(message.clone(), left);
            async move { client.$method(message).await }
        })
        .await?
    }};
}

/// Does what was asked and prints the letters, or the position that was dealt with.
///
/// # Errors
/// There is no such letter, or the cell cannot answer.
pub async fn run(args: Args) -> Result<(), Error> {
    let print = |letter: v1::DeadLetter| {
        output::print(&LetterLine::from(letter), args.client.output).map_err(Error::Output)
    };
    match args.action.clone() {
        Action::List { limit, after } => {
            let message = v1::ListDeadLettersRequest { limit, after: after.unwrap_or_default() };
            let answer = ask!(args, list_dead_letters, Effect::None, message);
            answer.letters.into_iter().try_for_each(print)
        }
        Action::Show { position } => {
            let message = v1::GetDeadLetterRequest { position };
            let answer = ask!(args, get_dead_letter, Effect::None, message);
            print(answer.letter.unwrap_or_default())
        }
        Action::Replay { position } => {
            let message = v1::ReplayDeadLetterRequest { position: position.clone() };
            ask!(args, replay_dead_letter, Effect::Changes, message);
            done("replayed", &position, &args)
        }
        Action::Drop { position } => {
            let message = v1::DropDeadLetterRequest { position: position.clone() };
            ask!(args, drop_dead_letter, Effect::Changes, message);
            done("dropped", &position, &args)
        }
    }
}

fn done(what: &str, position: &str, args: &Args) -> Result<(), Error> {
    output::print(&serde_json::json!({ what: position }), args.client.output).map_err(Error::Output)
}
