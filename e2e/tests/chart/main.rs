//! The charts, without a cluster: what Helm makes of them, and that dashboards, alerts and runbooks
//! speak of what there is.
//!
//! Helm is the real one, which `scripts/helm-tools` fetches once. Metric names come from the registries
//! of the cell and the operator, flags from the operator's command line.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerts;
mod dashboards;
mod definitions;
mod files;
mod helm;
mod metrics;
mod promql;
mod render;
mod rights;
mod values;
