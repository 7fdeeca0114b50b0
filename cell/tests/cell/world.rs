//! A running cell and its clients.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corallite_cell::behavior::Schema;
use corallite_cell::serve::{self, Config, DeliveryLimits, Listeners, Running, StartError, StoreConfig};
use corallite_cell::spec::{ActorSpec, ShardSpec};
use corallite_cell::store::Store;
use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use corallite_proto::v1::execute_stream_response::Answer;
use http_body_util::{BodyExt, Full};
use hyper::{Method, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use serde_json::Value;
use tonic::transport::Channel;

/// Longest wait for something that must come: only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Longest run of a script that is to be stopped.
const RASCAL_MS: u32 = 500;

/// The shard of these tests: types that behave and types that do not. Only `Rascal` has a limit of
/// time that a busy machine could make a good script meet.
pub fn shard() -> ShardSpec {
    let patient = |type_name, file, source| {
        let mut actor = ActorSpec::new(type_name, file, source);
        actor.script.command_ms = 60_000;
        actor
    };
    let counter = patient("Counter", "counter.js", include_str!("../behaviors/counter.js"));
    let glutton = patient("Glutton", "rascal.js", include_str!("../behaviors/rascal.js"));
    let mut rascal = ActorSpec { type_name: "Rascal".into(), ..glutton.clone() };
    rascal.script.command_ms = RASCAL_MS;
    let number = r#"{"type":"object","required":["by"],"properties":{"by":{"type":"number"}}}"#;
    let schema = Schema { commands: vec![("add".into(), number.into())], ..Schema::default() };
    let strict = ActorSpec { type_name: "Strict".into(), schema: Some(Arc::new(schema)), ..counter.clone() };
    let sender = patient("Sender", "sender.js", include_str!("../behaviors/sender.js"));
    ShardSpec {
        namespace: "default".into(),
        name: "test".into(),
        buckets: 16,
        root_before_colon: false,
        actors: vec![counter, rascal, glutton, strict, sender, receiver()],
    }
}

pub fn receiver() -> ActorSpec {
    let mut actor = ActorSpec::new("Receiver", "receiver.js", include_str!("../behaviors/receiver.js"));
    actor.script.command_ms = 60_000;
    actor
}

/// What a cell of these tests is told, unless a test wants something else.
pub fn config() -> Config {
    let any = ([127, 0, 0, 1], 0).into();
    Config {
        spec: shard(),
        store: StoreConfig::Memory,
        lanes: 2,
        listeners: Listeners { grpc: any, http: any, admin: any },
        hot_actors_max: 1_000,
        memory_bytes_max: 64 << 20,
        // Eight tries within a tenth of a second.
        deliveries: DeliveryLimits { backoff_ms_min: 1, backoff_ms_max: 16, ..DeliveryLimits::default() },
    }
}

/// [`config`] in a folder.
pub fn config_in(folder: &Path) -> Config {
    Config { store: StoreConfig::Embedded { path: folder.to_owned() }, ..config() }
}

/// A running cell and a client of it.
pub struct World {
    pub running: Running,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: hyper::HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts an error of this status and code, surely not applied; gives its message.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let error = self.json()["error"].clone();
        assert_eq!((self.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{self:?}");
        let outcome = if status == 409 { "refused" } else { "notApplied" };
        assert_eq!(error["outcome"], outcome, "{self:?}");
        error["message"].as_str().expect("a sentence").to_owned()
    }
}

impl World {
    /// A cell in memory.
    pub async fn new() -> Self {
        Self::start(config()).await
    }

    pub async fn start(config: Config) -> Self {
        Self::try_start(config).await.unwrap_or_else(|error| panic!("the cell did not start: {error}"))
    }

    pub async fn try_start(config: Config) -> Result<Self, StartError> {
        serve::start(config).await.map(Self::around)
    }

    /// A cell on a store that is open.
    pub async fn on(store: Arc<dyn Store>) -> Self {
        let running = serve::start_on(config(), store).await;
        Self::around(running.unwrap_or_else(|error| panic!("the cell did not start: {error}")))
    }

    fn around(running: Running) -> Self {
        Self { running, client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }

    pub async fn stop(self) {
        // Connections that are kept alive would hold the stop up.
        drop(self.client);
        self.running.shutdown().await;
    }

    pub async fn actors(&self) -> ActorsClient<Channel> {
        let at = format!("http://{}", self.running.addresses().grpc);
        ActorsClient::connect(at).await.expect("connected")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let uri = format!("http://{}{path}", self.running.addresses().http);
        let mut request = hyper::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A busy machine is no reason to fail.
        if !headers.iter().any(|(name, _)| *name == "request-timeout") {
            request = request.header("request-timeout", "2m");
        }
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        read(self.client.request(request).await.expect("an answer")).await
    }

    /// Sends a command to `Type/id`.
    pub async fn post(&self, actor: &str, command: &str, payload: &str) -> Reply {
        self.send(Method::POST, &format!("/v1/actors/{actor}/{command}"), &[], payload).await
    }

    /// Sends a command that must be applied; gives the whole answer.
    pub async fn apply(&self, actor: &str, command: &str, payload: &str) -> Value {
        let reply = self.post(actor, command, payload).await;
        assert_eq!(reply.status, 200, "{actor} {command} {payload}: {reply:?}");
        reply.json()
    }

    /// The state and seq of an actor that exists.
    pub async fn state(&self, actor: &str) -> (Value, u64) {
        let reply = self.get(&format!("/v1/actors/{actor}")).await;
        assert_eq!(reply.status, 200, "{actor}: {reply:?}");
        let json = reply.json();
        (json["state"].clone(), json["seq"].as_u64().expect("a number"))
    }

    /// Waits until the state of an actor is as wanted.
    pub async fn state_where(&self, actor: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/actors/{actor}");
        let reply =
            self.get_where(&path, |reply| reply.status == 200 && wanted(&reply.json()["state"])).await;
        reply.json()["state"].clone()
    }

    /// Asks again until the answer is as wanted.
    pub async fn get_where(&self, path: &str, wanted: impl Fn(&Reply) -> bool) -> Reply {
        let started = Instant::now();
        loop {
            let reply = self.get(path).await;
            if wanted(&reply) {
                return reply;
            }
            assert!(started.elapsed() < PATIENCE, "{path} is still {reply:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The sum of a metric over all its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let uri = format!("http://{}/metrics", self.running.addresses().admin);
        let request = hyper::Request::get(uri).body(Full::default()).expect("a request");
        let text = read(self.client.request(request).await.expect("an answer")).await.body;
        let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")).sum()
    }

    /// Waits until a metric is as wanted: lanes bring them up to date now and then.
    pub async fn metric_is(&self, name: &str, wanted: f64) {
        let started = Instant::now();
        loop {
            let value = self.metric(name).await;
            if (value - wanted).abs() < 0.5 {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{name} is still {value}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends commands in one burst over one stream; gives the answers in the order sent.
    pub async fn burst(&self, commands: Vec<v1::ExecuteStreamRequest>) -> Vec<Answer> {
        let count = commands.len();
        let tagged = (0..).zip(commands).map(|(tag, command)| v1::ExecuteStreamRequest { tag, ..command });
        let requests = tokio_stream::iter(tagged.collect::<Vec<_>>());
        let mut stream = self.actors().await.execute_stream(requests).await.expect("a stream").into_inner();
        let mut answers: Vec<Option<Answer>> = (0..count).map(|_| None).collect();
        for _ in 0..count {
            let response = tokio::time::timeout(PATIENCE, stream.message()).await.expect("in time");
            let response = response.expect("well").expect("an answer to every command");
            answers[usize::try_from(response.tag).expect("small")] = response.answer;
        }
        answers.into_iter().map(|answer| answer.expect("one answer each")).collect()
    }
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Reply {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("text");
    Reply { status: parts.status, headers: parts.headers, body }
}

/// A command for a burst or a unary call.
pub fn command(actor: &str, name: &str, payload: &str) -> v1::ExecuteStreamRequest {
    let request = Some(unary(actor, name, payload));
    v1::ExecuteStreamRequest { tag: 0, request, timeout_ms: 120_000 }
}

pub fn unary(actor: &str, name: &str, payload: &str) -> v1::ExecuteRequest {
    v1::ExecuteRequest {
        actor: address(actor),
        command: name.into(),
        payload: payload.to_owned().into(),
        ..v1::ExecuteRequest::default()
    }
}

pub fn address(actor: &str) -> Option<v1::ActorRef> {
    let (type_name, id) = actor.split_once('/').expect("Type/id");
    Some(v1::ActorRef { r#type: type_name.into(), id: id.into() })
}

/// The error that a status carries.
pub fn details(status: &tonic::Status) -> v1::Error {
    v1::Error::decode(status.details()).expect("details")
}

#[track_caller]
pub fn applied(answer: &Answer) -> &v1::ExecuteResponse {
    match answer {
        Answer::Applied(applied) => applied,
        Answer::Error(error) => panic!("{error:?}"),
    }
}

#[track_caller]
pub fn error(answer: &Answer) -> &v1::Error {
    match answer {
        Answer::Applied(applied) => panic!("applied: {applied:?}"),
        Answer::Error(error) => error,
    }
}
