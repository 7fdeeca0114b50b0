//! A node: containerd, the kubelet and kube-proxy in a network and mount namespace of their own.
//!
//! The namespaces are held by a process that sleeps. Inside, the usual folders of a node
//! (`/var/lib/kubelet`, `/run/containerd`, …) are folders of the cluster, so several nodes and a
//! machine's own container engine do not meet. Mounts that a node makes are seen by it alone and go
//! with its last process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cgroup::Cgroups;
use crate::error::{Context, Error};
use crate::instance::Instance;
use crate::network::{Network, inside};
use crate::plane::Plane;
use crate::process::{Process, command, run};

/// The image that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "corallite.dev/pause:e2e";

/// Folders that every node has for itself, and must exist on the machine to be covered.
const OWN_FOLDERS: [&str; 8] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/run/containerd",
    "/run/netns",
    "/etc/cni/net.d",
];

const SOCKET: &str = "/run/containerd/containerd.sock";

/// How long containerd may take until it answers.
const RUNTIME_WITHIN: Duration = Duration::from_secs(30);

/// A node and its processes.
pub(crate) struct Node {
    pub(crate) number: u8,
    name: String,
    dir: PathBuf,
    logs: PathBuf,
    network: Network,
    cgroups: Cgroups,
    holder: Process,
    processes: Vec<Process>,
}

impl Node {
    /// Makes the namespaces, connects them and starts containerd. Needs no API server.
    pub(crate) fn start(
        instance: &Instance,
        network: Network,
        number: u8,
        others: &[Self],
    ) -> Result<Self, Error> {
        let name = format!("node-{number}");
        let dir = instance.dir.join(&name);
        let logs = instance.logs();
        fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
        let holder = hold(&name, &logs)?;
        let cgroups = Cgroups::find(&instance.index.to_string())?;
        let mut node = Self { number, name, dir, logs, network, cgroups, holder, processes: Vec::new() };
        let others: Vec<_> = others.iter().map(|other| (other.number, other.holder.id())).collect();
        network.connect(number, node.holder.id(), &others)?;
        node.cover_folders()?;
        node.start_runtime()?;
        Ok(node)
    }

    /// Starts the kubelet and kube-proxy.
    pub(crate) fn join(&mut self, plane: &Plane, binary: &Path) -> Result<(), Error> {
        let user = format!("system:node:{}", self.name);
        let kubelet = plane.pki.kubeconfig(&self.name, &user, "system:nodes", plane.server())?;
        let root = self.cgroups.create(&self.name)?;
        let resolv = self.write("resolv.conf", "")?;
        let config = kubelet_config(self.network, self.number, &root, &resolv, &plane.pki.path("ca.crt"));
        let config = self.write("kubelet.yaml", &config.to_string())?;
        let mut start = self.inside(binary);
        start.arg("kubelet").arg("--config").arg(config).arg("--kubeconfig").arg(kubelet);
        start.arg(format!("--hostname-override={}", self.name));
        start.arg(format!("--node-ip={}", self.network.node(self.number)));
        self.spawn("kubelet", &start)?;

        let name = format!("{}-proxy", self.name);
        let proxy = plane.pki.kubeconfig(&name, "system:kube-proxy", "", plane.server())?;
        let config =
            self.write("kube-proxy.yaml", &proxy_config(self.network, &self.name, &proxy).to_string())?;
        let mut start = self.inside(binary);
        start.arg("kube-proxy").arg("--config").arg(config);
        self.spawn("kube-proxy", &start)
    }

    /// Makes the image of an archive known to the node.
    pub(crate) fn import(&self, archive: &Path) -> Result<(), Error> {
        let archive = archive.display().to_string();
        let arguments = ["--address", SOCKET, "--namespace", "k8s.io", "images", "import", &archive];
        run(&mut inside(self.holder.id(), "ctr", &arguments)).map(drop)
    }

