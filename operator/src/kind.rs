//! The kinds of objects that a shard has as children.

use kube::core::ApiResource;

/// A kind of child, in the order in which children are applied: what a cell needs to start comes
/// before the StatefulSet that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The identity of the cells; without any right.
    ServiceAccount,
    /// The authority and the certificate.
    Secret,
    /// What the cells read.
    ConfigMap,
    /// The cells' own Service and the clients'.
    Service,
    /// Who may connect to which port.
    NetworkPolicy,
    /// How many cells may be evicted at once.
    PodDisruptionBudget,
    /// The cells.
    StatefulSet,
    /// Tells a Prometheus operator where the metrics are. Exists in clusters that have one.
    ServiceMonitor,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
        Self::ServiceMonitor,
    ];

    /// (group, version, kind, plural).
    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::ServiceMonitor => ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
        }
    }

    /// The kind as manifests write it; also the label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.parts().2
    }

    /// Group and version as manifests write them.
    #[must_use]
    pub fn api_version(self) -> String {
        match self.parts() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    /// Where the API server keeps objects of the kind.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }
}
