//! What is said about behaviors and about manifests that do not fit them.

use std::fs;

use corallite_cell::behavior::ScriptErrorKind;
use tempfile::TempDir;

use super::*;

const SHARD: &str = "\
apiVersion: corallite.dev/v1alpha1
kind: ActorShard
metadata: { name: shop }
spec:
  store: { embedded: {} }
  actors:
    - type: Order
      behavior:
        source: |
          const one = 1;
          export default {};
      schema:
        jsonSchema:
          commands:
            place: { type: object }
            plaice: { type: nonsense }
      indexes: [{ name: byUser, field: userId }]
      reactions:
        - { name: a, on: User.Gone, to: { index: byUser, equals: event.id }, command: expire }
        - { name: b, on: Order.Gone, to: { index: byShop, equals: event.id }, command: place }
";

fn interface(_: &ActorSpec) -> Result<Interface, ScriptError> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    Ok(Interface {
        commands: names(&["place"]),
        internal: names(&["expire"]),
        events: names(&["OrderPlaced"]),
        state_version: 1,
        ..Interface::default()
    })
}

fn loaded(files: &[(&str, &str)]) -> (TempDir, Loaded) {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    let loaded = manifest::load(&[folder.path().to_owned()]);
    (folder, loaded)
}

/// The findings about the behaviors of the first shard, without the folder's name.
fn findings(
    files: &[(&str, &str)],
    compile: impl Fn(&ActorSpec) -> Result<Interface, ScriptError>,
) -> Vec<String> {
    let (folder, loaded) = loaded(files);
    let prefix = format!("{}/", folder.path().display());
    let shard = loaded.shards.first().unwrap_or_else(|| panic!("{:?}", loaded.findings));
    check_shard(shard, compile).iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

#[test]
fn schemas_and_reactions_must_fit_the_behavior() {
    let findings = findings(&[("shard.yaml", SHARD)], interface);
    let expected = [
        "shard.yaml:16:13: error: spec.actors[0].schema.jsonSchema.commands.plaice: not a JSON Schema: ",
        "shard.yaml:16:13: error: spec.actors[0].schema.jsonSchema.commands.plaice: the behavior has no such name in \
         commands; it has place, expire",
        "shard.yaml:19:22: error: spec.actors[0].reactions[0].on: the shard has no type User; it has Order",
        "shard.yaml:20:22: error: spec.actors[0].reactions[1].on: Order has no event Gone; it has OrderPlaced",
        "shard.yaml:20:44: error: spec.actors[0].reactions[1].to.index: Order has no index byShop; it has byUser",
        "shard.yaml:20:79: error: spec.actors[0].reactions[1].command: the behavior has no internal place; it has expire",
    ];
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
    for (finding, expected) in findings.iter().zip(expected) {
        assert!(finding.starts_with(expected), "{finding}\n  does not start with\n{expected}");
    }
}

fn fails_on_line(line: u32) -> impl Fn(&ActorSpec) -> Result<Interface, ScriptError> {
    move |actor| {
        let (kind, message) = (ScriptErrorKind::Load, "unexpected token".to_owned());
        Err(ScriptError { kind, file: actor.file.clone(), line, message })
    }
}

#[test]
fn a_script_error_points_into_the_manifest_that_holds_the_script() {
    let shard = SHARD.split("      schema:").next().expect("a first part");
    assert_eq!(
        findings(&[("shard.yaml", shard)], fails_on_line(2)),
        ["shard.yaml:11:1: error: Order: unexpected token"]
    );
    // Without a line, at the start of the script.
    assert_eq!(
        findings(&[("shard.yaml", shard)], fails_on_line(0)),
        ["shard.yaml:10:11: error: Order: unexpected token"]
    );
    // A folded script has no lines of its own.
    assert_eq!(
        findings(&[("shard.yaml", &shard.replace("source: |", "source: >"))], fails_on_line(2)),
        ["shard.yaml:10:11: error: Order: unexpected token"]
    );
}

#[test]
fn a_script_error_points_into_the_file_that_holds_the_script() {
    let shard = SHARD.split("      behavior:").next().expect("a first part").to_owned()
        + "      behavior: { configMapKeyRef: { name: code, key: order.js } }\n";
    let kustomization = "configMapGenerator:\n- name: code\n  files: [order.js]\n  options: { disableNameSuffixHash: true }\n";
    let files =
        [("shard.yaml", shard.as_str()), ("kustomization.yml", kustomization), ("order.js", "\n\n!\n")];
    assert_eq!(findings(&files, fails_on_line(3)), ["order.js:3:1: error: Order: unexpected token"]);
}

/// What the real engine says about a shard whose one inline behavior is this.
fn inline(script: &str) -> Vec<String> {
    let top = SHARD.split("          const one").next().expect("a first part");
    let lines: String = script.lines().map(|line| format!("          {line}\n")).collect();
    checked(&[("shard.yaml", &format!("{top}{lines}"))])
}

/// Everything that is said about some files, without the folder's name.
fn checked(files: &[(&str, &str)]) -> Vec<String> {
    let (folder, _) = loaded(files);
    let prefix = format!("{}/", folder.path().display());
    let checked = check(&[folder.path().to_owned()]);
    checked.findings.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect()
}

#[test]
fn behaviors_are_really_compiled() {
    for (script, finding) in [
        ("const one = 1;", "shard.yaml:10:11: error: Order: "),
        ("export default {\n  initial: 0,\n  commands: { f( },\n};", "shard.yaml:12:1: error: Order: "),
        (
            "\n\nthrow new Error('at once');\nexport default { initial: 0 };",
            "shard.yaml:12:1: error: Order: ",
        ),
        ("export default { initial: 0, comands: {} };", "unknown member comands"),
        ("export default { initial: () => { for (;;) {} } };", "error: Order: "),
        ("import fs from 'fs';\nexport default { initial: 0 };", "a behavior is one module"),
    ] {
        let findings = inline(script);
        assert_eq!(findings.len(), 1, "{script}: {findings:#?}");
        assert!(findings[0].contains(finding), "{script}: {findings:#?}");
    }
    assert_eq!(inline("export default { initial: 0 };"), [""; 0]);
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let shard = SHARD.split("      behavior:").next().expect("a first part").to_owned()
        + "      behavior: { configMapKeyRef: { name: code, key: order.js } }\n";
    let kustomization = "configMapGenerator:\n- name: code\n  files: [order.js]\n  options: { disableNameSuffixHash: true }\n";
    let script = "export default {\n  initial: {},\n  events: {\n    A: (s, e) => s + ,\n  },\n};\n";
    let files = [("shard.yaml", shard.as_str()), ("kustomization.yml", kustomization), ("order.js", script)];
    let findings = checked(&files);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].starts_with("order.js:4:1: error: Order: "), "{findings:#?}");
}

