//! The operator's listener: is it alive, is it ready, what does it count.

use std::net::SocketAddr;
use std::sync::Arc;

use warp::Filter;
use warp::http::{StatusCode, header};
use warp::reply::Response;

use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::readiness::Readiness;

/// Serves `/livez`, `/readyz` and `/metrics` for as long as it is polled.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>, readiness: Readiness) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "admin listener");
    warp::serve(filter(metrics, readiness)).incoming(listener).run().await;
    Ok(())
}

fn filter(
    metrics: Arc<Metrics>,
    readiness: Readiness,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone {
    let livez = warp::path!("livez").map(|| text(StatusCode::OK, "ok\n".to_owned()));
    let readyz = warp::path!("readyz").map(move || match readiness.waits_for() {
        None => text(StatusCode::OK, "ready\n".to_owned()),
        Some(sentence) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{sentence}\n")),
    });
    let metrics = warp::path!("metrics").map(move || {
        let mut response = Response::new(metrics.encode().into());
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
        response
    });
    warp::get().and(livez.or(readyz).unify().or(metrics).unify())
}

fn text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::DEFINITION;

    /// `warp::test` is a feature that is off here; so a real listener on a free port.
    #[tokio::test]
    async fn a_missing_definition_is_not_ready_but_alive() {
        let readiness = Readiness::default();
        readiness.set(DEFINITION, true);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = filter(Arc::default(), readiness.clone());
        let server = tokio::spawn(warp::serve(routes).incoming(listener).run());
        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let waiting = get(address, "/readyz").await;
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("actorshards"), "{waiting}");
        readiness.set(DEFINITION, false);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("corallite_operator_leader 0"));
        server.abort();
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }
}
