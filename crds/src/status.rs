//! What the operator reports about the objects: conditions, the generation they speak of, and counts.
//!
//! Status is a report. Nothing reads it back to decide what to do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Types of conditions.
pub mod condition {
    /// `True` when every bucket of a shard is served, or a view can be queried.
    pub const READY: &str = "Ready";
    /// `True` when the spec can be used: references resolve, behaviors compile, SQL can be planned.
    pub const ACCEPTED: &str = "Accepted";
    /// `True` while cells, behaviors or buckets are on the way to what the spec says.
    pub const PROGRESSING: &str = "Progressing";
    /// `True` when something needs a person: it does not get better by waiting.
    pub const DEGRADED: &str = "Degraded";
}

/// Reasons of conditions. Each is used with one condition type, which its docs name.
pub mod reason {
    /// Accepted: the spec is in use.
    pub const ACCEPTED: &str = "Accepted";
    /// Not accepted: a ConfigMap, or a key in one, is not there.
    pub const INPUT_MISSING: &str = "InputMissing";
    /// Not accepted: the behaviors together do not fit into the cells' ConfigMap.
    pub const INPUT_TOO_LARGE: &str = "InputTooLarge";
    /// Not accepted: the object does not have the shape of its type.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Not accepted: a valid wish that this version cannot fulfil.
    pub const NOT_SUPPORTED: &str = "NotSupported";
    /// Not accepted: a cell could not take a behavior over; the one before goes on.
    pub const BEHAVIOR_REFUSED: &str = "BehaviorRefused";

    /// Ready: all cells are ready and every bucket has an owner.
    pub const SERVING: &str = "Serving";
    /// Not ready: fewer cells are ready than are wanted.
    pub const CELLS_NOT_READY: &str = "CellsNotReady";
    /// Not ready: a bucket has no owner.
    pub const BUCKETS_NOT_OWNED: &str = "BucketsNotOwned";
    /// Not ready: nothing could be made of the spec.
    pub const NOT_ACCEPTED: &str = "NotAccepted";

    /// Progressing: cells start for the first time, or come back.
    pub const STARTING: &str = "Starting";
    /// Progressing: cells are replaced one by one.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Progressing: the number of cells changes.
    pub const SCALING: &str = "Scaling";
    /// Progressing: cells take a changed configuration over, without a restart.
    pub const TAKING_OVER: &str = "TakingOver";
    /// Not progressing: everything is as the spec says.
    pub const SETTLED: &str = "Settled";
    /// Not progressing: the operator waits for a person.
    pub const HALTED: &str = "Halted";

    /// Degraded: a replaced cell does not become ready in time; nothing more is replaced.
    pub const ROLLOUT_STUCK: &str = "RolloutStuck";
    /// Degraded: a cell's container fails again and again, or cannot be started.
    pub const CELL_FAILING: &str = "CellFailing";
    /// Degraded: the size of a volume cannot follow the spec.
    pub const VOLUME_SIZE_FIXED: &str = "VolumeSizeFixed";
    /// Degraded: the API server refused an object or a request.
    pub const RECONCILE_FAILED: &str = "ReconcileFailed";
    /// Not degraded.
    pub const HEALTHY: &str = "Healthy";
}

/// How many cells [`ActorShardStatus::cell_status`] lists at most, lowest names first.
pub const CELL_STATUS_MAX: usize = 100;

/// What is known about a shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorShardStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Accepted`, `Progressing` and `Degraded`, each with reason and message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Cells that run, ready or not. This is the count of the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<u32>,
    /// Cells that are ready to serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_cells: Option<u32>,
    /// Cells that run what the spec says now: image, settings and the rest that needs a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_cells: Option<u32>,
    /// Buckets that a cell owns; all of `spec.buckets` when the shard is ready. Absent while no cell
    /// tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owned_buckets: Option<u32>,
    /// What each cell runs. The first 100 cells by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub cell_status: Vec<CellStatus>,
    /// Label selector of the cells' pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// What is known about one cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellStatus {
    /// Name of the cell, which is the name of its pod.
    pub name: String,
    /// Whether it is ready to serve.
    pub ready: bool,
    /// Buckets it owns. Absent while the operator cannot ask it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets: Option<u32>,
    /// The behavior version in use, by actor type. Versions count from 1 in each shard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub behaviors: BTreeMap<String, u32>,
    /// Why the cell did not take a behavior over, with file and line, by actor type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
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
