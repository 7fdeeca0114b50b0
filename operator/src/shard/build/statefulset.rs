//! The cells.
//!
//! Guarantees: the pod template changes only when a cell must be restarted, and always then. Behaviors,
//! the number of cells and the deletion policy are not in it.

use corallite_crds::{ActorShardSpec, DeletionPolicy};
use serde_json::{Value, json};

use super::Wanted;
use crate::config::Run;
use crate::digest;
use crate::kind::Kind;
use crate::names::{
    self, ANNOTATION_ROLLOUT, PORT_ADMIN, PORT_GRPC, PORT_HTTP, PORT_PEERS, labels, selector,
};
use crate::shard::validate::Plan;

/// User and group of the images.
const USER: u32 = 65_532;
/// Seconds that a cell has to write out what it holds.
const GRACE_SECONDS: u32 = 60;

/// The StatefulSet, and the hash of what cells must be restarted for.
pub(super) fn build(plan: &Plan, run: &Run) -> (Wanted, String) {
    let pod = pod(plan, run);
    let hash = digest::of_json(&json!([pod, restart_relevant(&plan.spec)]));
    let mut content = json!({ "spec": {
        "replicas": plan.spec.cells,
        "serviceName": names::cells(&plan.name),
        "selector": { "matchLabels": selector(&plan.name) },
        // Cells do not wait for each other.
        "podManagementPolicy": "Parallel",
        // The operator drains a cell before it replaces it.
        "updateStrategy": { "type": "OnDelete" },
        "template": {
            "metadata": { "labels": labels(&plan.name), "annotations": { ANNOTATION_ROLLOUT: hash } },
            "spec": pod,
        },
    }});
    if let Some(size) = &plan.volume_size {
        content["spec"]["volumeClaimTemplates"] = json!([claim(plan, size)]);
        content["spec"]["persistentVolumeClaimRetentionPolicy"] = retention(plan.spec.deletion_policy);
    }
    (Wanted::new(plan, Kind::StatefulSet, plan.name.clone(), content), hash)
}

/// The spec without what cells take over while they run.
fn restart_relevant(spec: &ActorShardSpec) -> Value {
    let mut spec = json!(spec);
    for actor in spec["actors"].as_array_mut().into_iter().flatten() {
        remove(actor, "behavior");
    }
    for field in ["cells", "deletionPolicy"] {
        remove(&mut spec, field);
    }
    remove(&mut spec["store"]["embedded"], "size");
    spec
}

fn remove(object: &mut Value, field: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(field);
    }
}

fn claim(plan: &Plan, size: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "labels": labels(&plan.name) },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
    })
}

fn retention(policy: DeletionPolicy) -> Value {
    let when_deleted = match policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    json!({ "whenDeleted": when_deleted, "whenScaled": "Retain" })
}

fn pod(plan: &Plan, run: &Run) -> Value {
    let mut volumes = vec![
        json!({ "name": "config", "configMap": { "name": names::config(&plan.name) } }),
        json!({ "name": "tls", "secret": { "secretName": names::tls(&plan.name), "defaultMode": 0o440 } }),
    ];
    if plan.volume_size.is_none() {
        volumes.push(json!({ "name": "data", "emptyDir": {} }));
    }
    let secrets: Vec<_> = run.cell_image_pull_secret.iter().map(|name| json!({ "name": name })).collect();
    let mut pod = json!({
        "serviceAccountName": plan.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "topologySpreadConstraints": [
            spread(plan, "kubernetes.io/hostname"),
            spread(plan, "topology.kubernetes.io/zone"),
        ],
        "containers": [container(run)],
        "volumes": volumes,
    });
    if !secrets.is_empty() {
        pod["imagePullSecrets"] = secrets.into();
    }
    pod
}

fn spread(plan: &Plan, over: &str) -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": over,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": selector(&plan.name) },
    })
}

fn container(run: &Run) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "admin", "scheme": "HTTP" },
            "periodSeconds": period,
            "timeoutSeconds": 3,
            "failureThreshold": failures,
        })
    };
    json!({
        "name": "cell",
        "image": run.cell_image,
        "imagePullPolicy": run.cell_image_pull_policy,
        "args": arguments(run),
        "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } }],
        "ports": [port("grpc", PORT_GRPC), port("peers", PORT_PEERS), port("http", PORT_HTTP), port("admin", PORT_ADMIN)],
        // Liveness only says that the process serves; it has a minute, so that a busy node kills nobody.
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 3),
        "resources": {
            "requests": { "cpu": run.cell_cpu, "memory": run.cell_memory.to_string() },
            "limits": { "memory": run.cell_memory.to_string() },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        // The last words of a cell that fails are part of its status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            { "name": "config", "mountPath": "/etc/corallite/shard", "readOnly": true },
            { "name": "tls", "mountPath": "/etc/corallite/tls", "readOnly": true },
            { "name": "data", "mountPath": "/var/lib/corallite" },
        ],
    })
}

fn arguments(run: &Run) -> Vec<String> {
    let listen = |port: u16| format!("0.0.0.0:{port}");
    [
        ("--config", "/etc/corallite/shard".to_owned()),
        ("--tls", "/etc/corallite/tls".to_owned()),
        ("--data", "/var/lib/corallite".to_owned()),
        ("--name", "$(POD_NAME)".to_owned()),
        ("--grpc", listen(PORT_GRPC)),
        ("--http", listen(PORT_HTTP)),
        ("--peers", listen(PORT_PEERS)),
        ("--admin", listen(PORT_ADMIN)),
        ("--memory", (run.cell_memory.bytes() / 2).to_string()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}
