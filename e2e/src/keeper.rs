//! The process that owns a cluster: starts it, does what is asked of it, and clears everything away.
//!
//! Tests talk to it through its standard input and output, one line each way (see [`Request`]). When
//! its input ends, for whatever reason, it removes the cluster; so a test run that is killed leaves
//! nothing behind. If the keeper itself is killed, the kernel kills what it started, and the next
//! keeper clears away the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node as NodeObject;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use xxhash_rust::xxh3::xxh3_128;

use crate::capability::missing_for_nodes;
use crate::components;
use crate::error::{Context, Error};
use crate::image::Image;
use crate::instance::Instance;
use crate::node::{Node, PAUSE_IMAGE};
use crate::plane::Plane;
use crate::process::Process;
use crate::{say, volumes};

/// How long the API server, or a node, may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// How often something is looked at while it is waited for.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// How often it is checked that all components run.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// What can be asked of a keeper: one JSON object per line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// Have at least so many nodes, all of them ready.
    Nodes(u8),
    /// Make the image in this archive known to all nodes, also to later ones.
    Import(PathBuf),
    /// Kill a component of the control plane and start it again.
    Restart(String),
    /// Take the wire of a node down or up.
    Wire {
        /// The node's number, from 1.
        node: u8,
        /// Whether it is to be up.
        up: bool,
    },
}

/// What a keeper says first, and after each request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// The cluster is there; the administrator's credentials, and the binary of its components.
    Up {
        /// File with the credentials.
        kubeconfig: PathBuf,
        /// The binary of all components, kubectl among them.
        binary: PathBuf,
    },
    /// The request was carried out.
    Done,
    /// It could not be.
    Failed(String),
}

/// What owns a cluster. Dropping it ends the cluster.
struct Keeper {
    binary: PathBuf,
    client: Client,
    nodes: Vec<Node>,
    archives: Vec<PathBuf>,
    plane: Plane,
    // Last: its folder and leftovers go when no process is left.
    instance: Instance,
}

/// Runs a cluster until standard input ends (with `attached`) or a signal comes, and removes it.
///
/// # Errors
/// When the cluster cannot be started.
pub async fn keep(attached: bool, nodes: u8, kubeconfig_out: Option<&Path>) -> Result<(), Error> {
    let binary = components::ensure()?;
    let mut keeper = match Keeper::start(binary, nodes).await {
        Ok(keeper) => keeper,
        Err(error) => {
            answer(&Answer::Failed(error.to_string()));
            return Err(error);
        }
    };
    if let Some(path) = kubeconfig_out {
        fs::copy(keeper.plane.kubeconfig(), path).context(|| format!("writing {}", path.display()))?;
    }
    answer(&Answer::Up { kubeconfig: keeper.plane.kubeconfig(), binary: keeper.binary.clone() });
    let volumes = volumes::provision(keeper.client.clone(), keeper.instance.dir.join("volumes"));
    tokio::select! {
        () = volumes => {}
        served = keeper.serve(attached) => served?,
    }
    Ok(())
}

impl Keeper {
    async fn start(binary: PathBuf, nodes: u8) -> Result<Self, Error> {
        let started = Instant::now();
        let missing = missing_for_nodes();
        if nodes > 0 && !missing.is_empty() {
            return Err(Error::Other(format!("nodes cannot run here: {}", missing.join("; "))));
        }
        let instance = Instance::claim(missing.is_empty())?;
        let mut plane = Plane::start(&binary, &instance)?;
        let client = client(&plane.kubeconfig()).await?;
        let up = wait_for_api(&client, &mut plane).await;
        up.inspect_err(|_| plane.processes().for_each(|process| say(&process.tail())))?;
        plane.start_rest()?;
        volumes::create_class(&client).await?;
        wait_for_controllers(&client, &mut plane).await?;
        say(&format!(
            "control plane is up after {:.1} s: {}",
            started.elapsed().as_secs_f64(),
            instance.dir.display()
        ));
        let mut keeper = Self { binary, client, nodes: Vec::new(), archives: Vec::new(), plane, instance };
        keeper.have_nodes(nodes).await?;
        Ok(keeper)
    }

