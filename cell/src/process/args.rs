//! The command line, and the environment behind it.

use std::net::SocketAddr;
use std::path::PathBuf;

use corallite_crds::Quantity;

const ABOUT: &str = "Serves one ActorShard as a pod of its StatefulSet";

const LONG_ABOUT: &str = "\
Serves one ActorShard as a pod of its StatefulSet. The Corallite operator writes that pod; to run a
shard on one machine without a cluster, use `corallite dev`.";

const EXAMPLES: &str = "\
What it reads:
  --config  shard.yaml (the ActorShard), <Type>.js (behaviors from ConfigMaps), hash. When hash
            changes, changed behaviors are taken without a restart; one that does not compile or
            cannot read what is recorded is refused, and the old one goes on
  --tls     tls.crt, tls.key, ca.crt of the control listener; read again when they change

What it answers:
  --admin   /livez: the process runs. /readyz: 200, or 503 with what is waited for. /metrics
  --peers   gRPC corallite.v1.Control over mutual TLS, for the operator only
  --grpc    corallite.v1.Actors, health, reflection
  --http    the same over HTTP/1.1

Logs are JSON lines on standard error. SIGTERM stops taking commands, answers those that were taken,
writes everything out and exits with 0; a second one exits at once, which loses nothing that was
answered. What keeps it from starting is one sentence in the log and in --termination-log.

Example:
  corallite-cell --config ./config --tls ./tls --data ./data --name shop-0 \\
    --grpc 127.0.0.1:7070 --http 127.0.0.1:7080 --peers 127.0.0.1:7071 --admin 127.0.0.1:7090";

/// Every flag is also a variable of the environment; the flag wins.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "corallite-cell", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = EXAMPLES)]
pub struct Args {
    /// Folder with the rendered shard: shard.yaml, <Type>.js, hash
    #[arg(long, env = "CORALLITE_CONFIG", value_name = "DIR", default_value = "/etc/corallite/shard")]
    pub config: PathBuf,
    /// Folder with tls.crt, tls.key and ca.crt; a cell does not start without
    #[arg(long, env = "CORALLITE_TLS", value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// Folder that the embedded store keeps its data in, in a folder `store`
    #[arg(long, env = "CORALLITE_DATA", value_name = "DIR", default_value = "/var/lib/corallite")]
    pub data: PathBuf,
    /// The cell's name: its pod's
    #[arg(long, env = "CORALLITE_NAME", value_name = "NAME", value_parser = parse_name)]
    pub name: String,
    /// Where to listen for gRPC
    #[arg(long, env = "CORALLITE_GRPC", value_name = "ADDRESS", default_value = "0.0.0.0:7070")]
    pub grpc: SocketAddr,
    /// Where to listen for HTTP
    #[arg(long, env = "CORALLITE_HTTP", value_name = "ADDRESS", default_value = "0.0.0.0:7080")]
    pub http: SocketAddr,
    /// Where to listen for the operator and other cells, with mutual TLS
    #[arg(long, env = "CORALLITE_PEERS", value_name = "ADDRESS", default_value = "0.0.0.0:7071")]
    pub peers: SocketAddr,
    /// Where to listen for health checks and metrics
    #[arg(long, env = "CORALLITE_ADMIN", value_name = "ADDRESS", default_value = "0.0.0.0:7090")]
    pub admin: SocketAddr,
    /// Threads that run behaviors, 1 to 1024 [default: one per processor the pod may use]
    #[arg(long, env = "CORALLITE_LANES", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub lanes: Option<u16>,
    /// Memory for actors, all lanes together, such as 256Mi [default: half of the pod's limit, 512Mi without one]
    #[arg(long, env = "CORALLITE_MEMORY", value_name = "QUANTITY")]
    pub memory: Option<Quantity>,
    /// Actors kept as live objects, all lanes together
    #[arg(long, env = "CORALLITE_HOT_ACTORS", value_name = "N", default_value_t = 10_000)]
    pub hot_actors: usize,
    /// What is logged: info, or corallite_cell=debug,info
    #[arg(
        long,
        env = "CORALLITE_LOG",
        value_name = "FILTER",
        default_value = "info,fjall=warn,lsm_tree=warn"
    )]
    pub log: String,
    /// File that gets the sentence that kept the cell from starting or ended it, if the file is there
    #[arg(
        long,
        env = "CORALLITE_TERMINATION_LOG",
        value_name = "FILE",
        default_value = "/dev/termination-log"
    )]
    pub termination_log: PathBuf,
    /// Write the addresses listened on to this file as JSON once everything is served
    #[arg(long, env = "CORALLITE_ADDRESSES_FILE", value_name = "FILE")]
    pub addresses_file: Option<PathBuf>,
}

fn parse_name(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if (1..=253).contains(&text.len()) && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("a pod's name: 1 to 253 lower case letters, digits, - and .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_is_a_variable_too() {
        for argument in Args::command()
            .get_arguments()
            .filter(|argument| argument.get_long().is_some_and(|long| !matches!(long, "help" | "version")))
        {
            let long = argument.get_long().unwrap_or_default();
            let variable = format!("CORALLITE_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|env| env.to_str()), Some(&*variable), "--{long}");
        }
    }

    #[test]
    fn values_are_checked() {
        let parse = |flags: &[&str]| Args::try_parse_from([&["corallite-cell"], flags].concat());
        assert!(parse(&["--name", "shop-0", "--memory", "256Mi"]).is_ok());
        for bad in [["--name", "Shop 0"], ["--name", ""]] {
            let error = parse(&bad).expect_err("refused").to_string();
            assert!(error.contains("--name"), "{error}");
        }
        let error = parse(&["--name", "a", "--memory", "lots"]).expect_err("refused").to_string();
        assert!(error.contains("--memory") && error.contains("10Gi"), "{error}");
        assert!(parse(&["--name", "a", "--lanes", "0"]).is_err());
    }
}
