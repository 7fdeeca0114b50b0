//! [`ActorShard`]: a bucket space, the actor types in it, and the cells that serve it.

// The derive's printer columns repeat their keys; each is an attribute of its own column.
#![allow(clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ActorShardStatus, ActorType, Duration, Store};

/// What a shard is: its bucket space, its actor types and the cells that serve them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "corallite.dev",
    version = "v1alpha1",
    kind = "ActorShard",
    doc = "A set of event-sourced actor types and the cells that serve them.",
    namespaced,
    cel,
    derive = "PartialEq",
    shortname = "as",
    shortname = "shard",
    category = "corallite",
    status = "ActorShardStatus",
    scale(
        spec_replicas_path = ".spec.cells",
        status_replicas_path = ".status.cells",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("size(self.metadata.name) <= 48 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be 1 to 48 lower case letters, digits and -, beginning with a letter: pods, services and labels are named after it"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether every bucket is served"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why it is, or is not, ready"
    ),
    printcolumn(
        name = "Wanted",
        type_ = "integer",
        json_path = ".spec.cells",
        description = "Cells asked for"
    ),
    printcolumn(
        name = "Cells",
        type_ = "integer",
        json_path = ".status.cells",
        description = "Cells that run"
    ),
    printcolumn(
        name = "Buckets",
        type_ = "integer",
        json_path = ".spec.buckets",
        priority = 1,
        description = "Size of the bucket space"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(self.store.embedded) || self.cells == 1")
        .message("cells must be 1 with store.embedded: that store is a volume of one cell, and no other cell can read it; use store.foundationdb for more cells")
        .field_path(".cells"),
    validation = Rule::new("self.cells <= self.buckets")
        .message("cells must not be more than buckets: a cell without a bucket has nothing to do")
        .field_path(".cells")
)]
pub struct ActorShardSpec {
    /// Size of the bucket space: 1 to 4096, default 256. An actor belongs to the bucket that its id
    /// hashes to, and buckets are what cells own and move; so this bounds the number of cells. Cannot
    /// change, since every id would hash to another bucket.
    #[serde(default = "buckets_default")]
    #[schemars(range(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("buckets cannot change: every actor id would hash to another bucket than the one that holds its events; make a new ActorShard"))]
    pub buckets: u32,
    /// Cells (pods) that serve the shard: 1 to 1000, default 1. `kubectl scale` changes it.
    #[serde(default = "cells_default")]
    #[schemars(range(min = 1, max = 1000))]
    pub cells: u32,
    /// Which part of an actor id is hashed: `Whole` (default), or `BeforeColon` so that `User/u7` and
    /// `Cart/u7:today` share a bucket. Cannot change.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("idRoot cannot change: ids with a colon would hash to another bucket than the one that holds their events; make a new ActorShard"))]
    pub id_root: IdRoot,
    /// Where the data is kept.
    pub store: Store,
    /// The actor types: 1 to 64, each `type` once.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub actors: Vec<ActorType>,
    /// Who may call. Without it every caller is anonymous and may use every command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What happens to the data when this object is deleted: `Retain` (default) keeps it, `Delete`
    /// removes it before the object goes.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Which part of an actor id is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum IdRoot {
    /// The whole id.
    #[default]
    Whole,
    /// The part before the first colon.
    BeforeColon,
}

/// What happens to the data of a deleted shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// The data stays.
    #[default]
    Retain,
    /// The data is removed before the object goes.
    Delete,
}

/// How callers are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Callers bring a JSON Web Token; its claims are what behaviors see as `ctx.session`.
    pub jwt: Jwt,
}

/// Which tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// The `iss` claim a token must have. At most 2048 characters.
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: String,
    /// Where the issuer publishes its keys (a JWK set): an `https://` address of at most 2048
    /// characters.
    #[schemars(length(min = 9, max = 2048), regex(pattern = "^https://.+"))]
    pub jwks_uri: String,
    /// The `aud` claim a token must have one of; empty (default) takes any. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub audiences: Vec<String>,
    /// How long fetched keys are used before they are fetched again, such as `5m`. Default `5m`.
    #[serde(default = "keys_max_age_default")]
    pub keys_max_age: Duration,
}

fn buckets_default() -> u32 {
    256
}

fn cells_default() -> u32 {
    1
}

fn keys_max_age_default() -> Duration {
    // A constant that a unit test of this file parses.
    "5m".parse().expect("the default is a duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let spec: ActorShardSpec = serde_json::from_value(serde_json::json!({
            "store": { "embedded": {} },
            "actors": [],
            "auth": { "jwt": { "issuer": "i", "jwksUri": "https://i/keys" } },
        }))
        .expect("a minimal spec");
        assert_eq!((spec.buckets, spec.cells), (256, 1));
        assert_eq!((spec.id_root, spec.deletion_policy), (IdRoot::Whole, DeletionPolicy::Retain));
        assert_eq!(spec.auth.map(|auth| auth.jwt.keys_max_age.milliseconds()), Some(300_000));
    }
}
