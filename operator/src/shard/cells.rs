//! Cells as Kubernetes and they themselves see them.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::control::Report;
use crate::names::{ANNOTATION_CONFIG, ANNOTATION_ROLLOUT};

/// Why a container waits, when waiting does not help.
const HOPELESS: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// One cell of a shard: its pod, and what it said when asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Name of the pod.
    pub name: String,
    /// Number of the pod in its StatefulSet.
    pub ordinal: u32,
    /// Identity of the pod: a pod of the same name that came later has another.
    pub uid: String,
    /// Version of the pod that was looked at.
    pub resource_version: String,
    /// Address, once there is one.
    pub address: Option<IpAddr>,
    /// Since when the pod is ready; `None` while it is not.
    pub ready_since: Option<Timestamp>,
    /// When the pod was made.
    pub created: Timestamp,
    /// By when it was asked to be gone; `None` while it was not asked.
    pub leaves_by: Option<Timestamp>,
    /// What it was started with, as a hash; see `ANNOTATION_ROLLOUT`.
    pub rollout_hash: String,
    /// The configuration that it was told of.
    pub config_hash: String,
    /// Why it cannot run, in words.
    pub failure: Option<String>,
    /// What it said of itself; `None` when it was not asked or did not answer.
    pub report: Option<Report>,
}

impl Cell {
    /// Reads a pod. `None` for a pod that is not of the shard's StatefulSet.
    #[must_use]
    pub fn of(pod: &Pod, shard: &str) -> Option<Self> {
        let name = pod.name_any();
        let ordinal = name.strip_prefix(shard)?.strip_prefix('-')?.parse().ok()?;
        let status = pod.status.as_ref();
        let ready = status
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True"));
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let annotation = |key| pod.annotations().get(key).cloned().unwrap_or_default();
        Some(Self {
            ordinal,
            uid: pod.uid().unwrap_or_default(),
            resource_version: pod.resource_version().unwrap_or_default(),
            address: status.and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse().ok()),
            ready_since: ready.map(|c| c.last_transition_time.as_ref().map_or(created, |time| time.0)),
            created,
            leaves_by: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            rollout_hash: annotation(ANNOTATION_ROLLOUT),
            config_hash: annotation(ANNOTATION_CONFIG),
            failure: failure(pod).map(|failure| format!("cell {name}: {failure}")),
            report: None,
            name,
        })
    }

    /// Whether it can take commands.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.ready_since.is_some() && self.leaves_by.is_none()
    }

    /// Whether it has taken over a configuration, or cannot be asked.
    #[must_use]
    pub fn has_config(&self, hash: &str) -> bool {
        self.report.as_ref().is_none_or(|report| report.config_hash == hash)
    }

    /// What it says it did not take over, as (type, why).
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        let behaviors = self.report.iter().flat_map(|report| &report.behaviors);
        behaviors.filter_map(|behavior| Some((behavior.type_name.as_str(), behavior.refused.as_deref()?)))
    }
}

fn failure(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    if let Some(failure) = containers.into_iter().find_map(container_failure) {
        return Some(failure);
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    Some(format!("no node takes it: {}", unscheduled.message.as_deref().unwrap_or("Unschedulable")))
}

fn container_failure(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| HOPELESS.contains(reason))?;
    let exit = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let exit = exit.map(|exit| {
        let why = exit.message.as_deref().or(exit.reason.as_deref()).unwrap_or("no message");
        format!("; it ended with exit code {}: {}", exit.exit_code, why.trim())
    });
    let message = waiting.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
    Some(format!("{reason}{message}{}", exit.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "shop-2", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": { "corallite.dev/rollout-hash": "r", "corallite.dev/config-hash": "c" },
            },
            "status": status,
        }))
        .expect("a pod")
    }

    #[test]
    fn a_pod_is_a_cell() {
        let cell = Cell::of(&pod(json!({
            "podIP": "10.0.0.7",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z" }],
        })), "shop")
        .expect("a cell");
        assert_eq!((cell.ordinal, cell.ready(), cell.failure.as_deref()), (2, true, None));
        assert_eq!(cell.address, Some([10, 0, 0, 7].into()));
        assert_eq!((cell.rollout_hash.as_str(), cell.config_hash.as_str()), ("r", "c"));
        assert_eq!(Cell::of(&pod(json!({})), "sho"), None, "a pod of another shard");
    }

    #[test]
    fn a_cell_that_cannot_run_says_why() {
        let crashed = pod(json!({ "containerStatuses": [{
            "name": "cell", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
            "lastState": { "terminated": { "exitCode": 2, "message": "the store is of another shard\n" } },
        }]}));
        let failure = Cell::of(&crashed, "shop").expect("a cell").failure.expect("failing");
        assert_eq!(
            failure,
            "cell shop-2: CrashLoopBackOff: back-off 40s; it ended with exit code 2: the store is of another shard"
        );
        let pending = pod(json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes",
        }]}));
        assert!(Cell::of(&pending, "shop").expect("a cell").failure.expect("failing").contains("0/1 nodes"));
        let creating = pod(json!({ "containerStatuses": [{
            "name": "cell", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ContainerCreating" } },
        }]}));
        assert_eq!(Cell::of(&creating, "shop").expect("a cell").failure, None, "it is only on its way");
    }
}
