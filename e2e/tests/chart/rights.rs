//! What the operator may do, and who may do what with its resources.

use corallite_operator::kind::Kind;
use serde_json::{Value, json};

use crate::{files, helm};

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = helm::of_kind(objects, kind).filter(|object| object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Whether a role's rules allow it.
fn allows(role: &Value, group: &str, resource: &str, verb: &str) -> bool {
    let has = |rule: &Value, key: &str, value: &str| rule[key].as_array().unwrap().contains(&json!(value));
    role["rules"].as_array().unwrap().iter().any(|rule| {
        has(rule, "apiGroups", group) && has(rule, "resources", resource) && has(rule, "verbs", verb)
    })
}

#[test]
fn the_operator_may_do_what_it_does_to_every_kind_of_child() {
    let objects = helm::objects(helm::OPERATOR, &[]);
    let role = named(&objects, "ClusterRole", "corallite-operator");
    for kind in Kind::ALL {
        let resource = kind.resource();
        for verb in ["list", "watch", "create", "patch", "delete"] {
            assert!(allows(role, &resource.group, &resource.plural, verb), "{verb} {}", resource.plural);
        }
    }
    for (group, resource, verb) in [
        ("corallite.dev", "actorshards", "watch"),
        ("corallite.dev", "actorshards/status", "patch"),
        ("", "configmaps", "get"),
        ("", "secrets", "get"),
        ("", "pods", "patch"),
        ("", "pods", "delete"),
        ("events.k8s.io", "events", "create"),
    ] {
        assert!(allows(role, group, resource, verb), "{verb} {resource}");
    }
}

#[test]
fn the_operator_may_do_no_more() {
    let text = helm::text(helm::OPERATOR, &[]);
    assert!(!text.contains("[\"*\"]") && !text.contains("['*']") && !text.contains("- '*'"), "a wildcard");
    let objects = helm::objects(helm::OPERATOR, &[]);
    let role = named(&objects, "ClusterRole", "corallite-operator");
    for (group, resource, verb) in [
        ("corallite.dev", "actorshards", "patch"),
        ("corallite.dev", "actorshards", "delete"),
        ("", "pods", "create"),
        ("", "persistentvolumeclaims", "delete"),
        ("rbac.authorization.k8s.io", "roles", "create"),
        ("coordination.k8s.io", "leases", "update"),
    ] {
        assert!(!allows(role, group, resource, verb), "{verb} {resource}");
    }
    let lease = named(&objects, "Role", "corallite-operator-lease");
    let names = lease["rules"].as_array().unwrap().iter().filter(|rule| rule["verbs"] != json!(["create"]));
    for rule in names {
        assert_eq!(rule["resourceNames"], json!(["corallite-operator"]), "of one Lease only");
    }
    assert_eq!(lease["metadata"]["namespace"], "control");
}

#[test]
fn the_lease_of_the_role_is_the_lease_of_the_operator() {
    let objects = helm::objects(helm::OPERATOR, &["--set", "operator.leaseName=lead"]);
    let lease = named(&objects, "Role", "corallite-operator-lease");
    assert_eq!(lease["rules"][1]["resourceNames"], json!(["lead"]));
}

#[test]
fn one_watched_namespace_is_the_only_one_with_rights() {
    let objects = helm::objects(helm::OPERATOR, &["--set", "watchNamespace=shops,rbac.aggregate=false"]);
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert_eq!(helm::of_kind(&objects, kind).count(), 0, "{kind}");
    }
    let everywhere = helm::objects(helm::OPERATOR, &[]);
    let role = named(&objects, "Role", "corallite-operator");
    assert_eq!(role["metadata"]["namespace"], "shops");
    assert_eq!(role["rules"], named(&everywhere, "ClusterRole", "corallite-operator")["rules"]);
    let binding = named(&objects, "RoleBinding", "corallite-operator");
    assert_eq!(binding["metadata"]["namespace"], "shops");
    assert_eq!(binding["roleRef"]["kind"], "Role");
    let account = helm::only(&objects, "ServiceAccount");
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(binding["subjects"][0]["namespace"], "control");
}

#[test]
fn every_rule_has_its_reason_above_it() {
    let mut rules = 0;
    for file in ["_rules.tpl", "rbac.yaml", "aggregate.yaml"] {
        let text = files::read(&format!("charts/corallite/templates/{file}"));
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("- apiGroups:")) {
            rules += 1;
            assert!(lines[index - 1].starts_with("# "), "{file}:{}: a right without a reason", index + 1);
        }
    }
    let objects = helm::objects(helm::OPERATOR, &[]);
    let roles = helm::of_kind(&objects, "ClusterRole").chain(helm::of_kind(&objects, "Role"));
    assert_eq!(rules, roles.map(|role| role["rules"].as_array().unwrap().len()).sum::<usize>());
}

#[test]
fn people_get_rights_by_the_roles_they_have() {
    let objects = helm::objects(helm::OPERATOR, &[]);
    let viewer = named(&objects, "ClusterRole", "corallite-viewer");
    let editor = named(&objects, "ClusterRole", "corallite-editor");
    let label = |role: &Value, of: &str| {
        role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{of}")] == "true"
    };
    assert!(label(viewer, "view") && !label(viewer, "edit"));
    assert!(label(editor, "edit") && label(editor, "admin") && !label(editor, "view"));
    for resource in ["actorshards", "views"] {
        assert!(allows(viewer, "corallite.dev", resource, "watch"));
        assert!(!allows(viewer, "corallite.dev", resource, "patch"));
        assert!(allows(editor, "corallite.dev", resource, "patch"));
        assert!(!allows(editor, "corallite.dev", &format!("{resource}/status"), "patch"), "the operator's");
    }
    assert!(allows(editor, "corallite.dev", "actorshards/scale", "patch"), "kubectl scale");
}
