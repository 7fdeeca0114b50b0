//! Processes of a cluster: each with a log file, and none outlives what started it.
//!
//! A process is killed when its [`Process`] is dropped, and by the kernel when the thread that
//! started it ends. So they must be started from a thread that lives as long as the cluster; the
//! keeper does so from its only one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::{Context, Error};

/// Lines of a log that are shown when its process ended by itself.
const LINES_SHOWN: usize = 30;

/// A running component.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `<logs>/<name>.log`.
    pub(crate) fn start(name: &str, logs: &Path, command: &Command) -> Result<Self, Error> {
        let log = logs.join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log);
        let output = open().context(|| format!("opening {}", log.display()))?;
        let errors = open().context(|| format!("opening {}", log.display()))?;
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            bound.env(key, value.unwrap_or_default());
        }
        let child = bound
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context(|| format!("starting {}", line(&bound)))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id. The component itself has it, not a wrapper.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if the process has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait().context(|| format!("waiting for {}", self.name))? {
            None => Ok(()),
            Some(status) => Err(Error::Ended { name: self.name.clone(), status, log: self.log.clone() }),
        }
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log, LINES_SHOWN)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last `lines` lines of a file; empty if it cannot be read.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a command to its end and returns its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().context(|| format!("running {}", line(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(Error::Command {
        command: line(command),
        status: output.status,
        output: format!("{}\n{}", errors.trim(), text.trim()).trim().to_owned(),
    })
}

/// A command from a program and its arguments.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
