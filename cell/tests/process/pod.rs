//! A pod: the folders it is given, and runs of the binary in it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use corallite_proto::v1;
use corallite_proto::v1::actors_client::ActorsClient;
use corallite_proto::v1::control_client::ControlClient;
use serde_json::Value;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::certificates::{Authority, OPERATOR, Pair, SERVER};
use crate::mounted::Mounted;

/// Longest wait for something that must come: only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

const SHARD: &str = "
apiVersion: corallite.dev/v1alpha1
kind: ActorShard
metadata: { name: shop, namespace: market }
spec:
  buckets: 8
  store: { embedded: {} }
  actors:
    - type: Counter
      behavior: { configMapKeyRef: { name: behaviors, key: counter.js } }
      # A busy machine is no reason to fail.
      limits: { commandMilliseconds: 1000 }
";

/// A behavior that answers `add` with its version's name.
pub fn counter(version: &str) -> String {
    format!(
        "export default {{
  initial: {{ n: 0 }},
  commands: {{ add(state, {{ by }}, ctx) {{ ctx.emit(\"Added\", {{ by }}); return \"{version}\"; }} }},
  events: {{ Added: (state, {{ by }}) => ({{ n: state.n + by }}) }},
}};
"
    )
}

/// What a pod is given, over many runs.
pub struct Pod {
    pub config: Mounted,
    pub tls: Mounted,
    pub authority: Authority,
    pub folder: tempfile::TempDir,
}

/// One run. Dropping it kills it.
pub struct Run {
    child: Child,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    pub peers: SocketAddr,
    log: std::path::PathBuf,
}

pub fn borrowed<'a>(files: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    files.iter().map(|(name, text)| (*name, text.as_str())).collect()
}

impl Pod {
    pub fn new() -> Self {
        let authority = Authority::new();
        let tls = Mounted::new(&borrowed(&authority.server()));
        let config = Mounted::new(&[]);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("termination-log"), "").expect("written");
        let mut pod = Self { config, tls, authority, folder };
        pod.render("hash-1", &counter("one"));
        pod
    }

    /// Replaces the config folder as the operator and the kubelet do.
    pub fn render(&mut self, hash: &str, behavior: &str) {
        self.config.replace(&[("shard.yaml", SHARD), ("Counter.js", behavior), ("hash", hash)]);
    }

    /// The same with another manifest: `from` replaced by `to`.
    pub fn render_shard(&mut self, hash: &str, from: &str, to: &str) {
        assert!(SHARD.contains(from), "{from}");
        let shard = SHARD.replace(from, to);
        self.config.replace(&[("shard.yaml", &shard), ("Counter.js", &counter("one")), ("hash", hash)]);
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corallite-cell"));
        let any = "127.0.0.1:0";
        command.args(["--grpc", any, "--http", any, "--peers", any, "--admin", any]);
        command.args(["--name", "shop-0", "--lanes", "2", "--memory", "64Mi"]);
        command.arg("--config").arg(self.config.path()).arg("--data").arg(self.folder.path().join("data"));
        command.arg("--addresses-file").arg(self.path("addresses.json"));
        command.arg("--termination-log").arg(self.path("termination-log"));
        command
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the cell and waits until it serves.
    pub async fn start(&self) -> Run {
        // Of an earlier run; not there the first time.
        let _ = std::fs::remove_file(self.path("addresses.json"));
        let log = self.path("log");
        let file = std::fs::File::create(&log).expect("a log");
        let mut command = self.command();
        command.arg("--tls").arg(self.tls.path()).stdin(Stdio::null()).stderr(file);
        let mut child = command.spawn().expect("the binary starts");
        let started = Instant::now();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(self.path("addresses.json")) {
                break text;
            }
            let ended = child.try_wait().expect("a child");
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "ended with {ended:?}: {}", said());
            assert!(started.elapsed() < PATIENCE, "does not serve: {}", said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let addresses: Value = serde_json::from_str(&text).expect("JSON");
        let of = |name: &str| addresses[name].as_str().expect("one").parse().expect("an address");
        Run { child, grpc: of("grpc"), admin: of("admin"), peers: of("peers"), log }
    }

    /// Runs a command that must end by itself; gives how, its last log line, and the termination log.
    pub fn fails(&self, mut command: Command) -> (ExitStatus, Value, String) {
        let output = command.stdin(Stdio::null()).output().expect("the binary starts");
        let said = String::from_utf8(output.stderr).expect("text");
        let last = said.lines().last().unwrap_or_default();
        let line = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {said}"));
        let sentence = std::fs::read_to_string(self.path("termination-log")).expect("there");
        (output.status, line, sentence)
    }

    pub fn operator(&self) -> Pair {
        self.authority.client(OPERATOR)
    }

    /// What the cell says to the operator.
    pub async fn status(&self, run: &Run) -> v1::StatusResponse {
        status(run, &self.authority.certificate(), Some(&self.operator())).await.expect("a status")
    }

    /// Asks for the status until it is as wanted.
    pub async fn status_where(
        &self,
        run: &Run,
        wanted: impl Fn(&v1::StatusResponse) -> bool,
    ) -> v1::StatusResponse {
        let started = Instant::now();
        loop {
            let status = self.status(run).await;
            if wanted(&status) {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "still {status:?}\n{}", run.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A client of the control listener that trusts `authority` and shows `pair`.
pub async fn control(
    run: &Run,
    authority: &str,
    pair: Option<&Pair>,
) -> Result<ControlClient<Channel>, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name(SERVER);
    let tls = match pair {
        Some(pair) => tls.identity(pair.identity()),
        None => tls,
    };
    let endpoint = Endpoint::from_shared(format!("https://{}", run.peers)).expect("an address");
    Ok(ControlClient::new(endpoint.tls_config(tls)?.timeout(PATIENCE).connect().await?))
}

/// One status call on a connection of its own; an error says why, whichever side refused.
pub async fn status(
    run: &Run,
    authority: &str,
    pair: Option<&Pair>,
) -> Result<v1::StatusResponse, tonic::Status> {
    let connected = control(run, authority, pair).await;
    let mut client = connected.map_err(|error| tonic::Status::unavailable(format!("{error:?}")))?;
    Ok(client.status(v1::StatusRequest {}).await?.into_inner())
}

impl Run {
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub async fn wait_for(&self, text: &str) {
        let started = Instant::now();
        while !self.said().contains(text) {
            assert!(started.elapsed() < PATIENCE, "not said: {text}\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Adds to a counter; gives the version that answered.
    pub async fn add(&self, id: &str) -> String {
        let mut client = ActorsClient::connect(format!("http://{}", self.grpc)).await.expect("connected");
        let actor = Some(v1::ActorRef { r#type: "Counter".to_owned(), id: id.to_owned() });
        let payload = r#"{"by":1}"#.as_bytes().into();
        let request =
            v1::ExecuteRequest { actor, command: "add".to_owned(), payload, ..v1::ExecuteRequest::default() };
        let reply = client.execute(request).await.expect("applied").into_inner().reply;
        serde_json::from_slice(&reply).expect("a text")
    }

    pub async fn state(&self, id: &str) -> Value {
        let mut client = ActorsClient::connect(format!("http://{}", self.grpc)).await.expect("connected");
        let actor = Some(v1::ActorRef { r#type: "Counter".to_owned(), id: id.to_owned() });
        let got = client.get(v1::GetRequest { actor, at_seq: 0, stale: false }).await.expect("there");
        serde_json::from_slice(&got.into_inner().state).expect("JSON")
    }

    /// A page of the admin listener: status and text.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nhost: cell\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("answered");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    pub async fn ended(mut self) -> (ExitStatus, String) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status, self.said());
            }
            assert!(started.elapsed() < PATIENCE, "still running: {}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the cell said:\n{}---", self.said());
        }
    }
}

/// Whether a folder is there: the store of a pod.
pub fn has_store(pod: &Pod) -> bool {
    Path::new(&pod.folder.path().join("data").join("store")).is_dir()
}
