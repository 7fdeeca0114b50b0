//! The control plane: etcd, the API server, the controllers, the scheduler and DNS, as processes.
//!
//! Each runs the published command with its defaults, apart from addresses, files and credentials.
//! etcd does not flush to disk: what it holds is thrown away at the end.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error};
use crate::instance::Instance;
use crate::network::Network;
use crate::pki::Pki;
use crate::process::{Process, command};

/// The group whose members may do everything.
const MASTERS: &str = "system:masters";

/// The processes of a control plane, by name.
pub(crate) struct Plane {
    binary: PathBuf,
    dir: PathBuf,
    pub(crate) pki: Pki,
    network: Option<Network>,
    server: String,
    ports: Ports,
    processes: Vec<(&'static str, Process)>,
}

struct Ports {
    etcd: u16,
    etcd_peer: u16,
    api: u16,
    controllers: u16,
    scheduler: u16,
}

impl Plane {
    /// Starts etcd and the API server, and returns while they are starting.
    pub(crate) fn start(binary: &Path, instance: &Instance) -> Result<Self, Error> {
        let address = instance.network.map_or(Ipv4Addr::LOCALHOST, Network::host);
        let local = Ipv4Addr::LOCALHOST;
        let [etcd, etcd_peer, controllers, scheduler] = free_ports::<4>(local)?;
        let [api] = free_ports::<1>(address)?;
        let pki = Pki::new(&instance.dir.join("pki"))?;
        let mut plane = Self {
            binary: binary.to_owned(),
            dir: instance.dir.clone(),
            network: instance.network,
            server: format!("https://{address}:{api}"),
            pki,
            ports: Ports { etcd, etcd_peer, api, controllers, scheduler },
            processes: Vec::new(),
        };
        plane.credentials(address)?;
        plane.run("etcd")?;
        plane.run("kube-apiserver")?;
        Ok(plane)
    }

    /// Starts what needs the API server. It must be ready, since they give up after some seconds.
    pub(crate) fn start_rest(&mut self) -> Result<(), Error> {
        self.run("kube-controller-manager")?;
        self.run("kube-scheduler")?;
        if self.network.is_some() { self.run("coredns") } else { Ok(()) }
    }

    /// Kills a component and starts it again, with the same address.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), Error> {
        let position = self.processes.iter().position(|(known, _)| *known == name);
        let (name, process) =
            self.processes.remove(position.ok_or_else(|| {
                Error::Other(format!("no component of the control plane is called {name}"))
            })?);
        drop(process);
        self.run(name)
    }

    /// The file with the administrator's credentials.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.pki.path("admin.kubeconfig")
    }

    /// Where the API server is.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// All processes.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.processes.iter_mut().map(|(_, process)| process)
    }

    fn credentials(&self, address: Ipv4Addr) -> Result<(), Error> {
        let service = self.network.map(Network::api_service);
        let addresses: Vec<IpAddr> = [Some(address), Some(Ipv4Addr::LOCALHOST), service]
            .into_iter()
            .flatten()
            .map(IpAddr::from)
            .collect();
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        self.pki.server("apiserver", &names, &addresses)?;
        self.pki.client("kubelet-client", "kube-apiserver", MASTERS)?;
        self.pki.bare_key("tokens")?;
        for (name, user, group) in [
            ("admin", "admin", MASTERS),
            ("controllers", "system:kube-controller-manager", ""),
            ("scheduler", "system:kube-scheduler", ""),
            ("dns", "dns", MASTERS),
        ] {
            self.pki.kubeconfig(name, user, group, &self.server)?;
        }
        Ok(())
    }

    fn run(&mut self, name: &'static str) -> Result<(), Error> {
        let arguments = match name {
            "etcd" => self.etcd(),
            "kube-apiserver" => self.api(),
            "kube-controller-manager" => self.controllers(),
            "kube-scheduler" => self.scheduler(),
            _ => vec![self.corefile()?],
        };
        let mut component = self.component(name);
        component.args(arguments);
        let process = Process::start(name, &self.dir.join("logs"), &component)?;
        self.processes.push((name, process));
        Ok(())
    }

    fn component(&self, name: &str) -> Command {
        command(&self.binary, [name])
    }

    fn etcd(&self) -> Vec<String> {
        let (client, peer) = (local(self.ports.etcd), local(self.ports.etcd_peer));
        vec![
            format!("--data-dir={}", self.dir.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync=true".into(),
            "--log-level=warn".into(),
        ]
    }

    fn api(&self) -> Vec<String> {
        let file = |name: &str| self.pki.path(name).display().to_string();
        let address = self.network.map_or(Ipv4Addr::LOCALHOST, Network::host);
        let mut arguments = vec![
            format!("--etcd-servers={}", local(self.ports.etcd)),
            format!("--bind-address={address}"),
            format!("--secure-port={}", self.ports.api),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("tokens.pub")),
            format!("--service-account-signing-key-file={}", file("tokens.key")),
            format!("--kubelet-client-certificate={}", file("kubelet-client.crt")),
            format!("--kubelet-client-key={}", file("kubelet-client.key")),
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--authorization-mode=Node,RBAC".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--allow-privileged=true".into(),
        ];
        arguments.extend(match self.network {
            Some(network) => [
                format!("--service-cluster-ip-range={}", network.services()),
                format!("--advertise-address={address}"),
            ],
            // Nobody reaches the API server by its Service, and loopback may not be advertised.
            None => {
                ["--service-cluster-ip-range=10.96.0.0/16".into(), "--endpoint-reconciler-type=none".into()]
            }
        });
        arguments
    }

    fn controllers(&self) -> Vec<String> {
        let file = |name: &str| self.pki.path(name).display().to_string();
        vec![
            format!("--kubeconfig={}", file("controllers.kubeconfig")),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.ports.controllers),
            format!("--cert-dir={}", self.dir.join("controllers").display()),
            format!("--root-ca-file={}", file("ca.crt")),
            format!("--service-account-private-key-file={}", file("tokens.key")),
            "--use-service-account-credentials=true".into(),
            "--leader-elect=false".into(),
        ]
    }

    fn scheduler(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.pki.path("scheduler.kubeconfig").display()),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.ports.scheduler),
            format!("--cert-dir={}", self.dir.join("scheduler").display()),
            "--leader-elect=false".into(),
        ]
    }

    /// Writes the Corefile: cluster names only, kept for a second so that tests see changes soon.
    fn corefile(&self) -> Result<String, Error> {
        let address = self.network.map_or(Ipv4Addr::LOCALHOST, Network::host);
        let config = self.pki.path("dns.kubeconfig");
        let path = self.dir.join("Corefile");
        let text = format!(
            ".:53 {{\n  bind {address}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    \
             kubeconfig {}\n    ttl 1\n  }}\n  cache 1\n}}\n",
            config.display()
        );
        fs::write(&path, text).context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Ports that nobody listens on now. Another process may take one before it is used; then the
/// component says so and ends.
fn free_ports<const N: usize>(address: Ipv4Addr) -> Result<[u16; N], Error> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((address, 0)).context(|| format!("listening on {address}"))?;
        *port = listener.local_addr().context(|| format!("listening on {address}"))?.port();
        held.push(listener);
    }
    Ok(ports)
}
