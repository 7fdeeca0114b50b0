//! The gateway from outside: real connections on free ports, a scripted cell behind.

mod commands;
mod early;
mod grpc;
mod http;
mod inputs;
mod script;
mod stop;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corallite_proto::v1::actors_client::ActorsClient;
use http_body_util::{BodyExt, Full};
use hyper::{Method, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::serve::{Listeners, Stopped, serve_with_grace};
use crate::metrics::Metrics;
use script::Script;

/// A served script and a client of it.
struct World {
    script: Script,
    grpc: String,
    http: String,
    admin: String,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Stopped>,
}

/// An HTTP answer.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The code, message, outcome and retryability of an error, whose shape must be exact.
    #[track_caller]
    fn error(&self) -> (String, String, String, bool) {
        let json = self.json();
        let object = json["error"].as_object().unwrap_or_else(|| panic!("no error: {self:?}"));
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "message", "outcome", "retryable"], "{self:?}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        let text = |key: &str| object[key].as_str().expect("text").to_owned();
        (text("code"), text("message"), text("outcome"), object["retryable"].as_bool().expect("a bool"))
    }
}

const GRACE: Duration = Duration::from_secs(20);

impl World {
    async fn new() -> Self {
        Self::with_grace(GRACE).await
    }

    async fn with_grace(grace: Duration) -> Self {
        let script = Script::default();
        let open = || async { TcpListener::bind("127.0.0.1:0").await.expect("a free port") };
        let listeners = Listeners { grpc: open().await, http: open().await, admin: open().await };
        let at = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("bound"));
        let (grpc, http, admin) = (at(&listeners.grpc), at(&listeners.http), at(&listeners.admin));
        let (stop, stopped) = oneshot::channel::<()>();
        let metrics = Arc::new(Metrics::new());
        metrics.declare_type("Order");
        let shutdown = async { drop(stopped.await) };
        let served = tokio::spawn(serve_with_grace(script.clone(), metrics, listeners, grace, shutdown));
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { script, grpc, http, admin, client, stop: Some(stop), served }
    }

    async fn actors(&self) -> ActorsClient<Channel> {
        ActorsClient::new(self.channel().await)
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.grpc.clone()).expect("a uri").connect().await.expect("connected")
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], "").await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        self.send(Method::POST, path, &[], body).await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        request(&self.client, method, &format!("{}{path}", self.http), headers, body).await
    }

    async fn admin(&self, path: &str) -> Reply {
        request(&self.client, Method::GET, &format!("{}{path}", self.admin), &[], "").await
    }

    /// Asks for a stop; what comes of it is in `served`.
    fn ask_to_stop(&mut self) {
        self.stop.take().expect("asked once").send(()).expect("serving");
    }

    async fn stop(mut self) -> Stopped {
        self.ask_to_stop();
        drop(self.client);
        self.served.await.expect("no panic")
    }
}

async fn request(
    client: &Client<HttpConnector, Full<Bytes>>,
    method: Method,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut request = hyper::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body.to_owned())).expect("a request");
    let response = client.request(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("text");
    Reply { status: parts.status, headers: parts.headers, body }
}
