//! The `corallite` command line: one binary that runs a shard on this machine, checks manifests,
//! and talks to a running cell.
//!
//! Exits with 0 applied, 1 usage or local error, 2 refused, 3 not applied, 4 unknown; see
//! [`exit`]. Standard output carries data only; everything else goes to standard error.

mod args;
mod duration;
mod exit;
mod output;

mod connect;
mod failure;
mod retry;

mod call;
mod dead;
mod events;
mod feed;
mod get;
mod query;

mod bench;
mod check;
mod dev;
mod manifest;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

/// Requests are many small allocations on several threads: a tenth of a cell's time with the system's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        Err(error) => {
            // Failing to print help or usage leaves nobody to tell.
            let _ = error.print();
            if error.use_stderr() { exit::LOCAL.into() } else { ExitCode::SUCCESS }
        }
    }
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Dev(args) => dev::run(args),
        Command::Check(args) => check::run(args),
        Command::Call(args) => connect::block_on(&args.client.clone(), call::run(args)),
        Command::Get(args) => connect::block_on(&args.client.clone(), get::run(args)),
        Command::Events(args) => connect::block_on(&args.client.clone(), events::run(args)),
        Command::Query(args) => connect::block_on(&args.client.clone(), query::run(args)),
        Command::Feed(args) => connect::block_on(&args.client.clone(), feed::run(args)),
        Command::Dead(args) => connect::block_on(&args.client.clone(), dead::run(args)),
        Command::Bench(args) => bench::run(args),
    }
}
