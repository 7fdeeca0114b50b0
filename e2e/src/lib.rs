//! A real Kubernetes on this machine, and what tests on it need.
//!
//! A test takes a [`Case`]: a namespace of its own in the cluster that all tests of the binary
//! share. The first one starts the cluster, the end of the test binary removes it, however that
//! comes. Tests whose name begins with `admit_` need the API server only; others ask for nodes, on
//! which pods really run.
//!
//! ```no_run
//! # async fn example() {
//! use std::time::Duration;
//! use corallite_e2e::{Case, eventually};
//! use k8s_openapi::api::core::v1::Pod;
//!
//! // None: this machine cannot run nodes, which was said loudly.
//! let Some(case) = Case::on_nodes(1).await else { return };
//! case.kubectl(["apply", "-k", "examples/shop"]).await;
//! let pods = case.api::<Pod>();
//! let ip = eventually("the pod has an address", Duration::from_secs(60), async || {
//!     let pod = pods.get("shop-0").await.map_err(|error| error.to_string())?;
//!     pod.status.and_then(|status| status.pod_ip).ok_or_else(|| "no address yet".to_owned())
//! })
//! .await;
//! # }
//! ```
//!
//! When a test fails, the events, pods and logs of its namespace are printed. The machine reaches
//! pods and Services by their addresses.
//!
//! | variable | meaning |
//! |---|---|
//! | `CORALLITE_E2E_KUBECONFIG` | file of an existing cluster to run on instead. The tests install the CRDs there |
//! | `CORALLITE_E2E_LOAD` | with it: a command that makes the image archive given as its last argument known to that cluster, such as `kind load image-archive` |
//! | `CORALLITE_E2E_REQUIRE_NODES` | if set, a machine without nodes fails the tests that need them |
//! | `CORALLITE_CACHE` | where the components are kept that were built |
//!
//! What it is not: a way to run clusters for longer than a test run, or to keep them apart from the
//! machine: nodes run as root.

mod binaries;
mod capability;
mod case;
mod cgroup;
mod cluster;
mod components;
mod error;
mod eventually;
mod image;
mod instance;
mod keeper;
mod network;
mod node;
mod pki;
mod plane;
mod process;
mod report;
mod volumes;

pub use binaries::workspace_binary;
pub use capability::missing_for_nodes;
pub use case::Case;
pub use cluster::Cluster;
pub use components::{KUBERNETES_VERSION, ensure as ensure_components};
pub use error::Error;
pub use eventually::eventually;
pub use image::{Image, USER};
pub use keeper::keep;
pub use network::NODES_MAX;

/// Says something on standard error, past the capture of test output.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "e2e: {text}");
}
