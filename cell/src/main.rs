//! `corallite-cell`: the cell as a process in a cluster. The operator writes its pod; for one machine
//! without a cluster there is `corallite dev`.
//!
//! Exits with 0 after a stop that was asked for, and with 1 and one sentence otherwise.

mod process;

use std::process::ExitCode;

use clap::Parser;

use crate::process::args::Args;

/// Requests are many small allocations on several threads: a tenth of a cell's time with the system's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run(Args::parse())
}
