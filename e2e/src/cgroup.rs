//! The control groups of a cluster: where its containers live, and how all of them are found again.
//!
//! Works with version 1 (each controller its own hierarchy) and version 2. Every process of a
//! cluster's nodes is in `/corallite-<i>` of some hierarchy, whatever became of its parent, so killing
//! those processes by id leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Context, Error};

/// How long killed processes may take to go.
const KILL_WITHIN: Duration = Duration::from_secs(10);

/// The control groups of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    name: String,
    /// One for version 2, one per controller for version 1.
    hierarchies: Vec<PathBuf>,
    /// A version 2 beside version 1, without controllers: only containerd makes groups there.
    beside: Vec<PathBuf>,
}

impl Cgroups {
    /// Finds what the machine has, for the cluster of this name. Creates nothing.
    pub(crate) fn find(cluster: &str) -> Result<Self, Error> {
        let mounts =
            fs::read_to_string("/proc/self/mounts").context(|| "reading /proc/self/mounts".into())?;
        let of = |kind: &str| -> Vec<PathBuf> {
            let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            lines.filter(|words| words.get(2) == Some(&kind)).map(|words| PathBuf::from(words[1])).collect()
        };
        let (version_1, version_2) = (of("cgroup"), of("cgroup2"));
        let (hierarchies, beside) =
            if version_1.is_empty() { (version_2, Vec::new()) } else { (version_1, version_2) };
        if hierarchies.is_empty() {
            return Err(Error::Other("no cgroup hierarchy is mounted".into()));
        }
        Ok(Self { name: format!("corallite-{cluster}"), hierarchies, beside })
    }

    /// Makes the groups of a node and returns the kubelet's `cgroupRoot`.
    pub(crate) fn create(&self, node: &str) -> Result<String, Error> {
        let root = format!("/{}/{node}", self.name);
        for hierarchy in &self.hierarchies {
            let dir = hierarchy.join(root.trim_start_matches('/'));
            fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
            delegate(hierarchy, &hierarchy.join(&self.name));
        }
        Ok(root)
    }

    /// The `cgroup.procs` of a group beside the pods' for a node's own processes.
    pub(crate) fn runtime_procs(&self, node: &str) -> Result<PathBuf, Error> {
        let dir = self.hierarchies[0].join(&self.name).join(format!("{node}-runtime"));
        fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
        if let Some(parent) = dir.parent().filter(|parent| parent.join("cpuset.cpus").exists()) {
            inherit_cpus(parent);
            inherit_cpus(&dir);
        }
        Ok(dir.join("cgroup.procs"))
    }

    /// Kills every process of the cluster's nodes, waits until they are gone, and removes the groups.
    pub(crate) fn remove(&self) {
        let started = Instant::now();
        loop {
            let processes: Vec<i32> = self.roots().iter().flat_map(|root| processes(root)).collect();
            if processes.is_empty() || started.elapsed() > KILL_WITHIN {
                break;
            }
            for process in processes.into_iter().filter_map(Pid::from_raw) {
                let _ = kill_process(process, Signal::KILL);
            }
            sleep(Duration::from_millis(20));
        }
        self.roots().iter().for_each(|root| remove_tree(root));
    }

    fn roots(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().chain(&self.beside).map(|hierarchy| hierarchy.join(&self.name)).collect()
    }
}

/// Version 2 gives a child only the controllers that its parent names. Best effort: a controller that
/// cannot be given is missed by the kubelet, which says so.
fn delegate(hierarchy: &Path, parent: &Path) {
    let Ok(controllers) = fs::read_to_string(hierarchy.join("cgroup.controllers")) else { return };
    for controller in controllers.split_whitespace() {
        for dir in [hierarchy, parent] {
            let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// Version 1 makes cpuset groups empty, and no process can enter one without processors.
fn inherit_cpus(dir: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let above = dir.parent().and_then(|parent| fs::read_to_string(parent.join(file)).ok());
        let _ = fs::write(dir.join(file), above.unwrap_or_default().trim());
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn processes(dir: &Path) -> Vec<i32> {
    let own = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let own: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    own.into_iter().chain(children(dir).iter().flat_map(|child| processes(child))).collect()
}

fn remove_tree(dir: &Path) {
    children(dir).iter().for_each(|child| remove_tree(child));
    // A control group is removed by rmdir although it shows files.
    let _ = fs::remove_dir(dir);
}
