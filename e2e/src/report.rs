//! What happened in a namespace, for the one who reads a failed test.

use crate::cluster::Cluster;
use crate::say;

/// Lines of each container's log that are printed.
const LOG_LINES: &str = "--tail=60";

/// Prints objects, events and logs of the namespace to standard error. What cannot be had is skipped.
pub(crate) fn print(cluster: &Cluster, namespace: &str) {
    let ask = |arguments: &[&str]| {
        let all = ["--namespace", namespace].into_iter().chain(arguments.iter().copied());
        cluster.kubectl(all).unwrap_or_else(|error| error.to_string())
    };
    let section = |title: &str, text: &str| {
        if !text.trim().is_empty() {
            say(&format!("---- {title} of {namespace}\n{}", text.trim_end()));
        }
    };
    section(
        "objects",
        &ask(&["get", "all,configmaps,persistentvolumeclaims,poddisruptionbudgets", "-o", "wide"]),
    );
    section("shards", &ask(&["get", "actorshards,views", "-o", "yaml", "--ignore-not-found"]));
    section("events", &ask(&["get", "events", "--sort-by=.metadata.creationTimestamp"]));
    let pods = ask(&["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name} {end}"]);
    for pod in pods.split_whitespace() {
        section(&format!("pod {pod}"), &ask(&["describe", "pod", pod]));
        section(&format!("log of {pod}"), &ask(&["logs", pod, "--all-containers", "--prefix", LOG_LINES]));
        let earlier = cluster.kubectl([
            "--namespace",
            namespace,
            "logs",
            pod,
            "--all-containers",
            "--previous",
            LOG_LINES,
        ]);
        section(&format!("log of {pod} before its restart"), &earlier.unwrap_or_default());
    }
}
