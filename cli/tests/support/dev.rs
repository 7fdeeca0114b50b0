//! A real cell: `corallite dev` as a process that can be stopped, killed and started again.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::corallite;

/// Longest wait for a cell to serve or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a shard is declared and kept, over many runs.
pub struct Shard {
    paths: Vec<PathBuf>,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

/// One run of a cell. Dropping it kills it.
pub struct Dev {
    child: Child,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
}

impl Shard {
    /// A shard with a data folder of its own, gone when this is dropped.
    pub fn new(paths: &[&Path]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        Self { paths: paths.iter().map(|&path| path.to_owned()).collect(), folder, options: Vec::new() }
    }

    /// More options for `dev`.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts a cell and waits until it serves.
    pub fn start(&self) -> Dev {
        self.try_start().unwrap_or_else(|said| panic!("the cell did not start:\n{said}"))
    }

    /// Starts a cell and ends it as a crash does after `time`, whether it serves by then or not.
    pub fn start_and_kill_after(&self, time: Duration) {
        let (mut child, ..) = self.spawn();
        std::thread::sleep(time);
        child.kill().expect("SIGKILL");
        child.wait().expect("a child");
    }

    /// Starts a cell; gives what it said if it ended instead of serving.
    pub fn try_start(&self) -> Result<Dev, String> {
        let (mut child, addresses, log) = self.spawn();
        let started = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                return Ok(Dev::at(child, &text, log));
            }
            if child.try_wait().expect("a child").is_some() || started.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(std::fs::read_to_string(&log).unwrap_or_default());
            }
            // The file appears by a rename; there is nothing to wait on but the clock.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process, the file that will hold its addresses, and the one with what it says.
    fn spawn(&self) -> (Child, PathBuf, PathBuf) {
        let addresses = self.folder.path().join("addresses.json");
        // Of an earlier run; not there the first time.
        let _ = std::fs::remove_file(&addresses);
        let log = self.folder.path().join("log");
        let log_file = std::fs::File::create(&log).expect("log file");
        let mut command = corallite(&["dev", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--addresses-file"]).arg(&addresses);
        if !self.options.iter().any(|option| option == "--ephemeral") {
            command.arg("--data").arg(self.data());
        }
        command.args(&self.options).args(&self.paths);
        command.stdout(log_file.try_clone().expect("log file")).stderr(log_file).stdin(Stdio::null());
        (command.spawn().expect("the binary starts"), addresses, log)
    }
}

impl Dev {
    fn at(child: Child, addresses: &str, log: PathBuf) -> Self {
        let value: serde_json::Value = serde_json::from_str(addresses).expect("addresses as JSON");
        let of = |name: &str| value[name].as_str().expect("an address").parse().expect("an address");
        Self { child, grpc: of("grpc"), http: of("http"), admin: of("admin"), log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far, standard error included.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("a child");
    }

    /// Asks it to end with a signal (`INT`, `TERM`), waits, and gives how it ended and what it said.
    pub fn stop(self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status, self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still running after a minute:\n{}", self.said())
    }

    /// Waits until it has said `text` at least `times` times; gives all it said.
    pub fn wait_for(&self, text: &str, times: usize) -> String {
        let asked = Instant::now();
        loop {
            let said = self.said();
            if said.matches(text).count() >= times {
                return said;
            }
            assert!(asked.elapsed() < PATIENCE, "not said {times} times within a minute: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success(), "SIG{name} to {pid}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut said = String::new();
            if let Ok(mut log) = std::fs::File::open(&self.log) {
                let _ = log.read_to_string(&mut said);
            }
            eprintln!("--- the cell said:\n{said}---");
        }
    }
}
