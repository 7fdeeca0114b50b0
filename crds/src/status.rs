//! What the operator reports about the objects: conditions, the generation they speak of, and counts.
//!
//! Status is a report. Nothing reads it back to decide what to do.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Types and reasons of conditions.
pub mod condition {
    /// `True` when every bucket of a shard is served, or a view can be queried.
    pub const READY: &str = "Ready";
    /// `True` when the spec can be used: references resolve, behaviors compile, SQL can be planned.
    pub const ACCEPTED: &str = "Accepted";
    /// `True` while cells, behaviors or buckets are on the way to what the spec says.
    pub const PROGRESSING: &str = "Progressing";
}

/// What is known about a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorShardStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Accepted` and `Progressing`, each with reason and message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Cells that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<u32>,
    /// Buckets that a cell serves; all of `spec.buckets` when the shard is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_buckets: Option<u32>,
    /// Label selector of the cells' pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// What is known about a view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViewStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Accepted` and `Progressing`, each with reason and message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
