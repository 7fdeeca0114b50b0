//! From an actor's id to the lane that serves it, and the protocol that says who owns a bucket.

pub mod bucket;
pub mod owner;

pub use bucket::BucketSpace;
