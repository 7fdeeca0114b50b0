//! What this machine lacks for nodes. The API server alone needs nothing but Go.

use std::fs;
use std::sync::OnceLock;

use crate::cgroup::Cgroups;
use crate::node::cni_plugins;
use crate::process::{command, run};

/// Programs that a node needs, and the machine to connect it.
const TOOLS: [&str; 11] =
    ["containerd", "ctr", "runc", "nft", "ip", "nsenter", "unshare", "setpriv", "mount", "umount", "sysctl"];

/// Reasons why no node can run here; empty if nodes can. Looked at once.
#[must_use]
pub fn missing_for_nodes() -> Vec<String> {
    static MISSING: OnceLock<Vec<String>> = OnceLock::new();
    MISSING.get_or_init(look).clone()
}

fn look() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return vec!["not root: nodes need namespaces, mounts and control groups".into()];
    }
    let mut missing: Vec<String> = Vec::new();
    let tools: Vec<_> = TOOLS.into_iter().filter(|tool| !installed(tool)).collect();
    if !tools.is_empty() {
        missing.push(format!("not installed: {} (e2e/install-node-tools installs them)", tools.join(", ")));
    }
    if let Err(error) = cni_plugins() {
        missing.push(format!("{error} (e2e/install-node-tools installs them)"));
    }
    // Others may look at the same time.
    let probe = format!("probe-{}", std::process::id());
    if let Err(error) = Cgroups::find(&probe).and_then(|cgroups| {
        let created = cgroups.create("probe");
        cgroups.remove();
        created
    }) {
        missing.push(format!("control groups cannot be made: {error}"));
    }
    if let Err(error) = run(&mut command("unshare", ["--net", "--mount", "true"])) {
        missing.push(format!("namespaces cannot be made: {error}"));
    }
    missing
}

fn installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| fs::metadata(dir.join(tool)).is_ok_and(|file| file.is_file()))
}
