//! The custom resource definitions as YAML files.

use kube::CustomResourceExt;

use crate::{ActorShard, View};

/// What the first lines of a generated file say.
const HEADER: &str = "\
# Generated from the types in crds/src; do not edit.
# Regenerate with: cargo run -p corallite-crds --example generate
";

/// The generated files, as (name in `crds/yaml`, content).
///
/// # Errors
/// A definition cannot be written as YAML; a test makes sure that it can.
pub fn files() -> Result<Vec<(&'static str, String)>, serde_yaml::ser::Error> {
    let yaml = |crd| serde_yaml::to_string(&crd).map(|text| format!("{HEADER}{text}"));
    Ok(vec![("actorshards.yaml", yaml(ActorShard::crd())?), ("views.yaml", yaml(View::crd())?)])
}
