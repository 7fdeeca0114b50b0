//! The shop as a newcomer meets it: the tour, a stop with Ctrl-C, a start, and everything is there.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use support::dev::{Dev, Shard};
use support::{Ended, corallite, http, shop};

/// An actor type whose messages are refused by everyone, so that there are dead letters to keep.
const COURIER: &str = r"
    - type: Courier
      behavior:
        source: |
          export default {
            initial: {},
            commands: {
              send(_, { to }, ctx) { ctx.emit('Sent', { to }); ctx.tell(`Courier/${to}`, 'take', { from: ctx.id }); },
            },
            internal: { take(_, __, ctx) { ctx.reject('NobodyHome', 'nobody opened'); } },
            events: { Sent: (courier, { to }) => ({ ...courier, to }) },
          };
";

#[test]
fn after_the_tour_and_a_restart_everything_is_there() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the tour is a script that needs curl, and there is none on this machine");
        return;
    }
    let folder = shop::copy(COURIER);
    let shard = Shard::new(&[folder.path()]);
    let cell = shard.start();
    tour(&cell, "t1");
    for n in 0..3 {
        let sent = http::command(cell.http, &format!("Courier/c-{n}"), "send", "s", r#"{"to":"nobody"}"#);
        assert_eq!(sent.expect("an answer").status, 200);
    }
    wait_for_dead_letters(cell.http, 3);
    let before = everything(cell.http, "t1");
    let placed = place_again(cell.http);
    let (status, said) = cell.stop("INT");
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("everything answered is kept"), "{said}");

    let cell = shard.start();
    let after = everything(cell.http, "t1");
    for ((path, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before, after, "{path} is not what it was before the restart");
    }
    assert_eq!(place_again(cell.http), placed, "a repeated command has its recorded answer");
    the_command_line_sees_the_same(&cell, &after);
    replay_and_drop_dead_letters(&cell);
    tour(&cell, "t2");
}

/// Runs the script and shows what it said if it stopped.
fn tour(cell: &Dev, run: &str) {
    let mut script = Command::new("bash");
    script.arg(shop::folder().join("tour.sh"));
    script.env("SHOP", format!("http://{}", cell.http)).env("RUN", run);
    let output = script.output().expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("The tour is complete"), "{said}\n{wrong}");
}

/// State and history of every actor of a tour, its stock, and the dead letters, by path.
fn everything(to: SocketAddr, run: &str) -> Vec<(String, Value)> {
    let actors =
        ["User/ann", "Product/lamp", "Inventory/lamp", "Order/o1", "Order/o2", "Order/o3", "Order/o4"];
    let mut paths = Vec::new();
    for actor in actors.into_iter().chain(["Payment/p1", "Payment/p2"]) {
        paths.push(format!("/v1/actors/{actor}-{run}"));
        paths.push(format!("/v1/actors/{actor}-{run}/events"));
    }
    paths.push(format!("/v1/actors/Order/o1-{run}?atSeq=1"));
    paths.push(format!("/v1/actors/Inventory/lamp-{run}/query/available"));
    paths.push("/v1/dead".to_owned());
    paths.into_iter().map(|path| (path.clone(), get(to, &path))).collect()
}

fn get(to: SocketAddr, path: &str) -> Value {
    let response = http::get(to, path).expect("an answer");
    assert_eq!(response.status, 200, "{path}: {response:?}");
    response.json()
}

fn wait_for_dead_letters(to: SocketAddr, wanted: usize) {
    let asked = std::time::Instant::now();
    while get(to, "/v1/dead")["letters"].as_array().map_or(0, Vec::len) < wanted {
        assert!(asked.elapsed().as_secs() < 60, "fewer than {wanted} dead letters after a minute");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The first order of the tour once more, under its id.
fn place_again(to: SocketAddr) -> Value {
    let payload = r#"{"userId":"ann-t1","productId":"lamp-t1","quantity":2,"unitPriceCents":4900}"#;
    let response = http::command(to, "Order/o1-t1", "place", "place-o1-t1", payload).expect("an answer");
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn cli(cell: &Dev, arguments: &[&str]) -> Ended {
    let server = format!("http://{}", cell.grpc);
    let output = corallite(&[arguments, &["--server", &server, "--timeout", "60s"]].concat()).output();
    let ended = Ended::from(output.expect("the binary starts"));
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What HTTP said of each actor is what `get` and `events` say over gRPC; then an order through `call`.
fn the_command_line_sees_the_same(cell: &Dev, over_http: &[(String, Value)]) {
    for (path, value) in over_http {
        let Some(path) = path.strip_prefix("/v1/actors/").filter(|path| !path.contains('?')) else {
            continue;
        };
        if let Some(actor) = path.strip_suffix("/events") {
            assert_eq!(&Value::from(lines(&cli(cell, &["events", actor]))), &value["events"], "{actor}");
        } else if !path.contains("/query/") {
            assert_eq!(&cli(cell, &["get", path]).json(), value, "{path}");
        }
    }
    let stock = cli(cell, &["query", "Inventory/lamp-t1", "available"]).json();
    assert_eq!(stock["result"], json!({"available": 1, "reserved": 0}));

    cli(cell, &["call", "Product/mug", "create", r#"{"name":"Mug","priceCents":900}"#]);
    cli(cell, &["call", "Inventory/mug", "receive", r#"{"quantity":2}"#]);
    let order = r#"{"userId":"bob","productId":"mug","quantity":2,"unitPriceCents":900}"#;
    let waiting = ["--until", "OrderReady,OrderCancelled", "--wait", "60s", "--id", "place-bobs"];
    let placed = cli(cell, &[&["call", "Order/bobs", "place", order], &waiting[..]].concat()).json();
    assert_eq!(placed["event"]["name"], "OrderReady", "{placed}");
    cli(cell, &["call", "Payment/bobs", "authorize", r#"{"orderId":"bobs","amountCents":1800}"#]);
    let waiting = ["--until", "PaymentSettled,PaymentRefunded", "--wait", "60s"];
    let paid = cli(cell, &[&["call", "Payment/bobs", "capture"], &waiting[..]].concat()).json();
    assert_eq!(paid["event"]["name"], "PaymentSettled", "{paid}");
    assert_eq!(cli(cell, &["get", "Order/bobs"]).json()["state"]["status"], "paid");
    let history: Vec<Value> = lines(&cli(cell, &["events", "Order/bobs"]));
    let seqs: Vec<u64> = history.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=history.len() as u64).collect::<Vec<_>>());
    assert_eq!(history[0]["name"], "OrderPlaced");
}

/// One letter is sent anew and refused again, under another position; one is dropped.
fn replay_and_drop_dead_letters(cell: &Dev) {
    let letters = lines(&cli(cell, &["dead", "list"]));
    assert_eq!(letters.len(), 3, "{letters:?}");
    let position = |letter: &Value| letter["position"].as_str().expect("a position").to_owned();
    let (first, second) = (position(&letters[0]), position(&letters[1]));
    assert_eq!(cli(cell, &["dead", "show", &first]).json(), letters[0]);
    assert_eq!(letters[0]["code"], "NobodyHome");
    cli(cell, &["dead", "replay", &first]);
    wait_for_dead_letters(cell.http, 3);
    cli(cell, &["dead", "drop", &second]);
    let left: Vec<String> = lines(&cli(cell, &["dead", "list"])).iter().map(position).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&first) && !left.contains(&second), "{left:?}");
}
