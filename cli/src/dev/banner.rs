//! What `dev` prints when it serves: what, where, and a first request to try.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use corallite_cell::behavior::Interface;
use corallite_cell::spec::ShardSpec;

use crate::dev::cell::{Listeners, StoreConfig};

/// Requests to the running example, so that a newcomer's first order finds a product and stock.
const SHOP: [(&str, &str, &str, &str); 3] = [
    ("Product", "lamp", "create", r#"{"name":"Lamp","priceCents":4900}"#),
    ("Inventory", "lamp", "receive", r#"{"quantity":3}"#),
    ("Order", "o-1", "place", r#"{"userId":"ann","productId":"lamp","quantity":1,"unitPriceCents":4900}"#),
];

/// What the types offer, by name.
type Interfaces<'a> = &'a [(Arc<str>, Interface)];

/// The text for people.
pub fn text(spec: &ShardSpec, store: &StoreConfig, at: Listeners, types: Interfaces<'_>) -> String {
    let mut out = String::new();
    let data = match store {
        StoreConfig::Embedded { path } => path.display().to_string(),
        StoreConfig::Memory => "in memory: gone when this stops".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\nshard {} (namespace {}, {} buckets)\n  data   {data}\n  gRPC   http://{}\n  HTTP   http://{}\n  \
         admin  http://{}  (/readyz, /metrics)\n\n",
        spec.name, spec.namespace, spec.buckets, at.grpc, at.http, at.admin
    );
    let width = types.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, offers) in types {
        let _ = write!(out, "  {name:width$}  {}", offers.commands.join(" "));
        if !offers.queries.is_empty() {
            let _ = write!(out, "  (queries: {})", offers.queries.join(" "));
        }
        out.push('\n');
    }
    if let Some(request) = first_request(at.http, types) {
        let _ = write!(out, "\nTry:\n{request}\n\nCtrl-C stops; a changed behavior is taken at once.\n");
    }
    out
}

/// Commands with `curl`, and a look at what the last one left behind.
fn first_request(http: SocketAddr, types: Interfaces<'_>) -> Option<String> {
    let offers = |wanted: &str, command: &str| {
        let found = types.iter().find(|(name, _)| &**name == wanted);
        found.is_some_and(|(_, offers)| offers.commands.iter().any(|name| &**name == command))
    };
    let mut requests = SHOP.to_vec();
    if !SHOP.iter().all(|(name, _, command, _)| offers(name, command)) {
        let (name, offers) = types.iter().find(|(_, offers)| !offers.commands.is_empty())?;
        requests = vec![(&**name, "first", &**offers.commands.first()?, "{}")];
    }
    let (name, id, ..) = requests.last()?;
    let base = format!("http://{http}/v1/actors");
    let mut lines: Vec<String> = requests
        .iter()
        .map(|(name, id, command, payload)| format!("  curl -s {base}/{name}/{id}/{command} -d '{payload}'"))
        .collect();
    lines.push(format!("  curl -s {base}/{name}/{id}"));
    lines.push(format!("  curl -s {base}/{name}/{id}/events"));
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(name: &str, commands: &[&str]) -> (Arc<str>, Interface) {
        let commands = commands.iter().map(|&command| command.into()).collect();
        (name.into(), Interface { commands, ..Interface::default() })
    }

    fn http() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 7080))
    }

    #[test]
    fn the_shop_is_tried_with_an_order() {
        let types = [
            offering("Product", &["create", "delist"]),
            offering("Inventory", &["receive"]),
            offering("Order", &["cancel", "place"]),
        ];
        let request = first_request(http(), &types).expect("a command");
        assert!(
            request.contains("http://127.0.0.1:7080/v1/actors/Order/o-1/place -d '{\"userId\""),
            "{request}"
        );
    }

    #[test]
    fn another_shard_is_tried_with_its_first_command() {
        let types = [offering("Silent", &[]), offering("Counter", &["add"])];
        let request = first_request(http(), &types).expect("a command");
        assert!(request.contains("/v1/actors/Counter/first/add -d '{}'"), "{request}");
        assert_eq!(first_request(http(), &[offering("Silent", &[])]), None);
    }
}
