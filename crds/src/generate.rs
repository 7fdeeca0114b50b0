//! The custom resource definitions as YAML files.

use kube::CustomResourceExt;

use crate::schema::definition;
use crate::{ActorShard, View};

/// What the first lines of a generated file say.
const HEADER: &str = "\
# Generated from the types in crds/src; do not edit.
# Regenerate with: cargo run -p corallite-crds --example generate
";

/// Why a definition could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The derived definition is not JSON.
    #[error("the definition cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The definition cannot be written as YAML.
    #[error("the definition cannot be written as YAML")]
    Yaml(#[source] serde_yaml::ser::Error),
}

/// The generated files, as (name in `crds/yaml`, content).
///
/// # Errors
/// A definition cannot be written; a test makes sure that both can.
pub fn files() -> Result<Vec<(&'static str, String)>, GenerateError> {
    let yaml = |crd| {
        let definition = definition(&crd).map_err(GenerateError::Json)?;
        let text = serde_yaml::to_string(&definition).map_err(GenerateError::Yaml)?;
        Ok(format!("{HEADER}{text}"))
    };
    Ok(vec![("actorshards.yaml", yaml(ActorShard::crd())?), ("views.yaml", yaml(View::crd())?)])
}
