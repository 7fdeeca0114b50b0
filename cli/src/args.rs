//! The command tree. Each command's own options live beside its code.

use clap::{Parser, Subcommand};

const ABOUT: &str = "Event-sourced virtual actors: run a shard, talk to it, measure it";

const EXIT_CODES: &str = "\
Exit codes:
  0  applied, or the answer was printed
  1  usage or local error: nothing was sent
  2  refused: the behavior said no; nothing changed
  3  notApplied: surely nothing happened; safe to send again
  4  unknown: it may have happened; call again with the same --id to learn

Start here:
  corallite dev examples/shop
  corallite call Order/o-1 place '{\"userId\":\"u-1\",\"productId\":\"lamp\",\"quantity\":1,\"unitPriceCents\":4900}'
  corallite get Order/o-1
  corallite events Order/o-1";

/// What the user typed.
#[derive(Debug, Parser)]
#[command(name = "corallite", version, about = ABOUT, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One of the things the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a shard on this machine: manifests in, embedded store, no cluster
    Dev(crate::dev::Args),
    /// Check manifests and behaviors offline, with file and line
    Check(crate::check::CheckArgs),
    /// Send a command to an actor and print its reply
    Call(crate::call::Args),
    /// Print the state of an actor
    Get(crate::get::Args),
    /// Print the history of an actor
    Events(crate::events::Args),
    /// Run a named query of an actor
    Query(crate::query::Args),
    /// Follow the events of the whole shard
    Feed(crate::feed::Args),
    /// Look at messages and timers that were given up; replay or drop them
    Dead(crate::dead::Args),
    /// Put load on a running cell and print rates and latencies
    Bench(crate::bench::Args),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
