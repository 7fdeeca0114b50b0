//! The resource types' schemas and CEL rules as data, for checks without a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube::core::cel::{Validator, apply_defaults};
use serde_json::Value;

use crate::{ActorShard, View};

/// A CEL rule that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, from the object's top: `spec.actors[0].behavior`.
    pub path: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// The `openAPIV3Schema` of a kind of this group; `None` for any other kind.
#[must_use]
pub fn of_kind(kind: &str) -> Option<Value> {
    let crd = match kind {
        "ActorShard" => ActorShard::crd(),
        "View" => View::crd(),
        _ => return None,
    };
    let definition = definition(&crd).ok()?;
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned()
}

/// A definition as it is published: like the derived one, but nothing is nullable. An optional field
/// is left out, and the API server drops a `null` before it fills in defaults; so a rule's `has()`
/// never meets one.
pub(crate) fn definition(crd: &CustomResourceDefinition) -> serde_json::Result<Value> {
    let mut definition = serde_json::to_value(crd)?;
    drop_nullable(&mut definition);
    Ok(definition)
}

fn drop_nullable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("nullable");
            members.values_mut().for_each(drop_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nullable),
        _ => {}
    }
}

/// The object with the schema's defaults filled in, as the API server does before it checks rules.
#[must_use]
pub fn with_defaults(schema: &Value, object: &Value) -> Value {
    apply_defaults(schema, object)
}

/// The CEL rules that a new object breaks. The object must satisfy the rest of the schema.
#[must_use]
pub fn violations(schema: &Value, object: &Value) -> Vec<Violation> {
    match Validator::new().validate(schema, object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| Violation { path: error.field_path, message: error.message })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broken_rule_names_its_field() {
        let schema = of_kind("ActorShard").expect("known");
        let object = with_defaults(
            &schema,
            &json!({ "metadata": { "name": "s" }, "spec": { "cells": 2, "store": { "embedded": {} }, "actors": [
                { "type": "A", "behavior": { "source": "x" } }, { "type": "B", "behavior": {} },
            ]}}),
        );
        assert_eq!(object["spec"]["buckets"], 256);
        let mut paths: Vec<_> = violations(&schema, &object).into_iter().map(|v| v.path).collect();
        paths.sort();
        assert_eq!(paths, ["spec.actors[1].behavior", "spec.cells"]);
        assert_eq!(of_kind("Pod"), None);
    }
}
