//! Corallite on a real Kubernetes, by level:
//!
//! - `admit_*`: the API server alone. What the CRDs accept, and what they refuse with which words.
//! - `api_*`: a shard from `kubectl apply` to its deletion, as users see it. Needs nodes.
//! - `cluster_*`: the cluster itself, as far as the other tests rely on it. Needs nodes.
//! - `fault_*`: what must survive when cells, operators, objects or the API server fail. Needs nodes.
//!
//! One binary, so that all of them share one cluster.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admit;
mod api;
mod cluster;
mod fault;
mod support;
