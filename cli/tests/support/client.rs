//! Clients that remember what they sent and what became of it, over a gRPC stream and over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use corallite_cell::gateway::decode_position;
use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use corallite_proto::v1::execute_stream_response::Answer as StreamAnswer;
use prost::Message;
use serde_json::Value;
use tokio_stream::wrappers::ReceiverStream;

use super::http;

/// A command with its id.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    pub id: String,
    /// `Type/id`.
    pub actor: String,
    pub name: &'static str,
    /// JSON.
    pub payload: String,
}

/// What a command that was applied left behind, as its answer tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub reply: Value,
    pub seq: u64,
    /// Bucket and offset.
    pub position: (u32, u64),
    pub events: Vec<String>,
}

/// What a client knows of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Applied(Applied),
    /// With the behavior's code.
    Refused(String),
    /// With the cell's code.
    NotApplied(String),
    /// With the cell's code, or none if nothing was heard.
    Unknown(String),
}

/// A command that was sent, and its answer.
#[derive(Clone, Debug)]
pub struct Sent {
    pub command: Arc<Command>,
    pub answer: Answer,
}

/// Sends commands on one stream, at most `window` of them without an answer, until there are no more
/// or the stream ends. Gives them in the order sent.
pub async fn stream(
    to: SocketAddr,
    mut source: impl Iterator<Item = Arc<Command>>,
    window: usize,
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let Ok(mut client) = ActorsClient::connect(format!("http://{to}")).await else { return sent };
    // Room for all that may be without an answer: sending does not wait.
    let (sender, receiver) = tokio::sync::mpsc::channel(window);
    let mut sender = Some(sender);
    let Ok(answers) = client.execute_stream(ReceiverStream::new(receiver)).await else { return sent };
    let mut answers = answers.into_inner();
    let mut unanswered = 0;
    loop {
        while let Some(open) = sender.as_ref().filter(|_| unanswered < window) {
            let Some(command) = source.next() else {
                sender = None;
                break;
            };
            let request = request(sent.len() as u64, &command);
            sent.push(Sent { command, answer: Answer::Unknown(String::new()) });
            unanswered += 1;
            if open.send(request).await.is_err() {
                sender = None;
            }
        }
        match answers.message().await {
            Ok(Some(v1::ExecuteStreamResponse { tag, answer })) => {
                unanswered -= 1;
                sent[usize::try_from(tag).expect("a tag")].answer = answer_of(answer);
            }
            Ok(None) => return sent,
            Err(status) => {
                let all = ended_with(&status);
                let open = |sent: &&mut Sent| sent.answer == Answer::Unknown(String::new());
                sent.iter_mut().filter(open).for_each(|sent| sent.answer = all.clone());
                return sent;
            }
        }
    }
}

fn request(tag: u64, command: &Command) -> v1::ExecuteStreamRequest {
    let (r#type, id) = command.actor.split_once('/').expect("Type/id");
    let request = v1::ExecuteRequest {
        actor: Some(v1::ActorRef { r#type: r#type.to_owned(), id: id.to_owned() }),
        command: command.name.to_owned(),
        payload: command.payload.clone().into(),
        command_id: command.id.clone(),
        ..v1::ExecuteRequest::default()
    };
    // Nothing is late on a machine that has much else to do.
    v1::ExecuteStreamRequest { tag, request: Some(request), timeout_ms: 120_000 }
}

fn answer_of(answer: Option<StreamAnswer>) -> Answer {
    match answer {
        Some(StreamAnswer::Applied(applied)) => Answer::Applied(Applied {
            reply: serde_json::from_slice(&applied.reply).expect("a reply is JSON"),
            seq: applied.seq,
            position: place(&applied.position),
            events: applied.events,
        }),
        Some(StreamAnswer::Error(error)) => failed(error.outcome(), error.code),
        None => Answer::Unknown(String::new()),
    }
}

fn failed(outcome: v1::Outcome, code: String) -> Answer {
    match outcome {
        v1::Outcome::Refused => Answer::Refused(code),
        v1::Outcome::NotApplied => Answer::NotApplied(code),
        _ => Answer::Unknown(code),
    }
}

/// What a status that ends a stream says of the commands it did not answer.
fn ended_with(status: &tonic::Status) -> Answer {
    let error = v1::Error::decode(status.details()).unwrap_or_default();
    failed(error.outcome(), error.code)
}

/// Bucket and offset of a position token.
pub fn place(token: &str) -> (u32, u64) {
    let position = decode_position(token).unwrap_or_else(|error| panic!("{token:?}: {error}"));
    (position.bucket.0, position.offset.0)
}

/// Sends commands over HTTP one after the other, until there are no more or the cell is gone.
pub fn over_http(to: SocketAddr, source: impl Iterator<Item = Arc<Command>>) -> Vec<Sent> {
    let mut sent = Vec::new();
    for command in source {
        let response = http::command(to, &command.actor, command.name, &command.id, &command.payload);
        if response.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            // It was not sent.
            break;
        }
        let gone = response.is_err();
        let answer = response.map_or(Answer::Unknown(String::new()), |response| read(&response));
        sent.push(Sent { command, answer });
        if gone {
            break;
        }
    }
    sent
}

fn read(response: &http::Response) -> Answer {
    let body = response.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    if response.status != 200 {
        let error = &body["error"];
        let code = text(&error["code"]);
        return match error["outcome"].as_str() {
            Some("refused") => Answer::Refused(code),
            Some("notApplied") => Answer::NotApplied(code),
            _ => Answer::Unknown(code),
        };
    }
    Answer::Applied(Applied {
        reply: body["reply"].clone(),
        seq: body["seq"].as_u64().expect("a seq"),
        position: place(&text(&body["position"])),
        events: body["events"].as_array().expect("a list").iter().map(text).collect(),
    })
}
