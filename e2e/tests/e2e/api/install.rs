//! The charts, installed with the real Helm: the operator runs in a pod, with the rights that the
//! chart gives it and no others.

use std::path::{Path, PathBuf};
use std::process::Command;

use corallite_crds::ActorShard;
use corallite_e2e::{Case, Image};
use serde_json::json;

use crate::support::operator::binary;
use crate::support::shop::{CELL, SHOP, Shop, apply_shop, load_cell, wait_ready};

const OPERATOR: &str = "corallite/operator:e2e";

/// Runs Helm in the case's namespace.
async fn helm(case: &Case, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(tools(&root).join("helm"));
    command.args(["--namespace", case.namespace()]).args(arguments);
    command.env("KUBECONFIG", case.cluster().kubeconfig()).current_dir(root);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "helm {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn tools(root: &Path) -> PathBuf {
    let output = Command::new(root.join("scripts/helm-tools")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

#[tokio::test]
async fn api_the_charts_install_an_operator_that_serves() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let program = binary("corallite-operator").await;
    case.load(Image::of_program(OPERATOR, "/corallite-operator", &program).unwrap()).await;
    load_cell(&case, CELL).await;
    // The definitions are there: other tests use them at the same time.
    helm(&case, &["install", "corallite-crds", "charts/corallite-crds", "--take-ownership"]).await;
    let only_here = format!("watchNamespace={}", case.namespace());
    let values = [
        "image.operator.repository=corallite/operator,image.operator.tag=e2e",
        "image.cell.repository=corallite/cell,image.cell.tag=e2e,image.pullPolicy=Never",
        "cell.cpu=10m,cell.memory=256Mi,resources.requests.cpu=10m",
        &only_here,
    ];
    let mut install = vec!["install", "corallite", "charts/corallite", "--wait", "--timeout", "3m"];
    install.extend(values.iter().flat_map(|value| ["--set", value]));
    let said = helm(&case, &install).await;
    assert!(said.contains("kubectl"), "the notes tell what to do next: {said}");

    apply_shop(&case).await;
    wait_ready(&case).await;
    let shop = Shop::of(&case).await;
    shop.must("Product/lamp/create", &json!({ "name": "Lamp", "priceCents": 4900 }), "create-lamp").await;

    // Cells serve without the operator, and the definitions stay.
    helm(&case, &["uninstall", "corallite", "--wait", "--timeout", "3m"]).await;
    helm(&case, &["uninstall", "corallite-crds", "--timeout", "3m"]).await;
    assert!(case.api::<ActorShard>().get(SHOP).await.is_ok());
    shop.must("Inventory/lamp/receive", &json!({ "quantity": 3 }), "receive-lamp").await;
}
