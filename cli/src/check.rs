//! `corallite check`: manifests and behaviors, offline.

use std::path::PathBuf;
use std::process::ExitCode;

/// Checks manifests offline.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files and folders with manifests
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Checks and prints what is wrong.
pub fn run(args: Args) -> ExitCode {
    match crate::manifest::load(&args.paths) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
