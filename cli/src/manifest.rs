//! Resolves manifests to the shards they declare.

use std::path::PathBuf;

use corallite_cell::spec::ShardSpec;

/// Why manifests could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

/// Reads every `ActorShard` in files and folders.
///
/// # Errors
/// A file cannot be read, or is not a valid manifest; with file and line.
pub fn load(paths: &[PathBuf]) -> Result<Vec<ShardSpec>, ManifestError> {
    let _ = paths;
    Err(ManifestError("manifests are not read yet".to_owned()))
}
