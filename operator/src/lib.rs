//! The operator: keeps the cells of every `ActorShard` as its spec says.
//!
//! In reading order: [`kind`] and [`names`] say what a shard has and how it is called; [`shard`] is
//! the reconcile in five steps (fetch, validate, build, apply, status) with rollouts; [`certificates`]
//! and [`control`] are how the operator talks to cells; [`watch`] and [`run`] put it to work, under
//! [`lease`].
//!
//! The operator keeps nothing of its own: everything it decides follows from the objects, the cells
//! and the time. Two operators at once are harmless, only wasteful.

pub mod kind;
pub mod names;

pub mod certificates;
pub mod clock;
pub mod control;
pub mod digest;
pub mod error;

pub mod context;
pub mod shard;

pub mod admin;
pub mod config;
pub mod lease;
pub mod metrics;
pub mod readiness;
pub mod run;
pub mod watch;
