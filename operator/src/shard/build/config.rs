//! What cells read.

use serde_json::json;

use super::Wanted;
use crate::kind::Kind;
use crate::names;
use crate::shard::validate::Plan;

pub(super) fn build(plan: &Plan) -> Wanted {
    Wanted::new(plan, Kind::ConfigMap, names::config(&plan.name), json!({ "data": plan.config }))
}
