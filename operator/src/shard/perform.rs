//! What is done to cells: they are asked, told of a new configuration, and replaced.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::cells::Cell;
use super::validate::Plan;
use crate::certificates::{Pair, Turned};
use crate::context::Context;
use crate::control::{Line, Report};
use crate::error::Error;
use crate::names::{self, ANNOTATION_CONFIG};

/// Cells of a shard that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// Asks every cell that has an address what it serves. One that does not answer has no report, and
/// nothing else comes of it: Kubernetes' own view goes on to count.
///
/// # Errors
/// The operator's certificate cannot be made.
pub async fn ask(context: &Context, plan: &Plan, keys: &Turned, cells: &mut [Cell]) -> Result<(), Error> {
    if cells.iter().all(|cell| cell.address.is_none()) {
        return Ok(());
    }
    let identity = keys.ring.operator((context.clock)())?;
    let lines: Vec<_> = cells.iter().map(|cell| line(plan, keys, &identity, cell)).collect();
    let asked = lines.into_iter().map(|line| ask_one(context, line));
    let reports: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).collect().await;
    for (cell, report) in cells.iter_mut().zip(reports) {
        cell.report = report;
    }
    Ok(())
}

async fn ask_one(context: &Context, line: Option<Line>) -> Option<Report> {
    let line = line?;
    match context.control.status(&line).await {
        Ok(report) => Some(report),
        Err(error) => {
            context.metrics.control_failed("status");
            tracing::debug!(name = line.name, address = %line.address, %error, "cell does not answer");
            None
        }
    }
}

/// Marks the pods with the configuration that they should have. The kubelet looks at a changed pod at
/// once, and brings the ConfigMap up to date by the way; otherwise that takes up to a minute or two.
///
/// # Errors
/// A pod cannot be written. One that is gone meanwhile is no error.
pub async fn tell(context: &Context, plan: &Plan, cells: &mut [Cell]) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &plan.namespace);
    let hash = plan.config_hash();
    for cell in cells.iter_mut().filter(|cell| cell.leaves_by.is_none() && cell.config_hash != hash) {
        let body = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": cell.name, "uid": cell.uid, "annotations": { ANNOTATION_CONFIG: hash } },
        });
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        match api.patch(&cell.name, &params, &Patch::Apply(&body)).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            result => {
                let pod = result.map_err(Error::of(format!("annotate Pod {}", cell.name)))?;
                context.metrics.wrote("Pod");
                cell.resource_version = pod.metadata.resource_version.unwrap_or_default();
                hash.clone_into(&mut cell.config_hash);
            }
        }
    }
    Ok(())
}

/// Deletes a cell's pod, after it was drained if it serves. Its StatefulSet makes the new one.
///
/// # Errors
/// The pod cannot be deleted. One that changed since it was looked at is looked at again.
pub async fn replace(
    context: &Context,
    plan: &Plan,
    keys: &Turned,
    cell: &Cell,
    drain: bool,
) -> Result<(), Error> {
    if drain {
        self::drain(context, plan, keys, cell).await?;
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &plan.namespace);
    // The version matters where readiness decided: a cell may have become ready since. A drain changes
    // readiness itself, so after it only the pod's identity counts.
    let version = (!drain).then(|| cell.resource_version.clone());
    let only_this = Preconditions { uid: Some(cell.uid.clone()), resource_version: version };
    match api.delete(&cell.name, &DeleteParams::default().preconditions(only_this)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => {
            result.map_err(Error::of(format!("delete Pod {}", cell.name)))?;
            context.metrics.cell_replaced();
            tracing::info!(namespace = plan.namespace, cell = cell.name, drain, "cell replaced");
            Ok(())
        }
    }
}

/// Drains a cell as well as it goes. A cell that cannot be asked is stopped all the same: SIGTERM is a
/// drain request too.
async fn drain(context: &Context, plan: &Plan, keys: &Turned, cell: &Cell) -> Result<(), Error> {
    let identity = keys.ring.operator((context.clock)())?;
    let Some(line) = line(plan, keys, &identity, cell) else { return Ok(()) };
    if let Err(error) = context.control.drain(&line).await {
        context.metrics.control_failed("drain");
        tracing::warn!(namespace = plan.namespace, cell = cell.name, %error, "drain failed; the cell is stopped without");
    }
    Ok(())
}

fn line(plan: &Plan, keys: &Turned, identity: &Pair, cell: &Cell) -> Option<Line> {
    Some(Line {
        address: (cell.address.filter(|_| cell.leaves_by.is_none())?, names::PORT_PEERS).into(),
        name: names::peers_dns(&plan.name, &plan.namespace),
        trust: keys.ring.bundle(),
        identity: identity.clone(),
    })
}
