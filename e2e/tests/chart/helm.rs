//! Runs the real Helm, apart from what the user has configured and from any cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

use crate::files;

/// The chart of the operator.
pub const OPERATOR: &str = "charts/corallite";
/// The chart of the definitions.
pub const DEFINITIONS: &str = "charts/corallite-crds";

/// The Helm program, fetched at the first call.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output =
            Command::new(files::path("scripts/helm-tools")).output().expect("scripts/helm-tools runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "these tests need helm, which could not be had: {said}\n\
             With a helm and a kubectl of your own: CORALLITE_HELM_TOOLS=FOLDER"
        );
        Path::new(String::from_utf8(output.stdout).unwrap().trim()).join("helm")
    })
}

fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, home.path());
    }
    command.env("KUBECONFIG", "/dev/null").current_dir(files::path("")).args(arguments);
    command.output().expect("helm runs")
}

/// What Helm prints.
pub fn say(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The manifests of a release `corallite` in namespace `control`, as text.
pub fn text(chart: &str, arguments: &[&str]) -> String {
    say(&[&["template", "corallite", chart, "--namespace", "control"], arguments].concat())
}

/// The same, read.
pub fn objects(chart: &str, arguments: &[&str]) -> Vec<Value> {
    let text = text(chart, arguments);
    let read = serde_yaml::from_multiple::<Value>(&text);
    let objects = read.unwrap_or_else(|error| panic!("{arguments:?} gives no YAML: {error}\n{text}"));
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// Why Helm does not render a chart.
pub fn refusal(chart: &str, arguments: &[&str]) -> String {
    let all = [&["template", "corallite", chart], arguments].concat();
    let output = run(&all);
    assert!(!output.status.success(), "helm takes {arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The only object of a kind.
#[track_caller]
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<_> = of_kind(objects, kind).collect();
    assert_eq!(found.len(), 1, "objects of kind {kind}: {found:#?}");
    found[0]
}

pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}
