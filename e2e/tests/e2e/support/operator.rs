//! The operator as a process of the test: the real binary, with the administrator's credentials.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use corallite_e2e::{Case, eventually, workspace_binary};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use super::http;
use super::shop::CELL;

/// How long the process may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);

/// How long it may take to end after SIGTERM.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Lines of its log that are printed when the test fails.
const LOG_LINES: usize = 200;

/// A running operator that watches the case's namespace only, and has its lease there. Killed when
/// dropped; if the test failed, its log is printed.
pub struct Operator {
    child: Child,
    log: NamedTempFile,
    admin: String,
}

impl Operator {
    /// Starts one and waits until it listens. `extra` are flags with their values; they replace the
    /// ones that are given otherwise. Several can run in one case: one of them leads.
    pub async fn start(case: &Case, extra: &[&str]) -> Self {
        let usual = [
            ("--cell-image", CELL),
            // Many shards fit on a small node.
            ("--cell-cpu", "10m"),
            ("--cell-memory", "256Mi"),
            ("--namespace", case.namespace()),
            ("--watch-namespace", case.namespace()),
            ("--admin", "127.0.0.1:0"),
        ];
        let log = NamedTempFile::new().unwrap();
        let mut command = bound_to_this_thread(&binary("corallite-operator").await);
        command.arg("run");
        for (flag, value) in usual.into_iter().filter(|(flag, _)| !extra.contains(flag)) {
            command.args([flag, value]);
        }
        let child = command
            .args(extra)
            .env("KUBECONFIG", case.cluster().kubeconfig())
            .stdin(Stdio::null())
            .stdout(log.reopen().unwrap())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut operator = Self { child, log, admin: String::new() };
        operator.admin = eventually("the operator listens", LISTENS_WITHIN, async || {
            operator.address().ok_or_else(|| operator.log())
        })
        .await;
        operator
    }

    /// Where `/livez`, `/readyz` and `/metrics` are: `http://127.0.0.1:PORT`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// A scrape.
    pub async fn metrics(&self) -> Metrics {
        Metrics(http::get(&format!("{}/metrics", self.admin())).await.unwrap())
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Ends it as a crash does: nothing is given up or written out.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it by SIGTERM, as Kubernetes does. The lease is free afterwards.
    pub async fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.ended("the operator ends after SIGTERM").await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself, and returns how.
    pub async fn ended(&mut self, what: &str) -> std::process::ExitStatus {
        eventually(what, ENDS_WITHIN, async || {
            self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    /// The address in the line that it logs once it listens.
    fn address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("admin listener"))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let address = line.pointer("/fields/address").or_else(|| line.get("address"))?;
        Some(format!("http://{}", address.as_str()?))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "---- log of the operator\n{}",
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            );
        }
    }
}

/// A scrape of the operator's metrics.
pub struct Metrics(pub String);

impl Metrics {
    /// The sum over all labels of a counter or gauge, named without `corallite_operator_`; 0 if there
    /// is none.
    pub fn sum(&self, name: &str) -> f64 {
        let name = format!("corallite_operator_{name}");
        let samples = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(&name)).then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.sum()
    }
}

/// Builds the workspace's binaries at the first call; that takes minutes and blocks.
pub async fn binary(name: &'static str) -> PathBuf {
    tokio::task::spawn_blocking(move || workspace_binary(name)).await.unwrap().unwrap()
}

/// The process ends with the thread that starts it, so also when the tests are killed.
fn bound_to_this_thread(program: &Path) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        return command;
    }
    Command::new(program)
}
