//! The command line. Every flag is also an environment variable.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use corallite_crds::Quantity;

use crate::certificates;

/// Runs event-sourced actors on Kubernetes: makes cells of every ActorShard, and keeps them.
///
/// It watches ActorShards (and the ConfigMaps that they name), and for each keeps a StatefulSet of
/// cells with its Services, its configuration, its certificates and its network policy. Changed
/// behaviors reach cells without a restart; other changes roll out cell by cell.
///
/// What it thinks of a shard is in the shard's status: `kubectl describe actorshard NAME`.
#[derive(Debug, Parser)]
#[command(name = "corallite-operator", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch and reconcile until SIGTERM, or until the lease is lost.
    ///
    /// Credentials come from the service account of the pod, or from KUBECONFIG. Exit codes: 0 after
    /// SIGTERM, 1 when the lease was lost or a part ended early, 2 for a wrong command line.
    Run(Box<Run>),
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Image of the cells, such as corallite/cell:0.1.0. A new one rolls all shards, cell by cell.
    #[arg(long, env = "CORALLITE_CELL_IMAGE")]
    pub cell_image: String,
    /// When nodes pull the image: IfNotPresent, Always or Never.
    #[arg(long, env = "CORALLITE_CELL_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
        value_parser = ["IfNotPresent", "Always", "Never"])]
    pub cell_image_pull_policy: String,
    /// Secrets in the shards' namespaces with which nodes pull the image. May be repeated.
    #[arg(long, env = "CORALLITE_CELL_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub cell_image_pull_secret: Vec<String>,
    /// CPU that a cell asks for, as Kubernetes writes it. There is no CPU limit: it would only make
    /// answers late.
    #[arg(long, env = "CORALLITE_CELL_CPU", default_value = "100m")]
    pub cell_cpu: String,
    /// Memory of a cell, asked for and at most. Half of it is the budget for actors in memory.
    #[arg(long, env = "CORALLITE_CELL_MEMORY", default_value = "512Mi")]
    pub cell_memory: Quantity,
    /// Namespace of the operator: its lease is there, and pods in it may reach the cells' control port.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Name of this process in the lease and in events; the pod's name.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// Only this namespace is watched. Without it all are.
    #[arg(long, env = "CORALLITE_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "CORALLITE_ADMIN", default_value = "0.0.0.0:8080")]
    pub admin: SocketAddr,
    /// Shards that are worked on at once: 1 to 64.
    #[arg(long, env = "CORALLITE_WORKERS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Name of the lease. Of all operators with the same one, one works.
    #[arg(long, env = "CORALLITE_LEASE_NAME", default_value = "corallite-operator")]
    pub lease_name: String,
    /// How long a replaced cell may take to be ready before its rollout stops, such as 10m.
    #[arg(long, env = "CORALLITE_ROLLOUT_DEADLINE", default_value = "10m", value_parser = duration)]
    pub rollout_deadline: Duration,
    /// Life of the cells' certificates. They are renewed after three fifths of it, without a restart.
    #[arg(long, env = "CORALLITE_CERTIFICATE_LIFE", default_value = "720h", value_parser = duration)]
    pub certificate_life: Duration,
    /// Life of a shard's authority, which signs them.
    #[arg(long, env = "CORALLITE_AUTHORITY_LIFE", default_value = "43800h", value_parser = duration)]
    pub authority_life: Duration,
    /// How long until every cell surely has seen a changed Secret. The steps of changing an authority
    /// are that far apart.
    #[arg(long, env = "CORALLITE_CERTIFICATE_SETTLE", default_value = "10m", value_parser = duration)]
    pub certificate_settle: Duration,
    /// What is logged: info, or tracing directives such as corallite_operator=debug,info. As JSON, to
    /// standard error.
    #[arg(long, env = "CORALLITE_LOG", default_value = "info")]
    pub log: String,
}

impl Run {
    /// The lives of certificates.
    #[must_use]
    pub fn certificates(&self) -> certificates::Policy {
        certificates::Policy {
            authority_life: self.authority_life,
            leaf_life: self.certificate_life,
            settle: self.certificate_settle,
        }
    }

    /// The name in the lease; made up when no pod name is given.
    #[must_use]
    pub fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| format!("corallite-operator-{:08x}", rand::random::<u32>()))
    }
}

fn duration(text: &str) -> Result<Duration, corallite_crds::DurationError> {
    text.parse::<corallite_crds::Duration>().map(|span| Duration::from_millis(span.milliseconds()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_image_is_enough() {
        let arguments =
            Arguments::try_parse_from(["corallite-operator", "run", "--cell-image", "c:1"]).expect("enough");
        let Command::Run(run) = arguments.command;
        assert_eq!(run.rollout_deadline, Duration::from_secs(600));
        assert!(Arguments::try_parse_from(["corallite-operator", "run"]).is_err(), "no image");
        let none = ["corallite-operator", "run", "--cell-image", "c:1", "--workers", "0"];
        assert!(Arguments::try_parse_from(none).is_err(), "no worker");
    }
}
