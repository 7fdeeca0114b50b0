//! Binaries of this workspace, as the tests put them into images.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::cluster::workspace;
use crate::error::Error;
use crate::process::run;
use crate::say;

/// The path of a binary of this workspace, such as `corallite-cell`. The first call builds all of
/// them, in the profile and the target folder of the running tests.
///
/// # Errors
/// When they do not compile, or none has this name.
pub fn workspace_binary(name: &str) -> Result<PathBuf, Error> {
    static BUILT: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| error.to_string()));
    let binaries = built.as_ref().map_err(|error| Error::Other(error.clone()))?;
    binaries
        .iter()
        .find(|path| path.file_name().is_some_and(|file| file == name))
        .cloned()
        .ok_or_else(|| Error::Other(format!("the workspace has no binary {name}")))
}

fn build() -> Result<Vec<PathBuf>, Error> {
    say("building the workspace's binaries");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With the tests, because features are those of all targets together: the dependencies are then
    // the ones that `cargo test --workspace` has built.
    command.args(["build", "--workspace", "--bins", "--tests"]);
    command.arg("--message-format=json-render-diagnostics");
    let messages = run(command.current_dir(workspace()))?;
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(parsed.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}
