//! The wire and storage formats of Corallite, generated from `corallite/**/*.proto`.
//!
//! [`v1`] is what clients speak; [`store`] is what a shard writes. Neither leaves the border of the
//! cell: the gateway's conversion file and the store's key files are the only users.
#![allow(missing_docs, clippy::all)]

/// `corallite.v1`: the public gRPC interface.
pub mod v1 {
    tonic::include_proto!("corallite.v1");
}

/// `corallite.store.v1`: the stored records and rows.
pub mod store {
    tonic::include_proto!("corallite.store.v1");
}

/// The descriptors of every message and service, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/corallite.bin"));
