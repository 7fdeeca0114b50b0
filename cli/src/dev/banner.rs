//! What `dev` prints when it serves: what, where, and a first request to try.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use corallite_cell::behavior::Interface;
use corallite_cell::spec::ShardSpec;

use crate::dev::cell::{Listeners, StoreConfig};

/// A command of the running example, so that the first request of a newcomer does something.
const FIRST_ORDER: &str = r#"{"userId":"u-1","productId":"mug","quantity":1,"unitPriceCents":900}"#;

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

/// A command with `curl`, and a look at what it left behind.
fn first_request(http: SocketAddr, types: Interfaces<'_>) -> Option<String> {
    let offers = |wanted: &str, command: &str| {
        let found = types.iter().find(|(name, _)| &**name == wanted);
        found.is_some_and(|(_, offers)| offers.commands.iter().any(|name| &**name == command))
    };
    let (actor, command, payload) = if offers("Order", "place") {
        ("Order/o-1".to_owned(), "place", FIRST_ORDER)
    } else {
        let (name, offers) = types.iter().find(|(_, offers)| !offers.commands.is_empty())?;
        (format!("{name}/first"), &**offers.commands.first()?, "{}")
    };
    let base = format!("http://{http}/v1/actors/{actor}");
    Some(format!("  curl -s {base}/{command} -d '{payload}'\n  curl -s {base}\n  curl -s {base}/events"))
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
        let types = [offering("Inventory", &["restock"]), offering("Order", &["pay", "place"])];
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
