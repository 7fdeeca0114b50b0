//! SIGTERM under load: what the cell took is answered, what it did not take is told so, and the next
//! start has nothing to catch up with.

mod support;

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::client::{Answer, Command, Sent, over_http, stream};
use support::dev::{Dev, Shard};
use support::ledger::{Ledger, check_stream_order};
use support::shopper::{Shopper, opening};
use support::{http, log, shop};

const BUCKETS: u32 = 256;
const PRODUCTS: usize = 8;
/// Commands handed out before the signal comes.
const COMMANDS: usize = 3_000;
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that go on until the cell is gone, and how many commands they have sent.
struct Load {
    streams: Vec<tokio::task::JoinHandle<Vec<Sent>>>,
    posts: Vec<tokio::task::JoinHandle<Vec<Sent>>>,
    sent: Arc<AtomicUsize>,
}

impl Load {
    fn start(cell: &Dev) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let shopper = |name: &str, seed| {
            let sent = sent.clone();
            Shopper::new(&format!("{name}{seed}"), seed, PRODUCTS, 500..60_000).inspect(
                move |_: &Arc<Command>| {
                    sent.fetch_add(1, Ordering::Relaxed);
                },
            )
        };
        let streams = (0..3).map(|n| tokio::spawn(stream(cell.grpc, shopper("s", n), 64))).collect();
        let (to, posts) = (cell.http, [shopper("h", 3), shopper("h", 4)]);
        let posts =
            posts.into_iter().map(|shopper| tokio::task::spawn_blocking(move || over_http(to, shopper)));
        Self { streams, posts: posts.collect(), sent }
    }

    async fn wait_for(&self, commands: usize) {
        let asked = Instant::now();
        while self.sent.load(Ordering::Relaxed) < commands {
            assert!(asked.elapsed() < PATIENCE, "fewer than {commands} commands in a minute");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self, ledger: &mut Ledger) -> Vec<Sent> {
        let mut streamed = Vec::new();
        for client in self.streams {
            let sent = client.await.expect("a client");
            check_stream_order(&sent);
            ledger.take(sent.clone());
            streamed.extend(sent);
        }
        for client in self.posts {
            ledger.take(client.await.expect("a client"));
        }
        streamed
    }
}

async fn started() -> (Arc<Shard>, Dev, Ledger) {
    let shard = Arc::new(Shard::new(&[&shop::folder()]).with(&["--lanes", "2"]));
    let cell = start(&shard).await;
    let mut ledger = Ledger::default();
    ledger.take(stream(cell.grpc, opening(PRODUCTS).into_iter(), 8).await);
    (shard, cell, ledger)
}

async fn start(shard: &Arc<Shard>) -> Dev {
    let shard = shard.clone();
    blocking(move || shard.start()).await
}

/// Applied commands are in the log, once, where their answers say; others that were answered, or were
/// not taken, are not.
fn check(log: &log::Log, ledger: &Ledger) {
    let mut ids = std::collections::HashMap::new();
    for (at, record) in log.records() {
        if let Some(corallite_proto::store::record::Cause::Client(client)) = &record.cause {
            ids.insert(&*client.id, at);
        }
    }
    for (command, applied) in ledger.applied() {
        assert_eq!(ids.remove(&*command.id), Some(applied.position), "{command:?}");
    }
    for (command, code) in ledger.left_nothing() {
        assert!(!ids.contains_key(&*command.id), "{command:?} was answered {code}, and is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sigterm_under_load_answers_everything_that_was_taken() {
    let (shard, cell, mut ledger) = started().await;
    let load = Load::start(&cell);
    load.wait_for(COMMANDS).await;
    let asked = Instant::now();
    let (status, said) = blocking(move || cell.stop("TERM")).await;
    eprintln!("stopped {:?} after the signal", asked.elapsed());
    assert!(status.success(), "{status}: {said}");
    assert!(!said.contains("cut off") && !said.contains("ERROR"), "{said}");
    let streamed = load.end(&mut ledger).await;
    let counts = ledger.counts();
    eprintln!("{counts:?}");
    for Sent { command, answer } in &streamed {
        assert!(!matches!(answer, Answer::Unknown(_)), "{command:?} was not answered: {answer:?}");
    }
    let stopping = streamed.iter().filter(|sent| sent.answer == Answer::NotApplied("Stopping".to_owned()));
    assert!(stopping.count() > 0, "the signal came under load: {counts:?}");

    let data = shard.data();
    let log = blocking(move || log::read(&data, BUCKETS)).await;
    assert_eq!(log.tail(), 0, "a start would have something to catch up with");
    check(&log, &ledger);
    // Over HTTP a connection that the cell had not accepted ends without an answer: so it was not taken.
    let unanswered = ledger.unknown();
    let taken = |command: &&Arc<Command>| log.records().any(|(_, record)| is_of(record, command));
    assert_eq!(unanswered.iter().find(taken), None, "taken, but not answered");

    let cell = start(&shard).await;
    let again = stream(cell.grpc, unanswered.into_iter(), 8).await;
    assert!(again.iter().all(|sent| !matches!(sent.answer, Answer::Unknown(_))), "{again:?}");
    let latest: Vec<_> = ledger.applied().rev().filter(|(c, _)| c.name == "place").take(20).collect();
    let latest: Vec<Arc<Command>> = latest.into_iter().map(|(command, _)| command.clone()).collect();
    let answers = stream(cell.grpc, latest.into_iter(), 8).await;
    ledger.resolve(answers);
    assert!(blocking(move || cell.stop("TERM")).await.0.success());
}

fn is_of(record: &corallite_proto::store::Record, command: &Command) -> bool {
    use corallite_proto::store::record::Cause;
    matches!(&record.cause, Some(Cause::Client(client)) if client.id == command.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_signal_stops_at_once_and_loses_nothing_that_was_answered() {
    let (shard, cell, mut ledger) = started().await;
    let load = Load::start(&cell);
    load.wait_for(COMMANDS).await;
    cell.signal("TERM");
    let (_, said) = blocking(move || cell.stop("TERM")).await;
    assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
    load.end(&mut ledger).await;
    let data = shard.data();
    let log = blocking(move || log::read(&data, BUCKETS)).await;
    check(&log, &ledger);
}

/// A request that waits holds the stop up, within the grace; nobody new is let in meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_connections_are_refused_while_requests_under_way_end() {
    let (_shard, cell, _) = started().await;
    let to = cell.http;
    let waiting = tokio::task::spawn_blocking(move || {
        let order = r#"{"userId":"ann","productId":"p-0","quantity":1,"unitPriceCents":100}"#;
        http::request(to, "POST", "/v1/actors/Order/o/place?until=OrderPaid&wait=2s", &[], order)
    });
    let placed = || http::get(to, "/v1/actors/Order/o").is_ok_and(|response| response.status == 200);
    wait_until("the order is placed", placed).await;
    cell.signal("TERM");
    let (grpc, http) = (cell.grpc, cell.http);
    let refused = move || [grpc, http].iter().all(|to| TcpStream::connect(to).is_err());
    wait_until("new connections are refused", refused).await;
    let response = waiting.await.expect("a client").expect("an answer");
    assert_eq!(
        (response.status, &response.json()["events"][0]),
        (200, &"OrderPlaced".into()),
        "{response:?}"
    );
    let (status, said) = blocking(move || cell.wait()).await;
    assert!(status.success(), "{said}");
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let asked = Instant::now();
    while !tokio::task::block_in_place(&holds) {
        assert!(asked.elapsed() < PATIENCE, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
