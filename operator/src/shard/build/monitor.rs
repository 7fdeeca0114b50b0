//! Tells a Prometheus operator where the cells' metrics are.

use serde_json::json;

use super::{Wanted, service::ROLE_CELLS};
use crate::kind::Kind;
use crate::names::{LABEL_ROLE, LABEL_SHARD};
use crate::shard::validate::Plan;

pub(super) fn build(plan: &Plan) -> Wanted {
    let content = json!({ "spec": {
        "selector": { "matchLabels": { LABEL_SHARD: plan.name, LABEL_ROLE: ROLE_CELLS } },
        "namespaceSelector": { "matchNames": [plan.namespace] },
        // Every series says of which shard it is.
        "targetLabels": [LABEL_SHARD],
        "endpoints": [{ "port": "admin", "path": "/metrics" }],
    }});
    Wanted::new(plan, Kind::ServiceMonitor, plan.name.clone(), content)
}
