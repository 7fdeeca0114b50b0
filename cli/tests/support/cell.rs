//! A cell that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use corallite_proto::v1;
use corallite_proto::v1::actors_server::{Actors, ActorsServer};
use corallite_proto::v1::execute_stream_response::Answer as StreamAnswer;
use prost::Message;
use tokio::sync::oneshot;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

/// One scripted answer to a command.
#[derive(Clone, Debug)]
pub enum Answer {
    Applied,
    /// The cell's error, as a detail of the status.
    Error(v1::Error),
    /// A status that says nothing of what happened.
    Bare(Code),
}

impl Answer {
    pub fn error(code: &str, outcome: v1::Outcome, retryable: bool) -> Self {
        Self::Error(v1::Error {
            code: code.to_owned(),
            message: format!("{code} as scripted"),
            outcome: outcome.into(),
            retryable,
            retry_after_ms: 0,
            command_id: String::new(),
        })
    }
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<v1::ExecuteRequest>,
}

/// A scripted cell that serves until it is dropped. When the script is over, everything is applied.
pub struct ScriptedCell {
    pub url: String,
    script: Arc<Mutex<Script>>,
    _stop: oneshot::Sender<()>,
}

impl ScriptedCell {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script { answers: answers.into_iter().collect(), asked: Vec::new() };
        let script = Arc::new(Mutex::new(script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (stop, stopped) = oneshot::channel();
        let serving = tonic::transport::Server::builder()
            .add_service(ActorsServer::new(Service(script.clone())))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = stopped.await;
            });
        tokio::spawn(serving);
        Self { url, script, _stop: stop }
    }

    /// The commands it was asked for, in order.
    pub fn asked(&self) -> Vec<v1::ExecuteRequest> {
        self.script.lock().expect("no panic").asked.clone()
    }
}

struct Service(Arc<Mutex<Script>>);

impl Service {
    fn answer(&self, request: v1::ExecuteRequest) -> (Answer, v1::ExecuteResponse) {
        let mut script = self.0.lock().expect("no panic");
        let answer = script.answers.pop_front().unwrap_or(Answer::Applied);
        let response = v1::ExecuteResponse {
            reply: request.payload.clone(),
            seq: script.asked.len() as u64 + 1,
            position: "3:14".to_owned(),
            events: vec!["Echoed".to_owned()],
            event: None,
            command_id: request.command_id.clone(),
        };
        script.asked.push(request);
        (answer, response)
    }
}

#[tonic::async_trait]
impl Actors for Service {
    async fn execute(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<v1::ExecuteResponse>, Status> {
        match self.answer(request.into_inner()) {
            (Answer::Applied, response) => Ok(Response::new(response)),
            (Answer::Bare(code), _) => Err(Status::new(code, "as scripted")),
            (Answer::Error(error), _) => {
                Err(Status::with_details(Code::Aborted, error.message.clone(), error.encode_to_vec().into()))
            }
        }
    }

    type ExecuteStreamStream = ReceiverStream<Result<v1::ExecuteStreamResponse, Status>>;

    async fn execute_stream(
        &self,
        request: Request<Streaming<v1::ExecuteStreamRequest>>,
    ) -> Result<Response<Self::ExecuteStreamStream>, Status> {
        let (answers, outgoing) = tokio::sync::mpsc::channel(64);
        let service = Self(self.0.clone());
        let mut requests = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(streamed)) = requests.message().await {
                let answer = match service.answer(streamed.request.unwrap_or_default()) {
                    (Answer::Applied, response) => StreamAnswer::Applied(response),
                    (Answer::Error(error), _) => StreamAnswer::Error(error),
                    (Answer::Bare(_), _) => return,
                };
                let response = v1::ExecuteStreamResponse { tag: streamed.tag, answer: Some(answer) };
                if answers.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let request = request.into_inner();
        if request.actor.is_some_and(|actor| actor.id == "nobody") {
            let Answer::Error(error) = Answer::error("NotFound", v1::Outcome::NotApplied, false) else {
                unreachable!("made just above")
            };
            return Err(Status::with_details(Code::NotFound, "none", error.encode_to_vec().into()));
        }
        // A number that only a text keeps, and keys that are not in order.
        let state = br#"{"z":9007199254740993,"a":1.0}"#.as_slice().into();
        Ok(Response::new(v1::GetResponse { state, seq: request.at_seq, position: "3:14".to_owned() }))
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<v1::QueryResponse>, Status> {
        let result = request.into_inner().args;
        Ok(Response::new(v1::QueryResponse { result, seq: 2, position: "3:14".to_owned() }))
    }

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<v1::EventsResponse>, Status> {
        // A history of 1,500 events, in pages of at most 1,000.
        let request = request.into_inner();
        let end = request.from.saturating_add(u64::from(request.limit.min(1_000))).min(1_501);
        let event = |seq| v1::Event {
            seq,
            name: "Ticked".to_owned(),
            payload: format!("{{\"n\":{seq}}}").into(),
            time_ms: 1_000 + seq,
            position: format!("3:{seq}"),
        };
        let next = if end > 1_500 { 0 } else { end };
        Ok(Response::new(v1::EventsResponse { events: (request.from..end).map(event).collect(), next }))
    }

    async fn list_dead_letters(
        &self,
        _: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let letter = v1::DeadLetter {
            position: "17:204".to_owned(),
            target: Some(v1::ActorRef { r#type: "Inventory".to_owned(), id: "mug".to_owned() }),
            command: "reserve".to_owned(),
            payload: br#"{"quantity":1}"#.as_slice().into(),
            code: "Timeout".to_owned(),
            ..v1::DeadLetter::default()
        };
        Ok(Response::new(v1::ListDeadLettersResponse { letters: vec![letter] }))
    }

    async fn get_dead_letter(
        &self,
        _: Request<v1::GetDeadLetterRequest>,
    ) -> Result<Response<v1::GetDeadLetterResponse>, Status> {
        Err(Status::unimplemented("as scripted"))
    }

    async fn replay_dead_letter(
        &self,
        _: Request<v1::ReplayDeadLetterRequest>,
    ) -> Result<Response<v1::ReplayDeadLetterResponse>, Status> {
        Ok(Response::new(v1::ReplayDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        _: Request<v1::DropDeadLetterRequest>,
    ) -> Result<Response<v1::DropDeadLetterResponse>, Status> {
        Ok(Response::new(v1::DropDeadLetterResponse {}))
    }
}
