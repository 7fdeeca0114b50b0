//! Names, labels and annotations: the one place where they are spelled.
//!
//! Guarantees: every name is made from the shard's, which the resource type bounds to 48 characters,
//! so that none gets longer than Kubernetes allows.

use std::collections::BTreeMap;

/// Who applies: the one field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "corallite-operator";
/// Who reports events.
pub const REPORTER: &str = "corallite-operator";
/// Value of `app.kubernetes.io/name` on cells and what belongs to them.
pub const CELL: &str = "corallite-cell";

/// Label with the shard's name, on every child and every cell. Orphans are found by it.
pub const LABEL_SHARD: &str = "corallite.dev/shard";
/// Label that tells the cells' own Service from the clients'.
pub const LABEL_ROLE: &str = "corallite.dev/role";
/// Label with the manager's name; what the operator watches.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const LABEL_NAME: &str = "app.kubernetes.io/name";
const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";

/// Annotation of the pod template: what a cell must be restarted for, as a hash.
pub const ANNOTATION_ROLLOUT: &str = "corallite.dev/rollout-hash";
/// Annotation of a pod: the configuration it should have by now. It makes the kubelet look.
pub const ANNOTATION_CONFIG: &str = "corallite.dev/config-hash";
/// Annotation of every child: what was applied, as a hash. It shows when a field was taken back.
pub const ANNOTATION_APPLIED: &str = "corallite.dev/applied-hash";

/// The name that the operator's client certificates carry; cells let only it use `Control`.
pub const OPERATOR_IDENTITY: &str = "operator.corallite.dev";
/// Port of gRPC clients.
pub const PORT_GRPC: u16 = 7070;
/// Port of cells among themselves and of the operator, with mutual TLS.
pub const PORT_PEERS: u16 = 7071;
/// Port of HTTP clients.
pub const PORT_HTTP: u16 = 7080;
/// Port of probes and metrics.
pub const PORT_ADMIN: u16 = 7090;

/// The ConfigMap that cells read.
#[must_use]
pub fn config(shard: &str) -> String {
    format!("{shard}-config")
}

/// The headless Service of the cells.
#[must_use]
pub fn cells(shard: &str) -> String {
    format!("{shard}-cells")
}

/// The Secret with the cells' certificate.
#[must_use]
pub fn tls(shard: &str) -> String {
    format!("{shard}-tls")
}

/// The Secret with the shard's authority; never mounted.
#[must_use]
pub fn authority(shard: &str) -> String {
    format!("{shard}-ca")
}

/// The name that cells' certificates are verified by.
#[must_use]
pub fn peers_dns(shard: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", cells(shard))
}

/// Labels of every child of a shard.
#[must_use]
pub fn labels(shard: &str) -> BTreeMap<String, String> {
    [(LABEL_NAME, CELL), (LABEL_INSTANCE, shard), (LABEL_MANAGED_BY, FIELD_MANAGER), (LABEL_SHARD, shard)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Labels that select a shard's cells. A StatefulSet's selector cannot change, so neither can this.
#[must_use]
pub fn selector(shard: &str) -> BTreeMap<String, String> {
    [(LABEL_NAME, CELL), (LABEL_SHARD, shard)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// [`selector`] as text, for the scale subresource.
#[must_use]
pub fn selector_text(shard: &str) -> String {
    format!("{LABEL_NAME}={CELL},{LABEL_SHARD}={shard}")
}
