//! A shard as its users see it: applied, served, changed, scaled, moved, deleted. The real operator
//! and the real cell, in pods that really run.

mod apply;
mod change;
mod idle;
mod install;
mod keep;
mod roll;
