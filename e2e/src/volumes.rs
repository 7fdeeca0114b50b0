//! Volumes for claims: a folder of the machine per claim, on the node where the pod was placed.
//!
//! Does what a provisioner of local volumes does, and no more: sizes are not enforced, a volume
//! cannot grow, and it can be used on one node only. It is the default StorageClass.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::error::{Context, Error};
use crate::say;

/// The name of the StorageClass, its provisioner, and the field manager.
const NAME: &str = "e2e.corallite.dev";

/// How often claims are looked at.
const EVERY: Duration = Duration::from_millis(250);

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Makes the StorageClass.
pub(crate) async fn create_class(client: &Client) -> Result<(), Error> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": NAME, "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
        "provisioner": NAME,
        "reclaimPolicy": "Delete",
        // A volume is made where the pod was placed, not the other way round.
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    let classes: Api<StorageClass> = Api::all(client.clone());
    let applied = classes.patch(NAME, &PatchParams::apply(NAME), &Patch::Apply(class)).await;
    applied.map(drop).context(|| "applying the StorageClass".into())
}

/// Makes and removes volumes in `dir` for as long as it is polled.
pub(crate) async fn provision(client: Client, dir: PathBuf) {
    let mut last = String::new();
    loop {
        match round(&client, &dir).await {
            Ok(()) => last.clear(),
            // The API server may be restarting; the same words once.
            Err(error) if error.to_string() != last => {
                last = error.to_string();
                say(&format!("volumes: {last}"));
            }
            Err(_) => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn round(client: &Client, dir: &Path) -> Result<(), Error> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let listed = claims.list(&ListParams::default()).await.context(|| "listing claims".into())?;
    let waiting = listed.items.iter().filter(|claim| {
        let spec = claim.spec.as_ref();
        spec.and_then(|spec| spec.storage_class_name.as_deref()) == Some(NAME)
            && spec.is_some_and(|spec| spec.volume_name.is_none())
    });
    for claim in waiting {
        let Some(node) = claim.annotations().get("volume.kubernetes.io/selected-node") else { continue };
        let name = format!("pvc-{}", claim.uid().unwrap_or_default());
        if volumes.get_opt(&name).await.context(|| format!("reading volume {name}"))?.is_none() {
            let path = dir.join(&name);
            fs::create_dir_all(&path).context(|| format!("creating {}", path.display()))?;
            let volume = volume(&name, claim, node, &path)?;
            volumes
                .create(&PostParams::default(), &volume)
                .await
                .context(|| format!("creating volume {name}"))?;
        }
    }
    let listed = volumes.list(&ListParams::default()).await.context(|| "listing volumes".into())?;
    let released = listed.items.iter().filter(|volume| {
        volume.annotations().get(PROVISIONED_BY).is_some_and(|by| by == NAME)
            && volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Released")
    });
    for volume in released {
        let name = volume.name_any();
        let _ = fs::remove_dir_all(dir.join(&name));
        volumes
            .delete(&name, &DeleteParams::default())
            .await
            .context(|| format!("deleting volume {name}"))?;
    }
    Ok(())
}

fn volume(
    name: &str,
    claim: &PersistentVolumeClaim,
    node: &str,
    path: &Path,
) -> Result<PersistentVolume, Error> {
    let spec = claim.spec.clone().unwrap_or_default();
    let capacity: BTreeMap<_, _> =
        spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let volume = json!({
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: NAME } },
        "spec": {
            "capacity": capacity,
            "accessModes": spec.access_modes,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": NAME,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(),
                "name": claim.name_any(),
                "uid": claim.uid(),
            },
            "local": { "path": path },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
            ]}]}},
        },
    });
    serde_json::from_value(volume).map_err(|error| Error::Other(format!("making a volume: {error}")))
}
