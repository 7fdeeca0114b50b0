//! What the shop promises, whatever happens to the cell: stock is never negative, nothing is sold,
//! released or counted twice, and every order ends.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;
use serde_json::Value;

use crate::support::http;
use crate::support::log::{History, Log, Place};

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

/// Records with their places.
type Records<'a> = Vec<(Place, &'a rec::Record)>;

/// Records of clients' commands by id.
pub fn client_records(log: &Log) -> HashMap<&str, Records<'_>> {
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
    pub settled: usize,
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
    let moves = check_stocks(&events, watch);
    for (actor, history) in &events {
        match actor.split_once('/') {
            Some(("Order", id)) => check_order(id, history, moves.get(id), &mut sum),
            Some(("Payment", _)) => check_payment(actor, &names(history), &mut sum),
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

fn payload(event: &rec::EventEntry) -> Value {
    serde_json::from_slice(&event.payload).expect("JSON")
}

fn names<'a>(history: &'a History<'_>) -> Vec<&'a str> {
    history.iter().map(|(_, event)| &*event.name).collect()
}

/// Folds every stock; gives what happened to each order's reservation.
fn check_stocks<'a>(
    events: &'a BTreeMap<String, History<'a>>,
    watch: &Watch,
) -> HashMap<String, Vec<&'a str>> {
    let mut moves: HashMap<String, Vec<&str>> = HashMap::new();
    for product in watch.stocks.keys() {
        let mut seen: HashMap<u64, Vec<&Seen>> = HashMap::new();
        for shown in watch.seen.iter().filter(|seen| seen.product == *product) {
            seen.entry(shown.seq).or_default().push(shown);
        }
        let mut stock = Stock::default();
        for (_, event) in &events[&format!("Inventory/p-{product}")] {
            let payload = payload(event);
            stock.fold(&event.name, &payload);
            if let Some(order) = payload["orderId"].as_str() {
                moves.entry(order.to_owned()).or_default().push(&event.name);
            }
            for shown in seen.remove(&stock.seq).unwrap_or_default() {
                let state = &shown.state;
                assert!(stock.is(state), "at seq {} was shown {state}, the log says {stock:?}", stock.seq);
            }
        }
        assert!(seen.is_empty(), "of p-{product} was shown and is gone: {:?}", seen.keys());
        assert!(stock.reserved.is_empty(), "reserved for ever: {stock:?}");
    }
    moves
}

fn check_order(id: &str, history: &History<'_>, moves: Option<&Vec<&str>>, sum: &mut Sum) {
    let names = names(history);
    let count = |wanted: &str| names.iter().filter(|name| **name == wanted).count();
    assert_eq!((names[0], count("OrderPlaced")), ("OrderPlaced", 1), "{id}: {names:?}");
    let ends = [count("OrderPaid"), count("OrderExpired"), count("OrderCancelled")];
    assert_eq!(ends.iter().sum::<usize>(), 1, "{id} ends once: {names:?}");
    let cancelled = history.iter().find(|(_, event)| event.name == "OrderCancelled");
    let reason = cancelled.map(|(_, event)| payload(event)["reason"].clone()).unwrap_or_default();
    match (ends[0], moves.map_or(&[][..], |moves| moves)) {
        (1, ["StockReserved", "StockCommitted"]) | (0, [] | ["StockReserved", "StockReleased"]) => {}
        other => panic!("{id} (paid, moves of its stock): {other:?} ({reason}): {names:?}"),
    }
    // What came back is known to the order, once.
    let returned = usize::from(ends[0] == 0 && moves.is_some());
    assert_eq!(count("StockReturned"), returned, "{id}: {names:?}");
    sum.orders += 1;
    sum.paid += ends[0];
    sum.expired += ends[1];
    sum.cancelled += ends[2];
    sum.out_of_stock += usize::from(reason == "OutOfStock");
}

fn check_payment(actor: &str, names: &[&str], sum: &mut Sum) {
    match names {
        ["PaymentAuthorized"] => {}
        ["PaymentAuthorized", "PaymentCaptured", "PaymentSettled"] => sum.settled += 1,
        ["PaymentAuthorized", "PaymentCaptured", "PaymentRefunded"] => sum.refunded += 1,
        other => panic!("{actor} is not settled or refunded once: {other:?}"),
    }
}
