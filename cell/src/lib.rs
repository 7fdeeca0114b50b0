//! The cell of Corallite: event-sourced virtual actors on an ordered key-value store.
//!
//! In reading order: what things are called and how large they may be, what a request is and what
//! becomes of it; then the path of a command: [`gateway`], [`router`], [`lane`], [`behavior`],
//! [`store`]; then how a cell starts and stops; then what it is to the cluster it runs in.

pub mod env;
pub mod ids;
pub mod limits;
pub mod outcome;
pub mod request;
pub mod spec;

pub mod json;

pub mod behavior;
pub mod gateway;
pub mod lane;
pub mod router;
pub mod store;

pub mod cell;
pub mod metrics;
pub mod registry;
pub mod serve;
pub mod served;

pub mod config;
pub mod control;
pub mod signals;
pub mod telemetry;
