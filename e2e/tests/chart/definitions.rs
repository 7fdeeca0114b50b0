//! The chart of the definitions gives what was generated from the types.

use serde_json::{Value, json};

use crate::{files, helm};

fn generated() -> Vec<Value> {
    ["actorshards", "views"]
        .map(|name| serde_yaml::from_str(&files::read(&format!("crds/yaml/{name}.yaml"))).unwrap())
        .into()
}

#[test]
fn the_definitions_are_those_of_the_types() {
    let mut rendered = helm::objects(helm::DEFINITIONS, &["--set", "keep=false"]);
    rendered.sort_by_key(|object| object["metadata"]["name"].to_string());
    assert_eq!(rendered, generated());
    let files = corallite_crds::generate::files().unwrap().len();
    assert_eq!(rendered.len(), files, "a definition is in crds/yaml and not in the chart");
}

#[test]
fn an_uninstall_keeps_them() {
    let mut expected = generated();
    for definition in &mut expected {
        definition["metadata"]["annotations"] = json!({ "helm.sh/resource-policy": "keep" });
    }
    assert_eq!(helm::objects(helm::DEFINITIONS, &[]), expected);
}

#[test]
fn rules_arrive_as_they_were_written() {
    // Helm would take braces in a rule for a template, were the files not inserted as text.
    let text = helm::text(helm::DEFINITIONS, &["--set", "keep=false"]);
    for name in ["actorshards", "views"] {
        assert!(text.contains(files::read(&format!("crds/yaml/{name}.yaml")).trim()), "{name} was changed");
    }
}
