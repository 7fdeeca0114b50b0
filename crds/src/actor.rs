//! One actor type of a shard: its behavior and how its actors are kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{ConfigMapKeyRef, ConfigMapSource};

/// An actor type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActorType {
    /// Name of the type, as in the address `Order/o-1001`: a letter, then letters, digits and `_`; at
    /// most 63 characters. Unique in the shard. A renamed type is a new type; the actors of the old
    /// one stay where they are.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"))]
    pub type_name: String,
    /// The JavaScript of the type. A change is a new version; cells take it up while they run.
    pub behavior: Behavior,
    /// Shapes of commands, events and state. Without it they may be any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// State fields by which actors of this type can be found. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub indexes: Vec<Index>,
    /// How often the state of an actor is saved beside its events.
    #[serde(default)]
    pub snapshot: Snapshot,
    /// When an actor leaves memory.
    #[serde(default)]
    pub passivation: Passivation,
    /// Bounds of one actor of this type.
    #[serde(default)]
    pub limits: Limits,
    /// Commands that actors of this type get when something happens elsewhere. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub reactions: Vec<Reaction>,
}

/// Where the JavaScript module of an actor type is. Exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("has(self.source) != has(self.configMapKeyRef)")
        .message("behavior needs exactly one of source and configMapKeyRef")
)]
pub struct Behavior {
    /// The module itself. At most 262144 characters; longer ones go into a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262144))]
    pub source: Option<String>,
    /// A key of a ConfigMap whose value is the module. Local runs take it from a ConfigMap manifest or
    /// from a `configMapGenerator` of a `kustomization.yaml` beside the ActorShard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

/// Shapes of what an actor type takes, records and keeps. Exactly one member is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("has(self.jsonSchema) != has(self.protobuf)")
        .message("schema needs exactly one of jsonSchema and protobuf")
)]
pub struct Schema {
    /// JSON Schemas, draft 2020-12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchemas>,
    /// Protobuf messages; the type is then served as a gRPC service of its own, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protobuf: Option<ProtobufSchema>,
}

/// JSON Schemas by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonSchemas {
    /// Schema of the payload by name of the command (`commands` and `internal`). A command that is not
    /// listed takes any JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<String, SchemaDocument>,
    /// Schema of the payload by name of the event. When any event is listed, one that is not listed is
    /// refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, SchemaDocument>,
    /// Schema of the state after every command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SchemaDocument>,
}

/// One JSON Schema, as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaDocument(pub serde_json::Map<String, serde_json::Value>);

impl JsonSchema for SchemaDocument {
    fn schema_name() -> Cow<'static, str> {
        "SchemaDocument".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
    }
}

/// Protobuf messages of an actor type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProtobufSchema {
    /// Protobuf package that holds one message for each command and event, under its name, and `State`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$")
    )]
    pub package: String,
    /// ConfigMap key (in `binaryData`) of the compiled `FileDescriptorSet`.
    pub descriptor_set: ConfigMapSource,
}

/// A field of the state by which actors can be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Name of the index, unique in the type: a letter, then letters, digits and `_`; at most 63
    /// characters.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Path of the field in the state, with dots: `userId`, `address.city`. A scalar, or an array of
    /// scalars, each of which is then indexed. At most 253 characters.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$")
    )]
    pub field: String,
}

/// How often the state of an actor is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Events of one actor after which its state is saved: 1 to 10000, default 100. Bringing an actor
    /// back reads at most this many events; fewer mean more writing.
    #[serde(default = "every_events_default")]
    #[schemars(range(min = 1, max = 10000))]
    pub every_events: u32,
}

/// When an actor leaves memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Passivation {
    /// Seconds without a command after which an actor leaves memory: 1 to 86400, default 300. It comes
    /// back with its next command. When memory is short, actors leave earlier.
    #[serde(default = "idle_seconds_default")]
    #[schemars(range(min = 1, max = 86400))]
    pub idle_seconds: u32,
}

/// Bounds of one actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Longest run of one command, query or event handler, in milliseconds: 1 to 1000, default 50. A
    /// script that runs longer is stopped and leaves nothing behind.
    #[serde(default = "command_milliseconds_default")]
    #[schemars(range(min = 1, max = 1000))]
    pub command_milliseconds: u32,
    /// Largest state of one actor, in bytes of JSON: 1024 to 4194304, default 1048576. A command that
    /// would go beyond is refused as a script error.
    #[serde(default = "state_bytes_default")]
    #[schemars(range(min = 1024, max = 4194304))]
    pub state_bytes: u32,
    /// Commands that may wait for one actor: 1 to 16384, default 1000. Further ones are answered 429.
    #[serde(default = "mailbox_commands_default")]
    #[schemars(range(min = 1, max = 16384))]
    pub mailbox_commands: u32,
}

/// A command that actors get when an event happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// Name of the reaction, unique in the type: lower case letters, digits and `-`; at most 63
    /// characters.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The event, as `Type.Event`: `Product.Delisted`. The type is one of this shard.
    #[schemars(
        length(min = 3, max = 320),
        regex(pattern = "^[A-Za-z][A-Za-z0-9_]*\\.[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub on: String,
    /// Which actors of this type get the command.
    pub to: ReactionTarget,
    /// The `internal` command they get; its payload is the event's.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub command: String,
}

/// Which actors a reaction is for: those whose index entry equals a value taken from the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionTarget {
    /// Name of an index in `indexes` of this type.
    #[schemars(length(min = 1, max = 63))]
    pub index: String,
    /// CEL expression over `event` (its payload) and `source` (id of the actor it happened to), such as
    /// `event.productId`.
    #[schemars(length(min = 1, max = 1024))]
    pub equals: String,
}

fn every_events_default() -> u32 {
    100
}

fn idle_seconds_default() -> u32 {
    300
}

fn command_milliseconds_default() -> u32 {
    50
}

fn state_bytes_default() -> u32 {
    1 << 20
}

fn mailbox_commands_default() -> u32 {
    1_000
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { every_events: every_events_default() }
    }
}

impl Default for Passivation {
    fn default() -> Self {
        Self { idle_seconds: idle_seconds_default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_milliseconds: command_milliseconds_default(),
            state_bytes: state_bytes_default(),
            mailbox_commands: mailbox_commands_default(),
        }
    }
}
