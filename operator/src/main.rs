//! The operator's process: command line, logs, exit code.

use std::process::ExitCode;

use clap::Parser;
use corallite_operator::config::{Arguments, Command, Run};
use corallite_operator::run;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Command::Run(config) = Arguments::parse().command;
    match start(*config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            tracing::error!("{sentence}");
            eprintln!("corallite-operator: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn start(config: Run) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        format!("--log {:?} is not a filter: {error}; write for example info", config.log)
    })?;
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    // One provider for every connection; it can only be set once, and this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("no runtime: {error}"))?;
    let result = runtime.block_on(run::run(config)).map_err(|error| error.to_string());
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
