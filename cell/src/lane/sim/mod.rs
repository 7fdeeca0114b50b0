//! Seeded simulation of lanes: thousands of histories in which the store fails, packets come twice or
//! never, processes crash, restart, or go on without knowing that they were replaced. Each ends at
//! rest, and a checker compares what the log holds and what clients were told with a plain sequential
//! model of the accounts they used.
//!
//! `CORALLITE_SIM_SEEDS` says how many seeds are run; `CORALLITE_SIM_SEED` runs a single one and
//! prints what happened.

mod account;
mod checker;
mod clients;
pub(crate) mod faults;
mod history;
mod model;
mod process;
mod sabotage;
mod scripted;
mod tests;
mod trace;
mod world;
