//! How many cells may be evicted at once.

use serde_json::json;

use super::Wanted;
use crate::kind::Kind;
use crate::names::selector;
use crate::shard::validate::Plan;

/// One. A shard of one cell can be evicted too: it would otherwise hold up every drain of a node.
pub(super) fn build(plan: &Plan) -> Wanted {
    let content = json!({ "spec": {
        "maxUnavailable": 1,
        "selector": { "matchLabels": selector(&plan.name) },
    }});
    Wanted::new(plan, Kind::PodDisruptionBudget, plan.name.clone(), content)
}
