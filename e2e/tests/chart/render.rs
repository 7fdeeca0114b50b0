//! What the operator's chart renders to, by default and otherwise.

use clap::Parser;
use corallite_operator::config::{Arguments, Command, Run};
use serde_json::{Value, json};

use crate::{files, helm};

/// What the operator makes of the container's arguments, by its real command line.
fn run_of(objects: &[Value]) -> Run {
    let arguments = &container(objects)["args"];
    let arguments = arguments.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let parsed = Arguments::try_parse_from(["corallite-operator"].into_iter().chain(arguments));
    let Command::Run(run) = parsed.unwrap_or_else(|error| panic!("{error}")).command;
    *run
}

fn container(objects: &[Value]) -> &Value {
    &pod(objects)["containers"][0]
}

fn pod(objects: &[Value]) -> &Value {
    &helm::only(objects, "Deployment")["spec"]["template"]["spec"]
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    for chart in [helm::OPERATOR, helm::DEFINITIONS] {
        helm::say(&["lint", "--strict", chart]);
    }
}

#[test]
fn the_default_is_one_operator_for_all_namespaces() {
    let objects = helm::objects(helm::OPERATOR, &[]);
    let mut kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = [
        "ClusterRole",
        "ClusterRole",
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ];
    assert_eq!(kinds, expected);
    let run = run_of(&objects);
    assert_eq!(run.cell_image, format!("corallite/cell:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!((run.watch_namespace, run.lease_name), (None, "corallite-operator".to_owned()));
    assert_eq!(helm::only(&objects, "Deployment")["spec"]["replicas"], 1);
    for object in &objects {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/instance"], "corallite", "{object}");
    }
}

#[test]
fn the_pod_may_do_nothing_but_its_work() {
    let objects = helm::objects(helm::OPERATOR, &[]);
    let expected = json!({
        "runAsNonRoot": true, "runAsUser": 65_532, "runAsGroup": 65_532, "fsGroup": 65_532,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    assert_eq!(pod(&objects)["securityContext"], expected);
    let expected = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    let container = container(&objects);
    assert_eq!(container["securityContext"], expected);
    for amount in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
        assert!(container["resources"].pointer(amount).is_some(), "no {amount}");
    }
    assert_eq!(container["livenessProbe"]["httpGet"], json!({ "path": "/livez", "port": "admin" }));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({ "path": "/readyz", "port": "admin" }));
    let port = container["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(u64::from(run_of(&objects).admin.port()), port, "probes go where the operator listens");
    let fields = [("POD_NAMESPACE", "metadata.namespace"), ("POD_NAME", "metadata.name")];
    for (variable, field) in fields {
        let env = container["env"].as_array().unwrap().iter().find(|env| env["name"] == variable);
        assert_eq!(env.unwrap()["valueFrom"]["fieldRef"]["fieldPath"], field);
    }
}

#[test]
fn every_flag_is_the_operators() {
    let set = [
        "image.operator.repository=r.example/operator,image.operator.tag=e2e,image.cell.repository=r.example/cell",
        "image.cell.tag=e2e,image.pullPolicy=Never,image.cell.pullSecrets={one,two},image.pullSecrets={three}",
        "watchNamespace=shops,cell.cpu=2,cell.memory=1Gi,operator.workers=8,operator.leaseName=lead",
        "operator.rolloutDeadline=1m30s,operator.certificates.life=24h,operator.certificates.authorityLife=48h",
        "operator.certificates.settle=5s,operator.log=debug",
    ];
    let objects = helm::objects(helm::OPERATOR, &["--set", &set.join(",")]);
    let run = run_of(&objects);
    assert_eq!(container(&objects)["image"], "r.example/operator:e2e");
    assert_eq!(container(&objects)["imagePullPolicy"], "Never");
    assert_eq!(pod(&objects)["imagePullSecrets"], json!([{ "name": "three" }]));
    assert_eq!(
        (run.cell_image.as_str(), run.cell_image_pull_policy.as_str()),
        ("r.example/cell:e2e", "Never")
    );
    assert_eq!(run.cell_image_pull_secret, ["one", "two"]);
    assert_eq!((run.cell_cpu.as_str(), run.cell_memory.to_string().as_str()), ("2", "1Gi"));
    assert_eq!((run.watch_namespace.as_deref(), run.lease_name.as_str()), (Some("shops"), "lead"));
    assert_eq!((run.workers, run.rollout_deadline.as_secs(), run.log.as_str()), (8, 90, "debug"));
    let seconds = [run.certificate_life, run.authority_life, run.certificate_settle].map(|it| it.as_secs());
    assert_eq!(seconds, [86_400, 172_800, 5]);
}

#[test]
fn a_digest_is_stronger_than_a_tag() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let set = format!("image.operator.tag=x,image.operator.digest={digest},image.cell.digest={digest}");
    let objects = helm::objects(helm::OPERATOR, &["--set", &set]);
    assert_eq!(container(&objects)["image"], format!("corallite/operator@{digest}"));
    assert_eq!(run_of(&objects).cell_image, format!("corallite/cell@{digest}"));
}

#[test]
fn several_replicas_are_spread_and_not_all_evicted() {
    let objects = helm::objects(helm::OPERATOR, &["--set", "replicas=2"]);
    assert_eq!(helm::only(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    assert!(pod(&objects)["topologySpreadConstraints"].is_array());
    let one = helm::objects(helm::OPERATOR, &[]);
    assert_eq!(helm::of_kind(&one, "PodDisruptionBudget").count(), 0, "it would block every drain");
}

#[test]
fn what_watches_it_comes_when_asked_for() {
    let set = "metrics.serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true,\
               prometheusRule.runbookBaseUrl=https://x.example/rb,prometheusRule.disabled={CoralliteDeadLetters}";
    let objects = helm::objects(helm::OPERATOR, &["--set", set]);
    let rules = &helm::only(&objects, "PrometheusRule")["spec"]["groups"][0]["rules"];
    let mut files = files::all("charts/corallite/alerts", "yaml");
    files.remove("CoralliteDeadLetters").unwrap();
    assert_eq!(rules.as_array().unwrap().len(), files.len());
    for rule in rules.as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        let mut file: Value = serde_yaml::from_str(&files[name]).unwrap();
        file["annotations"]["runbook_url"] = format!("https://x.example/rb/{name}.md").into();
        assert_eq!(*rule, file, "the rule is its file");
    }
    let dashboards = files::all("charts/corallite/dashboards", "json");
    let maps: Vec<_> = helm::of_kind(&objects, "ConfigMap").collect();
    assert_eq!(maps.len(), dashboards.len());
    for (map, (name, text)) in maps.iter().zip(&dashboards) {
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(map["data"][format!("corallite-{name}.json")].as_str().unwrap().trim(), text.trim());
    }
    let selector = &helm::only(&objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let service = helm::only(&objects, "Service");
    for (label, value) in selector.as_object().unwrap() {
        assert_eq!(service["metadata"]["labels"][label], *value);
    }
    let port = &helm::only(&objects, "ServiceMonitor")["spec"]["endpoints"][0]["port"];
    assert_eq!(service["spec"]["ports"][0]["name"], *port);
}

#[test]
fn the_notes_tell_what_comes_next() {
    let install = ["install", "corallite", "--namespace", "control", "--dry-run=client", "--set"];
    let notes = helm::say(&[&install[..], &["watchNamespace=shops", helm::OPERATOR]].concat());
    for line in [
        "kubectl --namespace control rollout status deployment/corallite-operator",
        "helm install corallite-crds charts/corallite-crds",
        "kubectl --namespace shops apply -k examples/shop",
    ] {
        assert!(notes.contains(line), "{line} is not in\n{notes}");
    }
    let notes = helm::say(&[&install[..], &["keep=false", helm::DEFINITIONS]].concat());
    assert!(notes.contains("helm install corallite charts/corallite") && notes.contains("EVERY ActorShard"));
}
