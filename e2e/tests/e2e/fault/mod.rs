//! What must survive: cells, operators and the API server end without warning, objects are missing,
//! broken, edited or deleted. The real operator and the real cell, in pods that really run.
//!
//! Each test breaks one thing and then asks for the same as before it: commands that were answered
//! are there once, and the shard is ready again.

mod cell;
mod input;
mod manifest;
mod operators;
mod plane;
mod stuck;
mod users;
