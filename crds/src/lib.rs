//! The resource types of Corallite: [`ActorShard`] and [`View`], group `corallite.dev/v1alpha1`.
//!
//! Guarantees: every field says in its own docs what it means, in which unit, and what its default
//! and limits are (`kubectl explain` shows them); what the schema cannot say is a CEL rule beside
//! the type; the YAML in `yaml/` is what [`generate::files`] makes, and a test compares the two.
//!
//! The types read objects leniently (a field they do not know is ignored, so that an older operator
//! can read a newer object). Refusing unknown fields is up to the API server, with
//! `--validate=strict`, and to `corallite check`, which validates against the same schema.

mod actor;
mod duration;
pub mod generate;
mod quantity;
mod reference;
pub mod schema;
mod shard;
mod status;
mod store;
mod view;

pub use actor::{
    ActorType, Behavior, Index, JsonSchemas, Limits, Passivation, ProtobufSchema, Reaction, ReactionTarget,
    Schema, SchemaDocument, Snapshot,
};
pub use duration::{Duration, DurationError};
pub use quantity::{Quantity, QuantityError};
pub use reference::{ConfigMapKeyRef, ConfigMapSource};
pub use shard::{ActorShard, ActorShardSpec, Auth, DeletionPolicy, IdRoot, Jwt};
pub use status::{ActorShardStatus, CELL_STATUS_MAX, CellStatus, ViewStatus, condition, reason};
pub use store::{EmbeddedStore, FoundationDbStore, Store};
pub use view::{View, ViewMode, ViewSpec};

/// The API group of every resource type here.
pub const GROUP: &str = "corallite.dev";
/// The version of that group.
pub const VERSION: &str = "v1alpha1";
/// What a manifest writes as `apiVersion`.
pub const API_VERSION: &str = "corallite.dev/v1alpha1";
