//! Where a shard keeps its data: exactly one member of [`Store`] is set.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{ConfigMapSource, Quantity};

/// Where the data of the shard is kept. Exactly one member is set, and which one it is cannot change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("has(self.foundationdb) != has(self.embedded)")
        .message("store needs exactly one of foundationdb and embedded"),
    validation = Rule::new("has(self.embedded) == has(oldSelf.embedded)")
        .message("store cannot change between foundationdb and embedded: the data would stay behind; make a new ActorShard and move the data")
)]
pub struct Store {
    /// A FoundationDB cluster, shared by all cells of the shard. The choice for more than one cell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foundationdb: Option<FoundationDbStore>,
    /// A store inside the cell, on its own volume. One cell only; what local runs use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedStore>,
}

/// A FoundationDB cluster. Every shard has its own key prefix, `<namespace>/<name>`, so shards can share one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundationDbStore {
    /// Where the cluster file (`fdb.cluster`) is.
    pub cluster_file: ConfigMapSource,
}

/// A store inside the cell. Losing its volume loses the data of the shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedStore {
    /// Size of the cell's volume, in bytes with an optional unit, such as `10Gi`. Default `10Gi`.
    /// Local runs do not enforce it.
    #[serde(default = "size_default")]
    pub size: Quantity,
}

fn size_default() -> Quantity {
    // A constant that a unit test of this file parses.
    SIZE_DEFAULT.parse().expect("the default is a quantity")
}

const SIZE_DEFAULT: &str = "10Gi";

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self { size: size_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_size_is_a_quantity() {
        assert_eq!(EmbeddedStore::default().size.bytes(), 10 << 30);
    }
}
