//! Customers: an endless, seeded mix of commands of the shop, many orders at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::client::Command;

/// What everything costs.
pub const PRICE_CENTS: u64 = 100;
/// Orders that a shopper has under way at once.
const ORDERS_AT_ONCE: usize = 12;
/// Commands a shopper may send again.
const RECENT: usize = 16;

/// Gives commands for ever.
pub struct Shopper {
    /// Begins every id.
    name: String,
    products: usize,
    /// How long orders stay open, in milliseconds.
    expiry_ms: std::ops::Range<u64>,
    rng: StdRng,
    orders: usize,
    open: Vec<VecDeque<Arc<Command>>>,
    recent: VecDeque<Arc<Command>>,
}

impl Shopper {
    pub fn new(name: &str, seed: u64, products: usize, expiry_ms: std::ops::Range<u64>) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let (open, recent) = (vec![VecDeque::new(); ORDERS_AT_ONCE], VecDeque::new());
        Self { name: name.to_owned(), products, expiry_ms, rng, orders: 0, open, recent }
    }

    /// The commands of one order, in the order to be sent.
    fn order(&mut self) -> VecDeque<Arc<Command>> {
        self.orders += 1;
        let id = format!("{}-{}", self.name, self.orders);
        let order = format!("Order/{id}");
        let product = self.rng.random_range(0..self.products);
        let quantity = self.rng.random_range(1..4_u64);
        // Now and then a price of yesterday, which the product refuses.
        let price = if self.rng.random_bool(0.05) { PRICE_CENTS + 1 } else { PRICE_CENTS };
        let expires = self.rng.random_range(self.expiry_ms.clone());
        let place = format!(
            r#"{{"userId":"ann","productId":"p-{product}","quantity":{quantity},"unitPriceCents":{price},"expiresAfter":"{expires}ms"}}"#
        );
        let mut commands = VecDeque::new();
        let mut add = |actor: &str, name: &'static str, of: &str, payload: String| {
            commands.push_back(Arc::new(Command {
                id: format!("{name}{of}-{id}"),
                actor: actor.to_owned(),
                name,
                payload,
            }));
        };
        if self.rng.random_bool(0.1) {
            let more = self.rng.random_range(1..4);
            add(&format!("Inventory/p-{product}"), "receive", "", format!(r#"{{"quantity":{more}}}"#));
        }
        add(&order, "place", "", place.clone());
        if self.rng.random_bool(0.1) {
            add(&order, "place", "2", place);
        }
        if self.rng.random_bool(0.5) {
            let payment = format!("Payment/{id}");
            let amount = quantity * price;
            add(&payment, "authorize", "", format!(r#"{{"orderId":"{id}","amountCents":{amount}}}"#));
            add(&payment, "capture", "", "{}".to_owned());
        }
        if self.rng.random_bool(0.25) {
            add(&order, "cancel", "", "{}".to_owned());
        }
        commands
    }
}

impl Iterator for Shopper {
    type Item = Arc<Command>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.recent.is_empty() && self.rng.random_bool(0.05) {
            let again = self.rng.random_range(0..self.recent.len());
            return self.recent.get(again).cloned();
        }
        let at = self.rng.random_range(0..self.open.len());
        if self.open[at].is_empty() {
            self.open[at] = self.order();
        }
        let command = self.open[at].pop_front()?;
        self.recent.push_back(command.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Some(command)
    }
}

/// Commands that make the products, with some stock each.
pub fn opening(products: usize) -> Vec<Arc<Command>> {
    let create = format!(r#"{{"name":"Thing","priceCents":{PRICE_CENTS}}}"#);
    let steps = [("Product", "create", create), ("Inventory", "receive", r#"{"quantity":15}"#.to_owned())];
    let command = |n, (kind, name, payload): &(&str, &'static str, String)| {
        let (id, actor) = (format!("{name}-p-{n}"), format!("{kind}/p-{n}"));
        Arc::new(Command { id, actor, name, payload: payload.clone() })
    };
    (0..products)
        .flat_map(|n| steps.iter().map(move |step| (n, step)))
        .map(|(n, step)| command(n, step))
        .collect()
}
