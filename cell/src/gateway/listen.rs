//! Accepts connections and serves each in a task of its own, until a stop.
//!
//! Guarantees: at most [`CONNECTIONS_MAX`] at a time; small answers leave at once (`TCP_NODELAY`);
//! after a stop no connection is accepted, requests under way finish and idle connections close.
//! Dropping the future cuts off what is left: the caller's grace is its timeout.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::limits::CONNECTIONS_MAX;

/// How long accepting pauses when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections of `listener` with `serve` until `stop` is true and all have ended.
pub(super) async fn listen<C>(
    what: &'static str,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(TokioIo<TcpStream>) -> C,
) where
    C: GracefulConnection + Send + 'static,
    C::Error: std::fmt::Display + Send,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &room) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, permit)) => {
                let connection = serve(TokioIo::new(stream));
                let stop = stop.clone();
                connections.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = connect(connection, stop).await {
                        tracing::debug!(listener = what, %error, "connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(listener = what, %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn connect<C: GracefulConnection>(
    connection: C,
    mut stop: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let ended = std::future::poll_fn(|cx| {
        use std::task::Poll;
        match connection.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => stopped.as_mut().poll(cx).map(|_| None),
        }
    });
    match ended.await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
