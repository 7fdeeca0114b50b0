//! From `ActorShard` objects to specs: which field becomes which setting.
//!
//! The object has its defaults filled in and satisfies its schema. Where the text of a behavior comes
//! from is the caller's business.

use std::sync::Arc;

use corallite_crds::{ActorShard, ActorType, IdRoot, JsonSchemas, SchemaDocument};
use serde_json::Value;

use super::{ActorSpec, ShardSpec};
use crate::behavior::{Schema, ScriptLimits};

impl ShardSpec {
    /// The spec of an object in `namespace`, with actor types that were made by
    /// [`ActorSpec::declared`].
    #[must_use]
    pub fn declared(shard: &ActorShard, namespace: &str, actors: Vec<ActorSpec>) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: shard.metadata.name.clone().unwrap_or_default(),
            buckets: shard.spec.buckets,
            root_before_colon: shard.spec.id_root == IdRoot::BeforeColon,
            actors,
        }
    }
}

impl ActorSpec {
    /// The spec of one actor type, whose behavior is `source`; `file` is its name in script errors.
    #[must_use]
    pub fn declared(actor: &ActorType, file: &str, source: &str) -> Self {
        let schema = actor.schema.as_ref().and_then(|schema| schema.json_schema.as_ref());
        Self {
            schema: schema.map(|schema| Arc::new(json_schema(schema))),
            snapshot_every_events: actor.snapshot.every_events,
            passivation_idle_seconds: actor.passivation.idle_seconds,
            script: ScriptLimits {
                command_ms: actor.limits.command_milliseconds,
                state_bytes: actor.limits.state_bytes,
            },
            mailbox_commands: actor.limits.mailbox_commands,
            ..Self::new(&actor.type_name, file, source)
        }
    }
}

fn json_schema(schemas: &JsonSchemas) -> Schema {
    let text = |document: &SchemaDocument| Value::Object(document.0.clone()).to_string();
    Schema {
        commands: schemas.commands.iter().map(|(name, document)| (name.clone(), text(document))).collect(),
        events: schemas.events.iter().map(|(name, document)| (name.clone(), text(document))).collect(),
        state: schemas.state.as_ref().map(text),
    }
}

#[cfg(test)]
mod tests {
    use corallite_crds::{Limits, Passivation, Snapshot};

    use super::*;

    #[test]
    fn the_defaults_of_the_resource_are_the_defaults_of_the_cell() {
        let cell = ActorSpec::new("T", "t.js", "");
        assert_eq!(Snapshot::default().every_events, cell.snapshot_every_events);
        assert_eq!(Passivation::default().idle_seconds, cell.passivation_idle_seconds);
        let limits = Limits::default();
        assert_eq!(limits.command_milliseconds, cell.script.command_ms);
        assert_eq!(limits.state_bytes, cell.script.state_bytes);
        assert_eq!(limits.mailbox_commands, cell.mailbox_commands);
    }
}
