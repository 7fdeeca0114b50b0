//! The behavior of an actor type as the lane sees it: pure functions of state.
//!
//! [`Engine`] is one lane's script engine; it lives on the lane's thread and holds the loaded
//! versions of every actor type. It does no I/O, reads no clock and makes no chance of its own: a
//! [`Call`] brings time and seed. Equal inputs give equal outputs.
//!
//! Only this folder knows QuickJS. The trait leaves room for a second engine.
//!
//! # Reading what an older version recorded
//!
//! A behavior may export `stateVersion` (a whole number, 1 if absent), which grows with each change of
//! its state's shape or of what its events mean. Then it may export
//!
//! - `migrate(state, from)`: the state of now, made of a snapshot whose `stateVersion` was `from`.
//!   Without it an older snapshot is refused;
//! - `upcast: { OldName: (payload, from) => … }`: for events recorded under an older `stateVersion`,
//!   the payload of now, or `["NewName", payload]`. Events it does not list are folded as they are.
//!
//! Snapshots and events of a newer `stateVersion` than its own are refused. Both functions are as pure
//! as folds.
//!
//! # States
//!
//! A state is any JSON value; `undefined` is refused. It is frozen: changing one in place is a script
//! error with file and line. What is written and refused as JSON is said in `convert.rs`.

pub mod quickjs;

mod convert;
mod deadline;
mod duration;
mod emit;
mod fault;
mod host;
mod intrinsics;
mod keys;
mod replay;
mod sandbox;
mod schema;
mod state;
mod surface;
mod tell;
mod timer;
mod version;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

pub use quickjs::QuickJsEngine;
pub use state::State;

use crate::ids::TypeId;

/// One version of one actor type's behavior: ordered, immutable, identified by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionKey {
    /// The interned actor type.
    pub type_id: TypeId,
    /// 1 for the first version the shard ever had of this type, then counting up.
    pub ordinal: u32,
}

/// Everything an engine needs to load a version.
#[derive(Clone, Debug)]
pub struct BehaviorSource {
    /// Which version this is.
    pub key: VersionKey,
    /// The actor type's name, for `ctx.type` and messages.
    pub type_name: Arc<str>,
    /// The file name shown in script errors: `order.js`.
    pub file: Arc<str>,
    /// The JavaScript module.
    pub source: Arc<str>,
    /// JSON Schemas as JSON text, if the type declares them.
    pub schema: Option<Arc<Schema>>,
    /// The limits of its scripts.
    pub limits: ScriptLimits,
    /// Every actor type of the shard: `ctx.tell` to another is a script error.
    pub known_types: Arc<[Arc<str>]>,
}

/// JSON Schemas of one actor type, each as JSON text keyed by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Payloads by command name (`commands` and `internal`).
    pub commands: Vec<(String, String)>,
    /// Payloads by event name. When not empty, an event that is not listed is refused too.
    pub events: Vec<(String, String)>,
    /// The state after every command.
    pub state: Option<String>,
}

/// Bounds of one version's scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Longest run of one command, query or fold, in milliseconds.
    pub command_ms: u32,
    /// Largest state as JSON, in bytes.
    pub state_bytes: u32,
}

/// What a loaded version offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Names clients may call.
    pub commands: Vec<Arc<str>>,
    /// Names only messages, timers and reactions may call.
    pub internal: Vec<Arc<str>>,
    /// Events it can fold.
    pub events: Vec<Arc<str>>,
    /// Named queries.
    pub queries: Vec<Arc<str>>,
    /// Events of older versions that its `upcast` can read.
    pub upcasts: Vec<Arc<str>>,
    /// The shape of its state; 1 unless it says otherwise.
    pub state_version: u32,
    /// Whether it can read states of older state versions.
    pub migrates: bool,
}

/// A command to run on one actor.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The handler's name.
    pub command: &'a str,
    /// Whether `internal` handlers may be called (messages, timers, refusals), or only `commands`.
    pub internal: bool,
    /// The payload as checked JSON.
    pub payload: &'a [u8],
    /// What the handler sees as `ctx`.
    pub context: CallContext<'a>,
}

/// Identity, time and chance of one call.
#[derive(Clone, Copy, Debug)]
pub struct CallContext<'a> {
    /// The actor's id.
    pub id: &'a str,
    /// Milliseconds since the epoch, fixed for the whole call.
    pub now_ms: u64,
    /// Seeds `ctx.random()` and `ctx.uuid()`.
    pub seed: u64,
    /// Verified claims as a JSON object.
    pub claims: Option<&'a [u8]>,
}

/// What a handler did, when it did not throw or reject.
#[derive(Debug)]
pub struct Turn<S> {
    /// The state after its events; the old state when it emitted none.
    pub state: S,
    /// What it returned, as JSON; `null` for nothing.
    pub reply: Bytes,
    /// Events in the order emitted, already folded into `state`.
    pub events: Vec<NewEvent>,
    /// Messages in the order told.
    pub messages: Vec<NewMessage>,
    /// Timer changes in order.
    pub timers: Vec<TimerChange>,
    /// The actor asked to be destroyed.
    pub destroy: bool,
}

