//! A whole cell in this process, from outside: over HTTP and gRPC, on its real stores.
//!
//! Bad input changes nothing, is answered with what is wrong, and the cell goes on.
#![allow(missing_docs, reason = "a test")]

mod bad_commands;
mod bad_data;
mod bad_scripts;
mod dead_letters;
mod disk_full;
mod limits;
mod messages;
mod reads;
mod until;
mod world;
