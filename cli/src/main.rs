//! The `corallite` command line.

mod check;
mod manifest;

use std::process::ExitCode;

use clap::Parser;

/// Event-sourced virtual actors, declared as Kubernetes resources.
#[derive(Parser)]
#[command(version)]
enum Command {
    Check(check::CheckArgs),
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Check(args) => check::run(args),
    }
}
