//! What the shop promises, whatever happens to the cell: stock is never negative, nothing is sold,
//! released or counted twice, and every order ends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;
use serde_json::Value;

use crate::support::http;
use crate::support::log::Log;

/// The stock of one product, folded from its events by other code than the shop's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    received: u64,
    sold: u64,
    available: u64,
    reserved: BTreeMap<String, u64>,
    seq: u64,
}

impl Stock {
    fn fold(&mut self, name: &str, payload: &Value) {
        self.seq += 1;
        let quantity = payload["quantity"].as_u64().expect("a quantity");
        let order = || payload["orderId"].as_str().expect("an order").to_owned();
        match name {
            "StockReceived" => {
                self.received += quantity;
                self.available += quantity;
            }
            "StockReserved" => {
                let left = self.available.checked_sub(quantity);
                self.available = left.unwrap_or_else(|| panic!("stock is negative at seq {}", self.seq));
                assert_eq!(self.reserved.insert(order(), quantity), None, "reserved twice");
            }
            "StockReleased" => {
                assert_eq!(self.reserved.remove(&order()), Some(quantity), "released, but not reserved");
                self.available += quantity;
            }
            "StockCommitted" => {
                assert_eq!(self.reserved.remove(&order()), Some(quantity), "sold, but not reserved");
                self.sold += quantity;
            }
            other => panic!("an event of another actor: {other}"),
        }
        let held: u64 = self.reserved.values().sum();
        assert_eq!(self.received, self.available + held + self.sold, "something was lost or made");
    }

    fn is(&self, state: &Value) -> bool {
        let reserved: BTreeMap<String, u64> =
            serde_json::from_value(state["reserved"].clone()).expect("reservations");
        state["available"].as_u64() == Some(self.available) && reserved == self.reserved
    }
}

/// A state that was read, and its seq.
pub struct Seen {
    product: usize,
    seq: u64,
    state: Value,
}

/// The products' histories, followed over all restarts.
#[derive(Default)]
pub struct Watch {
    stocks: HashMap<usize, Stock>,
    seen: Vec<Seen>,
}

impl Watch {
    pub fn remember(&mut self, seen: Vec<Seen>) {
        self.seen.extend(seen);
    }

    /// Reads on where the last check ended: the state is what the history says it is.
    pub fn check(&mut self, to: SocketAddr, products: usize) {
        for product in 0..products {
            let actor = format!("/v1/actors/Inventory/p-{product}");
            let seen = read(to, product).expect("an answer");
            let stock = self.stocks.entry(product).or_default();
            while stock.seq < seen.seq {
                let limit = (seen.seq - stock.seq).min(1_000);
                let path = format!("{actor}/events?from={}&limit={limit}", stock.seq + 1);
                let page = http::get(to, &path).expect("an answer").json();
                for event in page["events"].as_array().expect("events") {
                    assert_eq!(event["seq"].as_u64(), Some(stock.seq + 1), "{actor}: {event}");
                    stock.fold(event["name"].as_str().expect("a name"), &event["payload"]);
                }
            }
            assert!(stock.is(&seen.state), "{actor} is {}, its history says {stock:?}", seen.state);
            self.seen.push(seen);
        }
    }
}

fn read(to: SocketAddr, product: usize) -> std::io::Result<Seen> {
    let response = http::get(to, &format!("/v1/actors/Inventory/p-{product}"))?;
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    Ok(Seen { product, seq: body["seq"].as_u64().expect("a seq"), state: body["state"].clone() })
}

/// Reads states until the cell is gone: what was shown must never be taken back.
pub fn read_until_gone(to: SocketAddr, products: usize) -> Vec<Seen> {
    (0..products).cycle().map_while(|product| read(to, product).ok()).collect()
}

/// Records of clients' commands by id.
pub fn client_records(log: &Log) -> HashMap<&str, Vec<((u32, u64), &rec::Record)>> {
    let mut by_id: HashMap<&str, Vec<_>> = HashMap::new();
    for (at, record) in log.records() {
        if let Some(Cause::Client(client)) = &record.cause {
            by_id.entry(&client.id).or_default().push((at, record));
        }
    }
    by_id
}

/// How orders ended.
#[derive(Debug, Default)]
pub struct Sum {
    pub records: usize,
    pub orders: usize,
    pub paid: usize,
    pub refunded: usize,
    pub expired: usize,
    pub cancelled: usize,
    pub out_of_stock: usize,
    /// Orders whose timer came due while there was no cell, and that expired afterwards.
    pub due_while_down: usize,
}