    /// All processes.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.processes.iter_mut()
    }

    fn cover_folders(&self) -> Result<(), Error> {
        for folder in OWN_FOLDERS {
            let own = self.dir.join(folder.trim_start_matches('/'));
            for dir in [own.as_path(), Path::new(folder)] {
                fs::create_dir_all(dir).context(|| format!("creating {}", dir.display()))?;
            }
            run(&mut inside(self.holder.id(), "mount", &["--bind", &own.display().to_string(), folder]))?;
        }
        Ok(())
    }

    fn start_runtime(&mut self) -> Result<(), Error> {
        let plugins = cni_plugins()?;
        self.write("etc/cni/net.d/10-pods.conflist", &pod_network(self.network, self.number).to_string())?;
        let config = self.write("containerd.toml", &runtime_config(&plugins, snapshotter(&self.dir)))?;
        // Containers' parents outlive containerd; by this group they are found at the end.
        let procs = self.cgroups.runtime_procs(&self.name)?;
        let mut start = self.inside(Path::new("sh"));
        start.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(procs);
        start.args(["containerd", "--config"]).arg(config);
        self.spawn("containerd", &start)?;
        let started = Instant::now();
        let version = ["--address", SOCKET, "version"];
        while let Err(error) = run(&mut inside(self.holder.id(), "ctr", &version)) {
            self.processes.iter_mut().try_for_each(Process::check)?;
            if started.elapsed() > RUNTIME_WITHIN {
                return Err(error);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn inside(&self, program: &Path) -> Command {
        inside(self.holder.id(), &program.display().to_string(), &[])
    }

    fn spawn(&mut self, component: &str, start: &Command) -> Result<(), Error> {
        self.processes.push(Process::start(&format!("{}-{component}", self.name), &self.logs, start)?);
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(file);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Starts the process that holds a node's namespaces, and waits until it has them.
fn hold(name: &str, logs: &Path) -> Result<Process, Error> {
    let arguments = ["--net", "--mount", "--propagation", "private", "--", "sleep", "infinity"];
    let mut holder = Process::start(&format!("{name}-holder"), logs, &command("unshare", arguments))?;
    let program = format!("/proc/{}/exe", holder.id());
    loop {
        holder.check()?;
        // unshare becomes sleep only after it has made the namespaces.
        if fs::read_link(&program).is_ok_and(|exe| !exe.ends_with("unshare") && !exe.ends_with("setpriv")) {
            let own = fs::read_link("/proc/self/ns/net").context(|| "reading /proc/self/ns/net".into())?;
            if fs::read_link(format!("/proc/{}/ns/net", holder.id())).is_ok_and(|theirs| theirs != own) {
                return Ok(holder);
            }
        }
        sleep(Duration::from_millis(2));
    }
}

/// Where the plugins that connect pods are.
pub(crate) fn cni_plugins() -> Result<PathBuf, Error> {
    let places = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"].map(PathBuf::from);
    places
        .into_iter()
        .find(|place| place.join("ptp").exists() && place.join("host-local").exists())
        .ok_or_else(|| Error::Other("the CNI plugins ptp and host-local are missing".into()))
}

/// Overlay mounts do not stack: inside a container whose root is one, files are copied instead.
fn snapshotter(dir: &Path) -> &'static str {
    let filesystem = run(command("stat", ["--file-system", "--format", "%T"]).arg(dir));
    if filesystem.is_ok_and(|name| name.trim() == "overlayfs") { "native" } else { "overlayfs" }
}

fn pod_network(network: Network, node: u8) -> serde_json::Value {
    json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "ptp",
        "ipMasq": false,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": network.pods(node) }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    }]})
}

fn runtime_config(plugins: &Path, snapshotter: &str) -> String {
    format!(
        r#"version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  # A machine in a container may not ask for a better score than it was started with.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
        plugins.display()
    )
}

fn kubelet_config(
    network: Network,
    node: u8,
    root: &str,
    resolv: &Path,
    authority: &Path,
) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node(node),
        "authentication": { "anonymous": { "enabled": false }, "x509": { "clientCAFile": authority } },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": root,
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [network.host()],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "enforceNodeAllocatable": [],
        // A full disk of the machine is not what tests are about, and images cannot be pulled again.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
        "resolvConf": resolv,
    })
}

fn proxy_config(network: Network, name: &str, kubeconfig: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": kubeconfig },
        "hostnameOverride": name,
        "clusterCIDR": network.all_pods(),
        // The machine's own limits stay as they are.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}
