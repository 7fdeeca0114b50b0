//! The cluster does what the other tests take for granted: pods run, have volumes and names, and
//! are reached through Services, across nodes.

use std::path::Path;
use std::time::Duration;

use corallite_e2e::{Case, Image, eventually};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::DeleteParams;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A pod's start, with image and volume, on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(90);

/// An answer over a network that is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const PROBE: &str = "corallite.dev/probe:e2e";

async fn load_probe(case: &Case) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/probe.rs");
    case.load(Image::of_source(PROBE, "/probe", &source).unwrap()).await;
}

/// A StatefulSet of probes with a volume each, its headless Service and a client Service.
async fn apply_probes(case: &Case, replicas: u32) {
    let labels = json!({ "app": "probe" });
    let service = |name: &str, cluster_ip: Option<&str>| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "selector": labels, "clusterIP": cluster_ip, "ports": [{ "port": 80, "targetPort": 8080 }] },
        })
    };
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "probe" },
        "spec": {
            "replicas": replicas,
            "serviceName": "probes",
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": { "fsGroup": 65532, "runAsNonRoot": true },
                "topologySpreadConstraints": [{
                    "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": labels },
                }],
                "containers": [{
                    "name": "probe", "image": PROBE, "imagePullPolicy": "Never",
                    "securityContext": { "readOnlyRootFilesystem": true },
                    "readinessProbe": { "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 },
                    "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }],
            }},
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
            }],
        },
    });
    for object in [service("probes", Some("None")), service("probe", None), set] {
        case.apply_object(object).await.unwrap();
    }
}

async fn ready(case: &Case, replicas: i32) {
    let sets = case.api::<StatefulSet>();
    eventually("the probes are ready", START_WITHIN, async || {
        let status =
            sets.get_status("probe").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        if ready == replicas { Ok(()) } else { Err(format!("{ready} of {replicas} ready")) }
    })
    .await;
}

/// One HTTP request of this machine; the body of a 200.
async fn request(method: &str, address: &str, path: &str, body: &str) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: e2e\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = exchange.await.map_err(|error: std::io::Error| format!("{address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("half an answer: {answer:?}"))?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(answer) }
}

async fn answer(method: &str, address: &str, path: &str, body: &str) -> String {
    let what = format!("{method} {path} at {address}");
    eventually(&what, ANSWER_WITHIN, async || request(method, address, path, body).await).await
}

async fn pod_address(case: &Case, name: &str) -> String {
    let pods = case.api::<Pod>();
    eventually("the pod has an address", START_WITHIN, async || {
        let status = pods.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        status.pod_ip.map(|ip| format!("{ip}:8080")).ok_or_else(|| format!("{:?}", status.conditions))
    })
    .await
}

async fn service_address(case: &Case) -> String {
    let service = case.api::<Service>().get("probe").await.unwrap();
    format!("{}:80", service.spec.unwrap().cluster_ip.unwrap())
}

#[tokio::test]
async fn cluster_runs_a_stateful_set_whose_volume_outlives_its_pod() {
    let Some(case) = Case::on_nodes(1).await else { return };
    load_probe(&case).await;
    apply_probes(&case, 1).await;
    ready(&case, 1).await;
    assert_eq!(answer("GET", &service_address(&case).await, "/", "").await, "probe-0");

    let address = pod_address(&case, "probe-0").await;
    answer("PUT", &address, "/data/x", "kept").await;
    let pods = case.api::<Pod>();
    let first = pods.get("probe-0").await.unwrap().metadata.uid;
    pods.delete("probe-0", &DeleteParams::default()).await.unwrap();
    eventually("another probe-0", START_WITHIN, async || {
        let pod = pods.get("probe-0").await.map_err(|error| error.to_string())?;
        if pod.metadata.uid == first { Err("still the first".to_owned()) } else { Ok(()) }
    })
    .await;
    ready(&case, 1).await;
    assert_eq!(answer("GET", &pod_address(&case, "probe-0").await, "/data/x", "").await, "kept");
    let logs = case.kubectl(["logs", "probe-0"]).await;
    assert!(logs.contains("probe listens"), "{logs}");
}

#[tokio::test]
async fn cluster_spreads_pods_over_two_nodes_that_reach_each_other_by_name() {
    let Some(case) = Case::on_nodes(2).await else { return };
    load_probe(&case).await;
    apply_probes(&case, 2).await;
    ready(&case, 2).await;
    let nodes = case.kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"]).await;
    let mut nodes: Vec<_> = nodes.split_whitespace().collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), 2, "{nodes:?}");

    let namespace = case.namespace();
    let first = pod_address(&case, "probe-0").await;
    let second = format!("/fetch/probe-1.probes.{namespace}.svc.cluster.local:8080");
    assert_eq!(answer("GET", &first, &second, "").await, "probe-1");
    let by_short_name = format!("/fetch/probe.{namespace}.svc:80");
    assert!(answer("GET", &first, &by_short_name, "").await.starts_with("probe-"));
}

#[tokio::test]
async fn cluster_keeps_pods_when_the_api_server_restarts() {
    let Some(case) = Case::alone_on_nodes(1).await else { return };
    load_probe(&case).await;
    apply_probes(&case, 1).await;
    ready(&case, 1).await;
    let address = pod_address(&case, "probe-0").await;
    let cluster = case.cluster();
    tokio::task::spawn_blocking(|| cluster.restart("kube-apiserver")).await.unwrap().unwrap();
    assert_eq!(answer("GET", &address, "/", "").await, "probe-0");
    ready(&case, 1).await;
}

#[tokio::test]
async fn cluster_cuts_a_node_off_and_connects_it_again() {
    let Some(case) = Case::alone_on_nodes(2).await else { return };
    load_probe(&case).await;
    apply_probes(&case, 2).await;
    ready(&case, 2).await;
    let pod = case.api::<Pod>().get("probe-0").await.unwrap();
    let node = pod.spec.unwrap().node_name.unwrap();
    let number: u8 = node.trim_start_matches("node-").parse().unwrap();
    let address = pod_address(&case, "probe-0").await;
    answer("GET", &address, "/", "").await;

    let cluster = case.cluster();
    tokio::task::spawn_blocking(move || cluster.set_wire(number, false)).await.unwrap().unwrap();
    let cut_off = tokio::time::timeout(Duration::from_secs(2), request("GET", &address, "/", "")).await;
    assert!(!matches!(cut_off, Ok(Ok(_))), "{cut_off:?}");
    tokio::task::spawn_blocking(move || cluster.set_wire(number, true)).await.unwrap().unwrap();
    assert_eq!(answer("GET", &address, "/", "").await, "probe-0");
}