/// Checks the whole shop when nothing is under way.
pub fn check_log(log: &Log, watch: &Watch, downs_ms: &[(u64, u64)]) -> Sum {
    let mut sum = Sum { records: log.records().count(), ..Sum::default() };
    let events = log.events();
    check_stocks(&events, watch);
    for (actor, history) in &events {
        let names: Vec<&str> = history.iter().map(|(_, event)| &*event.name).collect();
        match actor.split_once('/') {
            Some(("Order", id)) => check_order(id, &names, history, &events, &mut sum),
            Some(("Payment", _)) => check_payment(actor, &names, &mut sum),
            _ => {}
        }
    }
    for (at, record) in log.records() {
        let Some(Cause::Timer(timer)) = &record.cause else { continue };
        let set = &log.buckets[at.0 as usize].records[timer.generation as usize];
        let due_ms = set.timers.iter().find(|set| set.name == timer.name).expect("it was set").due_ms;
        let is_down = downs_ms.iter().any(|(from, to)| *from <= due_ms && due_ms < *to);
        sum.due_while_down += usize::from(is_down && record.events.iter().any(|e| e.name == "OrderExpired"));
    }
    sum
}

type Events<'a> = BTreeMap<String, Vec<((u32, u64), &'a rec::EventEntry)>>;

fn payload(event: &rec::EventEntry) -> Value {
    serde_json::from_slice(&event.payload).expect("JSON")
}

fn check_stocks(events: &Events<'_>, watch: &Watch) {
    for product in watch.stocks.keys() {
        let mut states = vec![Stock::default()];
        for (_, event) in &events[&format!("Inventory/p-{product}")] {
            let mut stock = states.last().expect("one").clone();
            stock.fold(&event.name, &payload(event));
            states.push(stock);
        }
        for seen in watch.seen.iter().filter(|seen| seen.product == *product) {
            let stock = usize::try_from(seen.seq).ok().and_then(|seq| states.get(seq));
            let stock = stock.unwrap_or_else(|| panic!("seq {} of p-{product} was shown and is gone", seen.seq));
            assert!(stock.is(&seen.state), "at seq {} was shown {}, the log says {stock:?}", seen.seq, seen.state);
        }
        let last = states.last().expect("one");
        assert!(last.reserved.is_empty(), "reserved for ever: {last:?}");
    }
}

fn check_order(
    id: &str,
    names: &[&str],
    history: &[((u32, u64), &rec::EventEntry)],
    events: &Events<'_>,
    sum: &mut Sum,
) {
    sum.orders += 1;
    let count = |wanted: &str| names.iter().filter(|name| **name == wanted).count();
    assert_eq!((names[0], count("OrderPlaced")), ("OrderPlaced", 1), "{id}: {names:?}");
    let ends = [count("OrderPaid"), count("OrderExpired"), count("OrderCancelled")];
    assert_eq!(ends.iter().sum::<usize>(), 1, "{id} ends once: {names:?}");
    let product = payload(history[0].1)["productId"].as_str().expect("a product").to_owned();
    let stock = &events[&format!("Inventory/{product}")];
    let of_order = |event: &rec::EventEntry| payload(event)["orderId"] == id;
    let mut moves = stock.iter().filter(|(_, event)| of_order(event)).map(|(_, event)| &*event.name);
    let moves = (moves.next(), moves.next(), moves.next());
    let reasons = history.iter().filter(|(_, event)| event.name == "OrderCancelled");
    let reason = reasons.map(|(_, event)| payload(event)["reason"].clone()).next().unwrap_or_default();
    let expected = match (ends, moves.0) {
        ([1, ..], _) => (Some("StockReserved"), Some("StockCommitted"), None),
        (_, None) => (None, None, None),
        (..) => (Some("StockReserved"), Some("StockReleased"), None),
    };
    assert_eq!(moves, expected, "{id} ({reason}): {names:?}");
    // What came back is known to the order, once.
    let returned = usize::from(moves.1 == Some("StockReleased"));
    assert_eq!(count("StockReturned"), returned, "{id}: {names:?}");
    sum.paid += ends[0];
    sum.expired += ends[1];
    sum.cancelled += ends[2];
    sum.out_of_stock += usize::from(reason == "OutOfStock");
}

fn check_payment(actor: &str, names: &[&str], sum: &mut Sum) {
    let rest = ["PaymentAuthorized", "PaymentCaptured"];
    match names {
        ["PaymentAuthorized"] => {}
        [a, c, "PaymentSettled"] if [*a, *c] == rest => {}
        [a, c, "PaymentRefunded"] if [*a, *c] == rest => sum.refunded += 1,
        other => panic!("{actor} is not settled or refunded once: {other:?}"),
    }
}
