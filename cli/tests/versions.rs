//! Versions of a behavior on the real binary: taken under load, refused with a sentence, read back
//! what older ones recorded.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corallite_proto::store::record::Cause;
use serde_json::{Value, json};
use support::client::{over_http, stream};
use support::dev::{Dev, Shard};
use support::ledger::{Ledger, check_stream_order};
use support::shopper::{Shopper, opening};
use support::{http, log, shop};

const BUCKETS: u32 = 16;
const PRODUCTS: usize = 4;
/// What `place` returns in the shop as it is.
const REPLY: &str = "return { orderId: ctx.id, totalCents: ctx.state.totalCents };";

/// The same with the version that gave it.
fn reply_of(version: u64) -> String {
    format!("return {{ orderId: ctx.id, totalCents: ctx.state.totalCents, version: {version} }};")
}

fn small_shop() -> tempfile::TempDir {
    let folder = shop::copy("");
    shop::edit(folder.path(), "shard.yaml", "buckets: 256", &format!("buckets: {BUCKETS}"));
    folder
}

fn order_js(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("order.js")).expect("order.js")
}

fn command(cell: &Dev, actor: &str, name: &str, id: &str, payload: &str) -> Value {
    let response = http::command(cell.http, actor, name, id, payload).expect("an answer");
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Places an order; gives the version that its reply names, 1 for the shop as it is.
fn place(cell: &Dev, id: &str) -> u64 {
    let order = r#"{"userId":"ann","productId":"p-0","quantity":1,"unitPriceCents":100}"#;
    command(cell, &format!("Order/{id}"), "place", id, order)["reply"]["version"].as_u64().unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_is_taken_at_a_batch_boundary_and_no_command_fails() {
    let folder = small_shop();
    let shard = Shard::new(&[folder.path()]).with(&["--lanes", "2"]);
    let cell = shard.start();
    let mut ledger = Ledger::default();
    ledger.take(stream(cell.grpc, opening(PRODUCTS).into_iter(), 8).await);
    let done = Arc::new(AtomicBool::new(false));
    let shopper = |name: &str, seed| {
        let done = done.clone();
        Shopper::new(name, seed, PRODUCTS, 300..2_000).take_while(move |_| !done.load(Ordering::Relaxed))
    };
    let streams = [1, 2].map(|n| tokio::spawn(stream(cell.grpc, shopper(&format!("s{n}"), n), 32)));
    let (to, posts) = (cell.http, shopper("h", 3));
    let posts = tokio::task::spawn_blocking(move || over_http(to, posts));

    let last = tokio::task::block_in_place(|| change_often(&cell, folder.path()));
    done.store(true, Ordering::Relaxed);
    for client in streams {
        let sent = client.await.expect("a client");
        check_stream_order(&sent);
        ledger.take(sent);
    }
    ledger.take(posts.await.expect("a client"));
    let counts = ledger.counts();
    let fine = ["applied", "refused AlreadyPlaced", "refused NotOpen"];
    assert!(counts.keys().all(|answer| fine.contains(&&**answer)), "{counts:?}");
    let (status, said) = cell.stop("TERM");
    assert!(status.success(), "{said}");
    let log = tokio::task::block_in_place(|| log::read(&shard.data(), BUCKETS));
    check_versions(&log, last);
}

/// Takes a few versions, with broken ones between; gives the number of the last.
fn change_often(cell: &Dev, folder: &Path) -> u64 {
    let first = order_js(folder);
    for version in 2..=6 {
        shop::write(folder, "order.js", &first.replace(REPLY, &reply_of(version)));
        cell.wait_for(&format!("Order: version {version} taken (order.js)"), 1);
        assert_eq!(place(cell, &format!("after-{version}")), version, "taken is in use");
        let broken = first.replacen("\n//\n", "\nexport default = {\n", 1);
        assert_ne!(broken, first);
        shop::write(folder, "order.js", &broken);
        let refused = "Order: refused, the old version goes on:";
        let said = cell.wait_for(refused, usize::try_from(version).expect("few") - 1);
        let sentence = said.lines().rfind(|line| line.starts_with(refused)).expect("said");
        assert!(sentence.contains("order.js:2:"), "{sentence}");
        assert_eq!(place(cell, &format!("still-{version}")), version, "the old one goes on");
    }
    6
}

/// Every reply is of the version its record names; versions only grow; a batch has one of each type.
fn check_versions(log: &log::Log, last: u64) {
    let mut used = BTreeSet::new();
    let mut latest: HashMap<(u32, u32), u32> = HashMap::new();
    let mut of_batch: HashMap<(&[u8], u32), u32> = HashMap::new();
    for (at, record) in log.records() {
        let Some(actor) = &record.actor else { continue };
        let behavior = record.behavior;
        let before = latest.insert((at.0, actor.r#type), behavior).unwrap_or_default();
        assert!(before <= behavior, "version {behavior} after {before} at {at:?}");
        let of_batch = *of_batch.entry((&record.batch, actor.r#type)).or_insert(behavior);
        assert_eq!(of_batch, behavior, "two versions in the batch of {at:?}");
        if record.command == "place" && matches!(record.cause, Some(Cause::Client(_))) {
            let reply: Value = serde_json::from_slice(&record.reply).expect("JSON");
            assert_eq!(reply["version"].as_u64().unwrap_or(1), u64::from(behavior), "{at:?}");
            used.insert(u64::from(behavior));
        }
    }
    assert_eq!(used, (1..=last).collect(), "versions that were used");
}

#[test]
fn a_version_that_cannot_stand_in_is_refused_with_a_sentence() {
    let folder = small_shop();
    let shard = Shard::new(&[folder.path()]);
    let cell = shard.start();
    command(&cell, "Product/p-0", "create", "create", r#"{"name":"Thing","priceCents":100}"#);
    assert_eq!(place(&cell, "o-1"), 1);
    let second = order_js(folder.path()).replace(REPLY, &reply_of(2)).replace(
        "  initial: {",
        "  stateVersion: 3,\n  migrate: (order) => ({ ...order, checked: true }),\n  initial: {",
    );
    shop::write(folder.path(), "order.js", &second);
    cell.wait_for("Order: version 2 taken", 1);
    let wrong = [
        ("    OrderExpired: (order) =>", "    OrderLapsed: (order) =>", "events has no OrderExpired"),
        ("stateVersion: 3", "stateVersion: 2", "stateVersion is 2, but states of version 3 are stored"),
    ];
    for (times, (old, new, sentence)) in (1..).zip(&wrong) {
        assert!(second.contains(old), "{old}");
        shop::write(folder.path(), "order.js", &second.replace(old, new));
        let said = cell.wait_for("Order: refused, the old version goes on: ", times);
        assert!(said.contains(sentence), "{said}");
        assert_eq!(place(&cell, &format!("still-{times}")), 2);
    }
    let raised = second.replace("stateVersion: 3", "stateVersion: 4");
    let without = raised.replace("  migrate: (order) => ({ ...order, checked: true }),\n", "");
    shop::write(folder.path(), "order.js", &without);
    let said = cell.wait_for("Order: refused, the old version goes on: ", 3);
    assert!(said.contains("grew from 3 to 4, but there is no migrate(state, from)"), "{said}");
    // Orders in memory are tried before a version is taken.
    let throws = raised
        .replace("({ ...order, checked: true })", "{ throw new Error('cannot read ' + order.status); }");
    shop::write(folder.path(), "order.js", &throws);
    let said = cell.wait_for("Order: refused, the old version goes on: ", 4);
    let line = throws.lines().position(|line| line.contains("throw new Error")).expect("a line") + 1;
    assert!(said.contains(&format!("order.js:{line}: cannot read ")), "{said}");
    assert_eq!(place(&cell, "still-4"), 2);

    // A start with a version that is refused serves the stored one.
    shop::write(folder.path(), "order.js", &without);
    let (status, said) = cell.stop("INT");
    assert!(status.success(), "{said}");
    let cell = shard.start();
    cell.wait_for("Order: refused, the stored version goes on: ", 1);
    assert_eq!(place(&cell, "after"), 2);
    let state = http::get(cell.http, "/v1/actors/Order/o-1").expect("an answer").json();
    assert_eq!(state["state"]["productId"], "p-0", "{state}");
}

const SHARD: &str = r"
apiVersion: corallite.dev/v1alpha1
kind: ActorShard
metadata: { name: shop }
spec:
  buckets: 16
  cells: 1
  store: { embedded: { size: 1Gi } }
  actors:
    - type: Counter
      behavior: { configMapKeyRef: { name: counters, key: counter.js } }
      snapshot: { everyEvents: 4 }
";
const CONFIG: &str = r"
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [shard.yaml]
configMapGenerator:
  - name: counters
    files: [counter.js]
";
const FIRST: &str = r"export default {
  initial: { n: 0 },
  commands: { add(counter, { n }, ctx) { ctx.emit('Added', { n }); return 'first'; } },
  events: { Added: (counter, { n }) => ({ n: counter.n + n }) },
};
";
/// Another shape of the state, another name and payload of the event.
const SECOND: &str = r"export default {
  stateVersion: 2,
  initial: { total: 0, unit: 'piece' },
  migrate: (state, from) => ({ total: state.n, unit: from === 1 ? 'piece' : 'wrong' }),
  upcast: { Added: ({ n }, from) => ['Increased', { amount: from === 1 ? n : -1 }] },
  commands: { add(counter, { n }, ctx) { ctx.emit('Increased', { amount: n }); return 'second'; } },
  events: { Increased: (counter, { amount }) => ({ ...counter, total: counter.total + amount }) },
};
";

fn counters() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (file, text) in [("shard.yaml", SHARD), ("kustomization.yaml", CONFIG), ("counter.js", FIRST)] {
        shop::write(folder.path(), file, text);
    }
    folder
}

fn add(cell: &Dev, counter: &str, times: u64) {
    for n in 0..times {
        command(cell, &format!("Counter/{counter}"), "add", &format!("add-{n}"), r#"{"n":1}"#);
    }
}

fn state(cell: &Dev, counter: &str) -> (Value, Value) {
    let answer = http::get(cell.http, &format!("/v1/actors/Counter/{counter}")).expect("an answer").json();
    (answer["state"].clone(), answer["seq"].clone())
}

#[test]
fn older_snapshots_and_events_are_read_by_a_newer_version() {
    let folder = counters();
    let shard = Shard::new(&[folder.path()]);
    let cell = shard.start();
    // Only events, a snapshot alone, a snapshot and events: in the store, and then in memory.
    for (counter, events) in [("a", 3), ("b", 4), ("c", 10)] {
        add(&cell, counter, events);
    }
    assert!(cell.stop("TERM").0.success());
    let cell = shard.start();
    for (counter, events) in [("d", 3), ("e", 4), ("f", 10)] {
        add(&cell, counter, events);
    }
    shop::write(folder.path(), "counter.js", SECOND);
    cell.wait_for("Counter: version 2 taken", 1);
    let all = [("a", 3), ("b", 4), ("c", 10), ("d", 3), ("e", 4), ("f", 10)];
    let expect = |cell: &Dev, more: u64| {
        for (counter, events) in all {
            let expected = (json!({"total": events + more, "unit": "piece"}), json!(events + more));
            assert_eq!(state(cell, counter), expected, "{counter}");
        }
    };
    expect(&cell, 0);
    assert!(cell.stop("TERM").0.success());
    let cell = shard.start();
    expect(&cell, 0);
    for (counter, _) in all {
        assert_eq!(
            command(&cell, &format!("Counter/{counter}"), "add", "more", r#"{"n":1}"#)["reply"],
            "second"
        );
    }
    expect(&cell, 1);
    // Killed: the tail is folded from the log, events of both versions.
    cell.kill();
    let cell = shard.start();
    expect(&cell, 1);
    let past = http::get(cell.http, "/v1/actors/Counter/c?atSeq=6").expect("an answer").json();
    assert_eq!(past["state"]["total"], 6, "{past}");
    let history = http::get(cell.http, "/v1/actors/Counter/a/events").expect("an answer").json();
    let names: Vec<&str> = history["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["name"].as_str())
        .collect();
    assert_eq!(names, ["Added", "Added", "Added", "Increased"], "history is what was recorded");
}

#[test]
fn going_back_to_an_old_source_is_a_new_version() {
    let folder = counters();
    let shard = Shard::new(&[folder.path()]);
    let cell = shard.start();
    let reply = |cell: &Dev, id: &str| command(cell, "Counter/a", "add", id, r#"{"n":1}"#)["reply"].clone();
    assert_eq!(reply(&cell, "1"), "first");
    shop::write(folder.path(), "counter.js", &FIRST.replace("'first'", "'changed'"));
    cell.wait_for("Counter: version 2 taken", 1);
    assert_eq!(reply(&cell, "2"), "changed");
    shop::write(folder.path(), "counter.js", FIRST);
    cell.wait_for("Counter: version 3 taken", 1);
    assert_eq!(reply(&cell, "3"), "first");
    assert_eq!(reply(&cell, "2"), "changed", "what was answered stays answered");
    cell.kill();
    let cell = shard.start();
    assert_eq!(state(&cell, "a"), (json!({"n": 3}), json!(3)));
    assert_eq!(reply(&cell, "4"), "first");
    assert!(cell.stop("TERM").0.success());
    let log = log::read(&shard.data(), 16);
    let versions: Vec<u32> = log.records().map(|(_, record)| record.behavior).collect();
    assert_eq!(versions, [1, 2, 3, 3], "the same source as before the restart is the same version");
}
