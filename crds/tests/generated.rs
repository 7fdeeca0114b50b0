//! The committed YAML is what the types say. A difference rewrites the file and fails, so that a
//! second run passes and the change shows up for review.

use std::path::Path;

use serde_json::Value;

#[test]
fn the_committed_yaml_is_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let mut outdated = Vec::new();
    for (name, content) in corallite_crds::generate::files().expect("definitions are YAML") {
        let file = folder.join(name);
        if std::fs::read_to_string(&file).ok().as_deref() != Some(&content) {
            std::fs::write(&file, content).expect("crds/yaml is writable");
            outdated.push(name);
        }
    }
    assert!(
        outdated.is_empty(),
        "{outdated:?} in crds/yaml did not match the types and were rewritten; review and commit them. \
         To regenerate by hand: cargo run -p corallite-crds --example generate"
    );
}

/// What the API server demands of a structural schema, as far as our types could break it.
#[test]
fn the_schemas_are_structural_and_every_field_is_documented() {
    for (name, content) in corallite_crds::generate::files().expect("definitions are YAML") {
        let crd: Value = serde_yaml::from_str(&content).expect("generated YAML is YAML");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        check_schema(schema, name, true);
    }
}

fn check_schema(schema: &Value, path: &str, documented: bool) {
    assert!(schema["type"].is_string(), "{path} has no single type: {schema}");
    assert!(schema.get("nullable").is_none(), "{path} is nullable; an optional field is left out");
    assert!(schema.get("$ref").is_none(), "{path} has a reference");
    assert!(
        schema.get("properties").is_none() || schema.get("additionalProperties").is_none(),
        "{path} has both properties and additionalProperties"
    );
    if documented {
        assert!(schema["description"].is_string(), "{path} has no docs for kubectl explain");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // Docs of the conditions' members are Kubernetes' own.
        check_schema(property, &format!("{path}.{name}"), !path.contains("conditions"));
    }
    if let Some(items) = schema.get("items") {
        check_schema(items, &format!("{path}[]"), false);
    }
    if let Some(values) = schema.get("additionalProperties") {
        check_schema(values, &format!("{path}{{}}"), false);
    }
}

#[test]
fn the_scale_and_status_subresources_are_served() {
    let files = corallite_crds::generate::files().expect("definitions are YAML");
    let crd: Value = serde_yaml::from_str(&files[0].1).expect("generated YAML is YAML");
    let subresources = &crd["spec"]["versions"][0]["subresources"];
    assert_eq!(subresources["scale"]["specReplicasPath"], ".spec.cells");
    assert_eq!(subresources["scale"]["statusReplicasPath"], ".status.cells");
    assert_eq!(subresources["scale"]["labelSelectorPath"], ".status.selector");
    assert!(subresources["status"].is_object());
    assert_eq!(crd["metadata"]["name"], "actorshards.corallite.dev");
    let conditions = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        ["conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]));
}