/// An event a handler emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name.
    pub name: Arc<str>,
    /// Its payload as JSON.
    pub payload: Bytes,
}

/// A message a handler told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Type name of the target; known to the shard.
    pub target_type: Arc<str>,
    /// Id of the target; valid.
    pub target_id: Arc<str>,
    /// The internal command.
    pub command: Arc<str>,
    /// Its payload as JSON.
    pub payload: Bytes,
    /// The sender's internal command that hears of a refusal.
    pub on_refused: Option<Arc<str>>,
}

/// A change to the actor's timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets the timer `name`, replacing one of that name. `ctx.schedule(command, { after | at,
    /// payload?, name? })`; the name is the command unless given.
    Set {
        /// The timer's name.
        name: Arc<str>,
        /// The internal command it runs.
        command: Arc<str>,
        /// When, in milliseconds since the epoch.
        due_ms: u64,
        /// The command's payload as JSON.
        payload: Bytes,
    },
    /// Removes the timer `name`, if there is one.
    Cancel {
        /// The timer's name.
        name: Arc<str>,
    },
}

/// A recorded event as replay hands it to [`Engine::fold`].
#[derive(Clone, Copy, Debug)]
pub struct PastEvent<'a> {
    /// The name it was recorded under.
    pub name: &'a str,
    /// Its payload as JSON.
    pub payload: &'a [u8],
    /// The `stateVersion` of the behavior that recorded it: an older one goes through `upcast`.
    pub state_version: u32,
}

/// Why a call gave no [`Turn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The behavior said no.
    Rejected {
        /// Its code.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// The version has no such command or query, or it is internal and the caller is not.
    Unknown,
    /// The payload does not satisfy the declared schema; the message names the field.
    BadPayload(String),
    /// The script failed; nothing was changed.
    Script(ScriptError),
}

/// A script that failed: to load, in a handler, or in a fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ScriptError {
    /// Which failure: `Threw`, `TimeLimit`, `MemoryLimit`, `StackLimit`, `BadValue`,
    /// `UndeclaredEvent`, `BadState`, `Schema`, `Load`.
    pub kind: ScriptErrorKind,
    /// The file as the manifest names it.
    pub file: Arc<str>,
    /// The line, from 1; 0 when the engine could not tell.
    pub line: u32,
    /// A sentence for the behavior's author.
    pub message: String,
}

/// Classes of script errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScriptErrorKind {
    /// The module does not compile, or lacks a part.
    Load,
    /// The script threw.
    Threw,
    /// It ran longer than its limit.
    TimeLimit,
    /// It allocated more than its limit.
    MemoryLimit,
    /// It recursed too deep.
    StackLimit,
    /// It returned or emitted what JSON cannot hold; the message names the field.
    BadValue,
    /// It emitted an event that `events` does not declare.
    UndeclaredEvent,
    /// A fold gave no usable state, or one over `stateBytes`.
    BadState,
    /// An event or the state does not satisfy the declared schema.
    Schema,
}

/// One lane's script engine.
pub trait Engine {
    /// A live state. Dropping it frees it; it must not outlive the engine.
    type State;

    /// Compiles a version and keeps it beside the ones already loaded.
    ///
    /// # Errors
    /// With file and line; the engine is as before.
    fn load(&mut self, source: &BehaviorSource) -> Result<Interface, ScriptError>;

    /// Forgets a version. States made with it must be frozen or dropped before.
    fn unload(&mut self, version: VersionKey);

    /// The state of an actor that never was.
    ///
    /// # Errors
    /// `initial` is not usable.
    fn initial(&mut self, version: VersionKey) -> Result<Self::State, ScriptError>;

    /// Makes a live state of bytes that [`Engine::freeze`] gave; an older `state_version` goes
    /// through `migrate`.
    ///
    /// # Errors
    /// The bytes cannot be read by this version.
    fn thaw(
        &mut self,
        version: VersionKey,
        state: &[u8],
        state_version: u32,
    ) -> Result<Self::State, ScriptError>;

    /// The state as JSON.
    ///
    /// # Errors
    /// The state cannot be written as JSON, or is over the limit.
    fn freeze(&mut self, version: VersionKey, state: &Self::State) -> Result<Bytes, ScriptError>;

    /// Folds recorded events, oldest first.
    ///
    /// # Errors
    /// An event cannot be read by this version.
    fn fold(
        &mut self,
        version: VersionKey,
        state: Self::State,
        events: &[PastEvent<'_>],
    ) -> Result<Self::State, ScriptError>;

    /// Runs a command. The given state is unchanged whatever happens.
    ///
    /// # Errors
    /// See [`CallError`]; nothing is left behind.
    fn command(
        &mut self,
        version: VersionKey,
        state: &Self::State,
        call: &Call<'_>,
    ) -> Result<Turn<Self::State>, CallError>;

    /// Runs a named query; gives its result as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    fn query(
        &mut self,
        version: VersionKey,
        state: &Self::State,
        call: &Call<'_>,
    ) -> Result<Bytes, CallError>;

    /// Reclaims garbage cycles, when the lane has time for it.
    fn collect_garbage(&mut self);

    /// Bytes of the engine's heap.
    fn heap_bytes(&self) -> usize;
}
