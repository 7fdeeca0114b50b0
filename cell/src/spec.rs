//! What a cell is told to serve: the resolved form of an `ActorShard`, behaviors read, defaults
//! filled in. The command line makes it of files that people write, [`crate::config`] of the folder
//! that the operator renders; both by [`declared`]. [`change`] says what a running cell takes over.

pub mod change;
pub mod declared;

use std::sync::Arc;

use crate::behavior::{BehaviorSource, Schema, ScriptLimits, VersionKey};
use crate::limits;

/// A shard to serve.
#[derive(Clone, Debug)]
pub struct ShardSpec {
    /// Kubernetes namespace; `default` in local runs.
    pub namespace: String,
    /// The shard's name.
    pub name: String,
    /// Size of the bucket space; immutable.
    pub buckets: u32,
    /// Whether the root of an id ends before its first colon; immutable.
    pub root_before_colon: bool,
    /// The actor types by name.
    pub actors: Vec<ActorSpec>,
}

/// One actor type.
#[derive(Clone, Debug)]
pub struct ActorSpec {
    /// The type's name.
    pub type_name: Arc<str>,
    /// The behavior's file name, for script errors.
    pub file: Arc<str>,
    /// The behavior's JavaScript.
    pub source: Arc<str>,
    /// Declared JSON Schemas.
    pub schema: Option<Arc<Schema>>,
    /// Events between snapshots.
    pub snapshot_every_events: u32,
    /// Idle seconds before an actor leaves memory.
    pub passivation_idle_seconds: u32,
    /// Script limits.
    pub script: ScriptLimits,
    /// Commands waiting for one actor.
    pub mailbox_commands: u32,
}

impl ActorSpec {
    /// An actor type with every default.
    #[must_use]
    pub fn new(type_name: &str, file: &str, source: &str) -> Self {
        Self {
            type_name: type_name.into(),
            file: file.into(),
            source: source.into(),
            schema: None,
            snapshot_every_events: limits::SNAPSHOT_EVENTS_DEFAULT,
            passivation_idle_seconds: limits::PASSIVATION_SECONDS_DEFAULT,
            script: ScriptLimits {
                command_ms: limits::COMMAND_MS_DEFAULT,
                state_bytes: limits::STATE_BYTES_DEFAULT,
            },
            mailbox_commands: limits::MAILBOX_COMMANDS_DEFAULT,
        }
    }

    /// Its behavior as that version, as an engine loads it. `known_types` are those it may tell.
    #[must_use]
    pub fn behavior(&self, key: VersionKey, known_types: &Arc<[Arc<str>]>) -> BehaviorSource {
        BehaviorSource {
            key,
            type_name: self.type_name.clone(),
            file: self.file.clone(),
            source: self.source.clone(),
            schema: self.schema.clone(),
            limits: self.script,
            known_types: known_types.clone(),
        }
    }
}
