//! The three ways to a cell. Each keeps a number of requests in flight until the window closes.

mod grpc;
mod http;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use crate::bench::tally::Answer;
use crate::bench::window::Window;
use crate::bench::workload::Request;

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Transport {
    /// gRPC `ExecuteStream`: many commands on one call. Carries no reads.
    Stream,
    /// gRPC unary calls.
    Grpc,
    /// HTTP/1.1 with keep-alive; one connection per request in flight.
    Http,
}

impl Transport {
    /// The word users type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// Where the cell listens.
#[derive(Clone, Debug)]
pub struct Target {
    /// gRPC address as a URL.
    pub grpc: String,
    /// HTTP address as `host:port`.
    pub http: String,
}

/// The measurement all connections of one thread share.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<Window>>);

impl Shared {
    /// Shares a window.
    pub fn new(window: Window) -> Self {
        Self(Rc::new(RefCell::new(window)))
    }

    /// The window back, when every connection is done with it.
    pub fn into_inner(self) -> Option<Window> {
        Rc::into_inner(self.0).map(RefCell::into_inner)
    }

    fn next(&self) -> Option<Request> {
        self.0.borrow_mut().next()
    }

    fn answered(&self, sent: Instant, bytes_out: usize, answer: &Answer) {
        self.0.borrow_mut().answered(sent, bytes_out, answer);
    }
}

/// Keeps `in_flight` requests under way until the window closes. Runs within a `LocalSet`.
///
/// # Errors
/// The cell cannot be reached, or a connection broke.
pub async fn drive(
    transport: Transport,
    target: &Target,
    in_flight: usize,
    connections: usize,
    window: &Shared,
) -> Result<(), String> {
    let mut tasks = tokio::task::JoinSet::new();
    // HTTP/1.1 has one request in flight per connection.
    let connections = if transport == Transport::Http { in_flight } else { connections.clamp(1, in_flight) };
    for share in shares(in_flight, connections) {
        match transport {
            Transport::Stream => {
                let client = grpc::connect(&target.grpc).await?;
                tasks.spawn_local(stream::run(client, share, window.clone()));
            }
            Transport::Grpc => {
                let client = grpc::connect(&target.grpc).await?;
                for _ in 0..share {
                    tasks.spawn_local(grpc::run(client.clone(), window.clone()));
                }
            }
            Transport::Http => {
                let connection = http::connect(&target.http).await?;
                tasks.spawn_local(http::run(connection, target.http.clone(), window.clone()));
            }
        }
    }
    let mut broken = Ok(());
    while let Some(end) = tasks.join_next().await {
        let end = end.unwrap_or_else(|error| Err(error.to_string()));
        broken = broken.and(end);
    }
    broken
}

/// Splits requests over connections as evenly as can be.
fn shares(in_flight: usize, connections: usize) -> impl Iterator<Item = usize> {
    let (each, more) = (in_flight / connections, in_flight % connections);
    (0..connections).map(move |n| each + usize::from(n < more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly_and_none_is_lost() {
        assert_eq!(shares(10, 4).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(shares(1, 1).collect::<Vec<_>>(), [1]);
        assert_eq!(shares(1024, 7).sum::<usize>(), 1024);
    }
}
