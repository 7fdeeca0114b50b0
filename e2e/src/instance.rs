//! The folder, number and leftovers of one cluster on this machine.
//!
//! A number belongs to whoever holds the lock of its folder. Whoever gets it clears away what an
//! earlier owner that was killed has left: processes, mounts, network devices, files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::cgroup::Cgroups;
use crate::error::{Context, Error};
use crate::network::{CLUSTERS_MAX, Network};
use crate::process::{command, run};

/// One cluster's place on this machine.
pub(crate) struct Instance {
    pub(crate) dir: PathBuf,
    pub(crate) index: u8,
    /// Whether there may be nodes: the bridge is there.
    pub(crate) network: Option<Network>,
    _lock: File,
}

impl Instance {
    /// Takes the first free number. With `nodes` it makes the bridge, too.
    pub(crate) fn claim(nodes: bool) -> Result<Self, Error> {
        let base = std::env::temp_dir().join("corallite-e2e");
        fs::create_dir_all(&base).context(|| format!("creating {}", base.display()))?;
        let mut refused = String::new();
        for index in 0..CLUSTERS_MAX {
            let path = base.join(format!("{index}.lock"));
            let lock = File::create(&path).context(|| format!("creating {}", path.display()))?;
            if lock.try_lock().is_err() {
                continue;
            }
            let dir = base.join(index.to_string());
            let network = Network { index };
            clear(&dir, index);
            fs::create_dir_all(dir.join("logs")).context(|| format!("creating {}", dir.display()))?;
            if !nodes {
                return Ok(Self { dir, index, network: None, _lock: lock });
            }
            match network.create() {
                Ok(()) => return Ok(Self { dir, index, network: Some(network), _lock: lock }),
                Err(error) => refused = error.to_string(),
            }
        }
        Err(Error::Other(format!(
            "all {CLUSTERS_MAX} numbers of clusters are taken on this machine; {refused}"
        )))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        clear(&self.dir, self.index);
    }
}

/// Removes whatever a cluster of this number has on the machine; nothing is fine.
fn clear(dir: &Path, index: u8) {
    if rustix::process::geteuid().is_root() {
        if let Ok(cgroups) = Cgroups::find(&index.to_string()) {
            cgroups.remove();
        }
        Network { index }.remove();
        unmount_below(dir);
    }
    let _ = fs::remove_dir_all(dir);
}

/// Nodes have mounts of their own that go with their last process, so this finds something only when
/// a mount was made from outside of them.
fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for target in targets.filter(|target| Path::new(target).starts_with(dir)) {
        let _ = run(&mut command("umount", ["--lazy", target]));
    }
}
