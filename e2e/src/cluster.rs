//! The cluster that the tests of one binary share.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::components;
use crate::error::{Context, Error};
use crate::image::Image;
use crate::keeper::{Answer, Request};
use crate::process::run;
use crate::say;

/// Fields are owned by this manager when a test applies something.
pub(crate) const FIELD_MANAGER: &str = "corallite-e2e";

/// A cluster: one that was started for this test binary, or an existing one.
///
/// Its methods block; from async code they are called through [`Case`](crate::Case).
pub struct Cluster {
    kubeconfig: PathBuf,
    /// The program and its first arguments.
    kubectl: Vec<PathBuf>,
    keeper: Option<Mutex<Keeper>>,
    crds: OnceLock<Result<(), String>>,
}

/// The other end of the pipe. When this process ends the pipe is closed, and the keeper clears up.
struct Keeper {
    _process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// The cluster of this process; the first call starts it. Blocks, at the first time on a machine
    /// for the many minutes that building Kubernetes takes.
    ///
    /// # Errors
    /// When it could not be started; every later call says the same.
    pub fn shared() -> Result<&'static Self, Error> {
        static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match std::env::var_os("CORALLITE_E2E_KUBECONFIG") {
            Some(file) if !file.is_empty() => Self::existing(file.into()).map_err(|error| error.to_string()),
            _ => Self::start().map_err(|error| error.to_string()),
        });
        shared.as_ref().map_err(|error| Error::Other(format!("no cluster to test on: {error}")))
    }

    /// A client of the administrator. Make one per test: it works in the runtime that made it only.
    ///
    /// # Errors
    /// When the credentials cannot be read.
    pub async fn client(&self) -> Result<Client, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Other(format!("reading credentials: {error}"));
        let read = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| failed(&error))?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        Client::try_from(config.map_err(|error| failed(&error))?).context(|| "making a client".into())
    }

    /// The file with the administrator's credentials, for programs that are given one.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether this process started it, so that its machine may be broken by a test.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.keeper.is_some()
    }

    /// Has at least so many nodes, ready. An existing cluster is taken as it is.
    ///
    /// # Errors
    /// When this machine cannot run them, or they did not become ready in time.
    pub fn have_nodes(&self, nodes: u8) -> Result<(), Error> {
        if self.is_own() { self.ask(&Request::Nodes(nodes)) } else { Ok(()) }
    }

    /// Makes an image known to all nodes, as if each had pulled it.
    ///
    /// # Errors
    /// When a node refuses it; on an existing cluster, when `CORALLITE_E2E_LOAD` does.
    pub fn load(&self, image: &Image) -> Result<(), Error> {
        if self.is_own() {
            return self.ask(&Request::Import(image.archive().to_owned()));
        }
        let load = std::env::var("CORALLITE_E2E_LOAD").unwrap_or_default();
        let mut words = load.split_whitespace();
        match words.next() {
            Some(program) => run(Command::new(program).args(words).arg(image.archive())).map(drop),
            None => {
                say(&format!(
                    "{} is taken as known to the cluster (CORALLITE_E2E_LOAD is not set)",
                    image.reference()
                ));
                Ok(())
            }
        }
    }

    /// Kills a component of the control plane (`kube-apiserver`, `kube-controller-manager`,
    /// `kube-scheduler`, `etcd`, `coredns`), starts it again, and waits until the API server is ready.
    ///
    /// # Errors
    /// When it does not come back, or the cluster is not this process's own.
    pub fn restart(&self, component: &str) -> Result<(), Error> {
        self.ask(&Request::Restart(component.to_owned()))
    }

    /// Takes the wire of node `node` (from 1) down or up: its pods run on, unreachable.
    ///
    /// # Errors
    /// When there is no such node, or the cluster is not this process's own.
    pub fn set_wire(&self, node: u8, up: bool) -> Result<(), Error> {
        self.ask(&Request::Wire { node, up })
    }

    /// Runs kubectl in the workspace's root folder and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the error has what it said.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String, Error> {
        let mut command = Command::new(&self.kubectl[0]);
        command.args(&self.kubectl[1..]).arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        command.current_dir(workspace());
        run(&mut command)
    }

    /// Applies `crds/yaml`, once, and waits until they are served.
    ///
    /// # Errors
    /// When the API server refuses them.
    pub fn install_crds(&self) -> Result<(), Error> {
        let installed = self.crds.get_or_init(|| {
            let manager = format!("--field-manager={FIELD_MANAGER}");
            let arguments = ["apply", "--server-side", "--force-conflicts", &manager, "-f", "crds/yaml"];
            let applied = self.kubectl(arguments).and_then(|_| {
                self.kubectl(["wait", "--for=condition=Established", "--timeout=60s", "-f", "crds/yaml"])
            });
            applied.map(drop).map_err(|error| error.to_string())
        });
        installed.clone().map_err(Error::Other)
    }

    fn existing(kubeconfig: PathBuf) -> Result<Self, Error> {
        say(&format!("tests run on the cluster of {}", kubeconfig.display()));
        // The one on the user's path, else our own.
        let kubectl = match run(Command::new("kubectl").args(["version", "--client"])) {
            Ok(_) => vec!["kubectl".into()],
            Err(_) => vec![components::ensure()?, "kubectl".into()],
        };
        Ok(Self { kubeconfig, kubectl, keeper: None, crds: OnceLock::new() })
    }

    fn start() -> Result<Self, Error> {
        let program = keeper_program()?;
        let mut process = Command::new(&program)
            .arg("keep")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C reaches the tests; the keeper sees that they ended.
            .process_group(0)
            .spawn()
            .context(|| format!("starting {}", program.display()))?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::Other("the keeper has no pipes".into()));
        };
        let mut keeper = Keeper { _process: process, requests, answers: BufReader::new(answers) };
        match keeper.read()? {
            Answer::Up { kubeconfig, binary } => Ok(Self {
                kubeconfig,
                kubectl: vec![binary, "kubectl".into()],
                keeper: Some(Mutex::new(keeper)),
                crds: OnceLock::new(),
            }),
            Answer::Failed(why) => Err(Error::Other(why)),
            Answer::Done => Err(Error::Other("the keeper spoke out of turn".into())),
        }
    }

    fn ask(&self, request: &Request) -> Result<(), Error> {
        let keeper = self.keeper.as_ref();
        let keeper =
            keeper.ok_or_else(|| Error::Other("not on a cluster that these tests did not start".into()))?;
        let mut keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let line = serde_json::to_string(request).map_err(|error| Error::Other(error.to_string()))?;
        writeln!(keeper.requests, "{line}").context(|| "asking the keeper".into())?;
        match keeper.read()? {
            Answer::Failed(why) => Err(Error::Other(why)),
            Answer::Done | Answer::Up { .. } => Ok(()),
        }
    }
}

impl Keeper {
    fn read(&mut self) -> Result<Answer, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context(|| "reading the keeper's answer".into())?;
        serde_json::from_str(&line)
            .map_err(|_| Error::Other(format!("the keeper ended; what it said is above {}", line.trim())))
    }
}

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn workspace() -> &'static Path {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir)
}

/// The binary of this package: cargo says where, or it is two folders above the test.
fn keeper_program() -> Result<PathBuf, Error> {
    if let Some(program) = std::env::var_os("CARGO_BIN_EXE_corallite-e2e") {
        return Ok(program.into());
    }
    let test = std::env::current_exe().context(|| "finding this program".into())?;
    let candidates = test.ancestors().skip(1).take(2).map(|dir| dir.join("corallite-e2e"));
    candidates.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        Error::Other("the binary corallite-e2e is not built: cargo build -p corallite-e2e".into())
    })
}
