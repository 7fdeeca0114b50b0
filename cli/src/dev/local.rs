//! What a manifest asks of a cluster and a run on this machine does not do.

use crate::manifest::{Finding, LoadedShard};

/// One warning for each setting that has no effect here.
pub fn differences(shard: &LoadedShard) -> Vec<Finding> {
    let spec = &shard.object.spec;
    let mut findings = Vec::new();
    if spec.store.foundationdb.is_some() {
        let path = "spec.store.foundationdb";
        let message = format!(
            "{path}: a local run keeps the shard in the embedded store on this machine; the FoundationDB \
             cluster is neither read nor written"
        );
        findings.push(Finding::warning(shard.place(path), message));
    }
    if spec.cells > 1 {
        let message =
            format!("spec.cells: {} are declared; a local run serves every bucket from one cell", spec.cells);
        findings.push(Finding::warning(shard.place("spec.cells"), message));
    }
    findings
}
