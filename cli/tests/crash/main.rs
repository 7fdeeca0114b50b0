//! Kill any process at any instant: no acknowledged command is lost, none is half visible, timers due
//! meanwhile still fire.
//!
//! `CORALLITE_CRASH_SEED` repeats the commands and the instants of a run (not how they meet),
//! `CORALLITE_CRASH_ROUNDS` sets how often the cell is killed.

mod stock;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use support::client::{Command, over_http, stream};
use support::dev::{Dev, Shard};
use support::ledger::{Ledger, check_stream_order};
use support::shopper::{Shopper, opening};
use support::{http, log, shop};

/// Few, so that checkpoints are written all the time, and some are cut off.
const BUCKETS: u32 = 16;
const PRODUCTS: usize = 12;
const ROUNDS_DEFAULT: u64 = 22;
/// Commands without an answer on one stream.
const WINDOW: usize = 32;
/// How long orders stay open, in milliseconds: about as long as a round, so that many expire while
/// there is no cell.
const EXPIRY_MS: std::ops::Range<u64> = 200..1_500;
/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the end of time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cell_that_is_killed_again_and_again_loses_nothing() {
    let seed = setting("CORALLITE_CRASH_SEED").unwrap_or_else(now_ms);
    let rounds = setting("CORALLITE_CRASH_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    eprintln!("CORALLITE_CRASH_SEED={seed} CORALLITE_CRASH_ROUNDS={rounds}");
    let folder = shop::copy("");
    shop::edit(folder.path(), "shard.yaml", "buckets: 256", &format!("buckets: {BUCKETS}"));
    let shard = Arc::new(Shard::new(&[folder.path()]).with(&["--lanes", "2"]));
    let mut crash = Crash {
        shard,
        seed,
        rng: StdRng::seed_from_u64(seed),
        ledger: Ledger::default(),
        downs_ms: Vec::new(),
        stock: stock::Watch::default(),
    };
    let mut cell = crash.start().await;
    crash.ledger.take(stream(cell.grpc, opening(PRODUCTS).into_iter(), WINDOW).await);
    for round in 0..rounds {
        crash.load_and_kill(round, cell).await;
        cell = crash.restart(round).await;
        crash.retry_unknown(cell.grpc).await;
        crash.repeat_some(&cell).await;
        crash.stock.check(cell.http, PRODUCTS);
    }
    let log = crash.come_to_rest(cell).await;
    crash.check(&log, rounds);
}

/// A run of the test.
struct Crash {
    shard: Arc<Shard>,
    seed: u64,
    rng: StdRng,
    ledger: Ledger,
    /// When no cell served: from, to.
    downs_ms: Vec<(u64, u64)>,
    stock: stock::Watch,
}

impl Crash {
    async fn start(&self) -> Dev {
        let shard = self.shard.clone();
        blocking(move || shard.start()).await
    }

    /// Clients of both wires and a reader send what they can; at some instant the cell is gone.
    async fn load_and_kill(&mut self, round: u64, cell: Dev) {
        let (grpc, http) = (cell.grpc, cell.http);
        let shopper = |client: &str, n: u64| {
            let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(round * 100 + n);
            Shopper::new(&format!("{client}{n}.{round}"), seed, PRODUCTS, EXPIRY_MS)
        };
        let streams: Vec<_> = (0..3).map(|n| tokio::spawn(stream(grpc, shopper("s", n), WINDOW))).collect();
        let posts: Vec<_> = (3..5).map(|n| (n, shopper("h", n))).collect();
        let posts: Vec<_> = posts
            .into_iter()
            .map(|(_, shopper)| tokio::task::spawn_blocking(move || over_http(http, shopper)))
            .collect();
        let reads = tokio::task::spawn_blocking(move || stock::read_until_gone(http, PRODUCTS));
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(150..700))).await;
        let down_ms = now_ms();
        cell.kill();
        self.downs_ms.push((down_ms, u64::MAX));
        for client in streams {
            let sent = client.await.expect("a client");
            check_stream_order(&sent);
            self.ledger.take(sent);
        }
        for client in posts {
            self.ledger.take(client.await.expect("a client"));
        }
        self.stock.remember(reads.await.expect("a reader"));
    }

    /// Starts the cell again; now and then it is killed once more before it serves.
    async fn restart(&mut self, round: u64) -> Dev {
        if round % 4 == 3 {
            let shard = self.shard.clone();
            let time = Duration::from_millis(self.rng.random_range(0..400));
            blocking(move || shard.start_and_kill_after(time)).await;
        }
        let cell = self.start().await;
        if let Some(down) = self.downs_ms.last_mut() {
            down.1 = now_ms();
        }
        cell
    }

    /// Every command without an answer is sent again with its id, until there is one.
    async fn retry_unknown(&mut self, to: SocketAddr) {
        let asked = Instant::now();
        loop {
            let unknown = self.ledger.unknown();
            if unknown.is_empty() {
                return;
            }
            assert!(asked.elapsed() < PATIENCE, "no answer to {unknown:?}");
            self.ledger.resolve(stream(to, unknown.into_iter(), WINDOW).await);
        }
    }

    /// Commands that have their answer get it again: by the other wire too.
    async fn repeat_some(&mut self, cell: &Dev) {
        let latest: Vec<Arc<Command>> =
            self.ledger.applied().rev().take(1_000).map(|(c, _)| c.clone()).collect();
        // A cell remembers the latest 64 ids of an actor: of a stock that is not all.
        let remembered = latest.iter().filter(|command| !command.actor.starts_with("Inventory/"));
        let some: Vec<Arc<Command>> = remembered.cloned().sample(&mut self.rng, 40);
        let (grpc, http) = (cell.grpc, cell.http);
        self.ledger.resolve(stream(grpc, some.clone().into_iter(), WINDOW).await);
        self.ledger.resolve(blocking(move || over_http(http, some.into_iter())).await);
    }

    /// Waits until no timer is pending and no message on its way, stops the cell and reads its log.
    async fn come_to_rest(&mut self, mut cell: Dev) -> log::Log {
        let asked = Instant::now();
        loop {
            // What the metrics say may be old: the log decides.
            while pending(cell.admin) > 0 {
                assert!(asked.elapsed() < PATIENCE, "timers or messages are pending still");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.stock.check(cell.http, PRODUCTS);
            let data = self.shard.data();
            let (status, said) = blocking(move || cell.stop("TERM")).await;
            assert!(status.success(), "{status}: {said}");
            let log = blocking(move || log::read(&data, BUCKETS)).await;
            assert_eq!(log.tail(), 0, "records that the stop left out of the checkpoints");
            let Some(under_way) = log.under_way() else { return log };
            assert!(asked.elapsed() < PATIENCE, "under way still: {under_way}");
            cell = self.start().await;
        }
    }

    fn check(&self, log: &log::Log, rounds: u64) {
        self.check_answers(log);
        let sum = stock::check_log(log, &self.stock, &self.downs_ms);
        eprintln!("{:?}\n{sum:?}", self.ledger.counts());
        let applied = self.ledger.applied().count() as u64;
        assert!(applied >= 50 * rounds, "only {applied} commands were applied");
        let some_of_each = [sum.paid, sum.expired, sum.cancelled, sum.due_while_down, sum.out_of_stock];
        assert_eq!(sum.settled, sum.paid, "{sum:?}");
        assert!(sum.records as u64 >= applied && sum.orders > 0, "{sum:?}");
        assert!(rounds < 10 || some_of_each.iter().all(|&n| n > 0), "the mix lacks something: {sum:?}");
    }

    /// What was answered is what the log says, once; what left nothing behind is not in it.
    fn check_answers(&self, log: &log::Log) {
        let by_id = stock::client_records(log);
        for (command, applied) in self.ledger.applied() {
            let found =
                by_id.get(&*command.id).unwrap_or_else(|| panic!("{command:?} was lost: {applied:?}"));
            let [(at, record)] = found[..] else { panic!("{command:?} was applied {} times", found.len()) };
            assert_eq!(at, applied.position, "{command:?}");
            assert_eq!(log.address(record.actor.as_ref().expect("an actor")), command.actor);
            assert_eq!(record.seq, applied.seq, "{command:?}");
            let names: Vec<&str> = record.events.iter().map(|event| &*event.name).collect();
            assert_eq!(names, applied.events, "{command:?}");
            let reply: serde_json::Value = serde_json::from_slice(&record.reply).expect("JSON");
            assert_eq!(reply, applied.reply, "{command:?}");
        }
        for (command, code) in self.ledger.left_nothing() {
            assert!(!by_id.contains_key(&*command.id), "{command:?} was answered {code}, and is in the log");
        }
        assert_eq!(self.ledger.unknown(), []);
        let expected = ["AlreadyPlaced", "NotOpen", "NotAuthorized", "AlreadyAuthorized"];
        for (command, code) in self.ledger.left_nothing() {
            assert!(expected.contains(&code), "{command:?}: {code}");
        }
    }
}

/// Timers and messages under way.
fn pending(admin: SocketAddr) -> u64 {
    let metrics = http::get(admin, "/metrics").expect("metrics").body;
    let gauges = ["corallite_timers_pending{", "corallite_outbox_pending{"];
    let lines = metrics.lines().filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)));
    lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")).sum()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