#[test]
fn a_schema_that_is_none_is_said_once_and_hides_no_script_error() {
    let shard = SHARD.split("      indexes:").next().expect("a first part");
    let findings = checked(&[("shard.yaml", &shard.replace("export default {}", "export default {"))]);
    let of = |what: &str| findings.iter().filter(|finding| finding.contains(what)).count();
    assert_eq!((of("not a JSON Schema"), of("error: Order: ")), (1, 1), "{findings:#?}");
}

#[test]
fn the_example_has_no_errors() {
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
    let checked = check(&[shop]);
    assert!(!checked.has_errors(), "{:#?}", checked.findings);
    assert_eq!(checked.shards.iter().map(|shard| shard.spec.actors.len()).sum::<usize>(), 5);
}

#[test]
fn the_summary_counts() {
    let (_folder, mut loaded) = loaded(&[("shard.yaml", SHARD)]);
    assert_eq!(summary(&loaded), "checked 1 file: 1 shard with 1 actor type, 0 views; 0 errors, 2 warnings");
    let place = loaded.shards[0].place("spec.cells");
    loaded.findings.push(Finding::error(place, "x"));
    assert_eq!(summary(&loaded), "checked 1 file: 1 shard with 1 actor type, 0 views; 1 error, 2 warnings");
}