    async fn serve(&mut self, attached: bool) -> Result<(), Error> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut terminate = signal(SignalKind::terminate()).context(|| "waiting for signals".into())?;
        let mut interrupt = signal(SignalKind::interrupt()).context(|| "waiting for signals".into())?;
        let mut checks = tokio::time::interval(CHECK_EVERY);
        loop {
            let line = tokio::select! {
                line = lines.next_line(), if attached => line.context(|| "reading requests".into())?,
                _ = terminate.recv() => None,
                _ = interrupt.recv() => None,
                _ = checks.tick() => {
                    self.check();
                    continue;
                }
            };
            let Some(line) = line else { return Ok(()) };
            let request =
                serde_json::from_str(&line).map_err(|error| Error::Other(format!("{line}: {error}")));
            let done = match request {
                Ok(request) => self.carry_out(request).await,
                Err(error) => Err(error),
            };
            answer(&done.map_or_else(|error| Answer::Failed(error.to_string()), |()| Answer::Done));
        }
    }

    async fn carry_out(&mut self, request: Request) -> Result<(), Error> {
        match request {
            Request::Nodes(nodes) => self.have_nodes(nodes).await,
            Request::Import(archive) => self.import(&archive),
            Request::Restart(name) => {
                self.plane.restart(&name)?;
                wait_for_api(&self.client, &mut self.plane).await
            }
            Request::Wire { node, up } => match self.instance.network {
                Some(network) => network.set_wire(node, up),
                None => Err(Error::Other("there are no nodes".into())),
            },
        }
    }

    async fn have_nodes(&mut self, wanted: u8) -> Result<(), Error> {
        if wanted as usize <= self.nodes.len() {
            return Ok(());
        }
        let network = self.instance.network.ok_or_else(|| {
            Error::Other(format!("nodes cannot run here: {}", missing_for_nodes().join("; ")))
        })?;
        let started = Instant::now();
        if self.archives.is_empty() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/pause.rs");
            let pause = Image::of_source(PAUSE_IMAGE, "/pause", &source)?;
            self.import(pause.archive())?;
        }
        for number in self.nodes.len() as u8 + 1..=wanted {
            let mut node = Node::start(&self.instance, network, number, &self.nodes)?;
            self.archives.iter().try_for_each(|archive| node.import(archive))?;
            node.join(&self.plane, &self.binary)?;
            self.nodes.push(node);
        }
        let nodes: Api<NodeObject> = Api::all(self.client.clone());
        let (plane, own) = (&mut self.plane, &mut self.nodes);
        until(
            &format!("{wanted} nodes ready"),
            || plane_and_nodes(plane, own),
            async || {
                let listed = nodes.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
                let ready = listed.items.iter().filter(|node| is_ready(node)).count();
                if ready >= wanted as usize {
                    Ok(())
                } else {
                    Err(format!("{ready} ready: {}", reasons(&listed.items)))
                }
            },
        )
        .await?;
        say(&format!("{wanted} node(s) ready after {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }

    fn import(&mut self, archive: &Path) -> Result<(), Error> {
        let bytes = fs::read(archive).context(|| format!("reading {}", archive.display()))?;
        let kept = self.instance.dir.join(format!("image-{:032x}.tar", xxh3_128(&bytes)));
        if self.archives.contains(&kept) {
            return Ok(());
        }
        fs::write(&kept, bytes).context(|| format!("writing {}", kept.display()))?;
        self.nodes.iter().try_for_each(|node| node.import(&kept))?;
        self.archives.push(kept);
        Ok(())
    }

    /// Says it when a component has ended; tests that need it fail by themselves.
    fn check(&mut self) {
        if let Err(error) = plane_and_nodes(&mut self.plane, &mut self.nodes) {
            say(&error.to_string());
        }
    }
}

fn plane_and_nodes(plane: &mut Plane, nodes: &mut [Node]) -> Result<(), Error> {
    let mut all = plane.processes().chain(nodes.iter_mut().flat_map(Node::processes));
    all.try_for_each(|process| process.check().inspect_err(|_| say(&process.tail())))
}

async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    let read = Kubeconfig::read_from(kubeconfig);
    let failed =
        |error: &dyn std::fmt::Display| Error::Other(format!("reading {}: {error}", kubeconfig.display()));
    let read = read.map_err(|error| failed(&error))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(read, &options).await.map_err(|error| failed(&error))?;
    Client::try_from(config).context(|| "making a client".into())
}

async fn wait_for_api(client: &Client, plane: &mut Plane) -> Result<(), Error> {
    until(
        "the API server ready",
        || plane.processes().try_for_each(Process::check),
        async || {
            let request =
                http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map(drop).map_err(|error| error.to_string())
        },
    )
    .await
}

/// A namespace can be used when the controllers have made its service account.
async fn wait_for_controllers(client: &Client, plane: &mut Plane) -> Result<(), Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    until(
        "the controllers at work",
        || plane.processes().try_for_each(Process::check),
        async || accounts.get("default").await.map(drop).map_err(|error| error.to_string()),
    )
    .await
}

/// Polls until `probe` is content, while `alive` is.
async fn until(
    what: &str,
    mut alive: impl FnMut() -> Result<(), Error>,
    mut probe: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let Err(last) = probe().await else { return Ok(()) };
        alive()?;
        if started.elapsed() > READY_WITHIN {
            return Err(Error::TimedOut { what: what.to_owned(), seconds: READY_WITHIN.as_secs(), last });
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn is_ready(node: &NodeObject) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn reasons(nodes: &[NodeObject]) -> String {
    let each = nodes.iter().map(|node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        format!("{}: {}", node.name_any(), ready.and_then(|ready| ready.message.clone()).unwrap_or_default())
    });
    each.collect::<Vec<_>>().join("; ")
}

fn answer(answer: &Answer) {
    // An answer has no maps with keys that JSON does not know, and nobody may be listening any more.
    if let Ok(line) = serde_json::to_string(answer) {
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
