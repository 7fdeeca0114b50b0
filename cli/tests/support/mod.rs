//! What tests of the binary stand on: running it, a scripted cell, and a real one.
#![allow(dead_code, missing_docs, reason = "every test file uses its own part")]

pub mod cell;
pub mod client;
pub mod dev;
pub mod http;
pub mod ledger;
pub mod log;
pub mod shop;
pub mod shopper;
pub mod web;

use std::process::{Command, Output};

/// The binary with `arguments`, and no setting of the machine it runs on.
pub fn corallite(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corallite"));
    command.args(arguments).env_remove("CORALLITE_SERVER").env_remove("RUST_LOG");
    command
}

/// Runs the binary to its end without blocking the runtime that serves it.
pub async fn run(arguments: &[&str]) -> Ended {
    let mut command = corallite(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    Ended::from(output.expect("no panic").expect("the binary starts"))
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ended {
    /// Standard output as one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
