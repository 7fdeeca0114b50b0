//! One HTTP request, as a client on this machine sends it. Nothing is retried.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long one exchange may take: longer than the longest wait that a request can ask a cell for.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(30);

/// How long a connection may take. One to a pod that is just going gets no answer at all.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);

/// Sends a request on a connection of its own and returns the answer's status and body.
///
/// # Errors
/// When no whole answer came; whether the request was carried out is unknown then.
pub async fn send(request: Request<String>) -> Result<(StatusCode, String), String> {
    let target = request.uri().clone();
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECTED_WITHIN));
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let exchange = async {
        let answer = client
            .request(request.map(|body| Full::new(Bytes::from(body))))
            .await
            .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    let answer = tokio::time::timeout(EXCHANGE_WITHIN, exchange).await;
    let answer: Result<_, String> =
        answer.unwrap_or_else(|_| Err(format!("no answer within {} s", EXCHANGE_WITHIN.as_secs())));
    answer.map_err(|error| format!("{target}: {error}"))
}

/// The body of a GET that is answered 200.
///
/// # Errors
/// Another answer, or none.
pub async fn get(url: &str) -> Result<String, String> {
    let request = Request::get(url).body(String::new()).map_err(|error| format!("{url}: {error}"))?;
    match send(request).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, body) => Err(format!("{url}: {status}: {body}")),
    }
}
