//! How cells are found: by each other one by one, by clients all together.

use serde_json::{Value, json};

use super::Wanted;
use crate::kind::Kind;
use crate::names::{self, LABEL_ROLE, PORT_ADMIN, PORT_GRPC, PORT_HTTP, PORT_PEERS, selector};
use crate::shard::validate::Plan;

/// Value of the role label on the cells' own Service.
pub(super) const ROLE_CELLS: &str = "cells";
const ROLE_CLIENTS: &str = "clients";

/// Gives every cell a name, ready or not: a cell that starts must reach its peers.
pub(super) fn cells(plan: &Plan) -> Wanted {
    let content = json!({
        "metadata": { "labels": { LABEL_ROLE: ROLE_CELLS } },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector(&plan.name),
            "ports": [
                port("grpc", PORT_GRPC, "kubernetes.io/h2c"),
                port("peers", PORT_PEERS, "grpc"),
                port("http", PORT_HTTP, "http"),
                port("admin", PORT_ADMIN, "http"),
            ],
        },
    });
    Wanted::new(plan, Kind::Service, names::cells(&plan.name), content)
}

/// Any ready cell takes any command.
pub(super) fn clients(plan: &Plan) -> Wanted {
    let content = json!({
        "metadata": { "labels": { LABEL_ROLE: ROLE_CLIENTS } },
        "spec": {
            "type": "ClusterIP",
            "selector": selector(&plan.name),
            "ports": [port("grpc", PORT_GRPC, "kubernetes.io/h2c"), port("http", PORT_HTTP, "http")],
        },
    });
    Wanted::new(plan, Kind::Service, plan.name.clone(), content)
}

fn port(name: &str, port: u16, protocol: &str) -> Value {
    json!({ "name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": protocol })
}
