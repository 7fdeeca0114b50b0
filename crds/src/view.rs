//! [`View`]: a SQL query over the states of a shard's actors.

// The derive's printer columns repeat their keys; each is an attribute of its own column.
#![allow(clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ViewStatus;

/// What a view shows.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "corallite.dev",
    version = "v1alpha1",
    kind = "View",
    doc = "A SQL query over the states of a shard's actors, computed when asked or kept up to date.",
    namespaced,
    cel,
    derive = "PartialEq",
    shortname = "av",
    category = "corallite",
    status = "ViewStatus",
    selectable = ".spec.shard",
    printcolumn(
        name = "Shard",
        type_ = "string",
        json_path = ".spec.shard",
        description = "Whose actors it reads"
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Virtual or Materialized"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether it can be queried"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it can, or cannot, be queried"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.cells) || self.mode == 'Materialized'")
        .message("cells is for mode Materialized: a virtual view is computed by the cell that is asked")
        .field_path(".cells")
)]
pub struct ViewSpec {
    /// Name of the ActorShard whose actors are read, in the same namespace. Cannot change.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("shard cannot change: make a new View for the other ActorShard"))]
    pub shard: String,
    /// `Virtual` (default) computes rows when asked, from indexes and actors. `Materialized` keeps rows
    /// and updates them with every event.
    #[serde(default)]
    pub mode: ViewMode,
    /// The query, in SQL: 1 to 16384 characters. Actor types are tables, state fields are columns, and
    /// `:session.<claim>` is a claim of the caller's verified token.
    #[schemars(length(min = 1, max = 16384))]
    pub query: String,
    /// Cells of its own that keep and serve a materialized view: 1 to 1000. Without it the shard's cells
    /// do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cells: Option<u32>,
}

/// How the rows of a view come to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ViewMode {
    /// Rows are computed when asked for.
    #[default]
    Virtual,
    /// Rows are kept, and updated with every event.
    Materialized,
}
