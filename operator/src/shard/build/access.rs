//! Who a cell is (nobody), and who may connect to it.

use serde_json::json;

use super::Wanted;
use crate::config::Run;
use crate::kind::Kind;
use crate::names::{PORT_ADMIN, PORT_GRPC, PORT_HTTP, PORT_PEERS, selector};
use crate::shard::validate::Plan;

/// The cells' identity. It has no right, and no token of it is mounted.
pub(super) fn account(plan: &Plan) -> Wanted {
    let content = json!({ "automountServiceAccountToken": false });
    Wanted::new(plan, Kind::ServiceAccount, plan.name.clone(), content)
}

/// Clients' ports and metrics are open to every pod of the cluster; the peers' port only to cells of
/// the shard and to the operator's namespace. What cells connect to is not restricted.
pub(super) fn network(plan: &Plan, run: &Run) -> Wanted {
    let port = |port: u16| json!({ "protocol": "TCP", "port": port });
    let content = json!({ "spec": {
        "podSelector": { "matchLabels": selector(&plan.name) },
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{ "namespaceSelector": {} }],
                "ports": [port(PORT_GRPC), port(PORT_HTTP), port(PORT_ADMIN)],
            },
            {
                "from": [
                    { "podSelector": { "matchLabels": selector(&plan.name) } },
                    { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": run.namespace } } },
                ],
                "ports": [port(PORT_PEERS)],
            },
        ],
    }});
    Wanted::new(plan, Kind::NetworkPolicy, plan.name.clone(), content)
}
