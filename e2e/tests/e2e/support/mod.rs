//! What tests of running shards share: the operator as a process, the shop as a shard, and requests
//! to both. Nothing here decides what is right; it fails only when something cannot be had at all.

pub mod http;
pub mod operator;
pub mod shop;
