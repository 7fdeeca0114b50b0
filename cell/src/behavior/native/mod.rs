//! [`NativeEngine`]: behaviors as Rust functions, for simulations and tests.
//!
//! It keeps the contract of [`Engine`] (an emit folds at once; a handler that fails leaves nothing;
//! equal inputs give equal outputs) and runs a hundred times faster than a script, with no limit of
//! time or memory. A source's text is the name of a registered [`Behavior`]: `"account"`. Other texts do
//! not load, which is how a test has a version refused.

mod bank;
mod context;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde_json::Value;

pub use bank::{account, account_in_euros, counter};
pub use context::{NativeCtx, Stop};

use super::schema::Validators;
use super::{
    BehaviorSource, Call, CallError, Engine, Interface, PastEvent, ScriptError, ScriptErrorKind, Turn,
    VersionKey,
};

/// Answers a command or a query: state, payload, what it may do.
pub type Handler = fn(&Value, &Value, &mut NativeCtx<'_>) -> Result<Value, Stop>;
/// The state after an event: state before, payload.
pub type Fold = fn(&Value, &Value) -> Value;
/// The state of now, made of one of an older state version.
pub type Migrate = fn(Value, u32) -> Value;

/// A behavior in Rust.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// The state of an actor that never was.
    pub initial: Value,
    /// Handlers that clients may call.
    pub commands: BTreeMap<&'static str, Handler>,
    /// Handlers for messages, timers and reactions.
    pub internal: BTreeMap<&'static str, Handler>,
    /// Folds by event.
    pub events: BTreeMap<&'static str, Fold>,
    /// Named queries.
    pub queries: BTreeMap<&'static str, Handler>,
    /// The shape of its state, from 1.
    pub state_version: u32,
    /// Reads states of older versions.
    pub migrate: Option<Migrate>,
}

impl Behavior {
    /// A behavior that can do nothing yet.
    #[must_use]
    pub fn new(initial: Value) -> Self {
        Self {
            initial,
            commands: BTreeMap::new(),
            internal: BTreeMap::new(),
            events: BTreeMap::new(),
            queries: BTreeMap::new(),
            state_version: 1,
            migrate: None,
        }
    }

    pub(crate) fn has_command(&self, name: &str) -> bool {
        self.commands.contains_key(name) || self.internal.contains_key(name)
    }
}

/// A live state of [`NativeEngine`].
pub type NativeState = Arc<Value>;

/// A loaded version.
struct Version {
    behavior: Behavior,
    source: BehaviorSource,
    validators: Option<Validators>,
}

/// An engine of registered behaviors.
pub struct NativeEngine {
    behaviors: BTreeMap<&'static str, Behavior>,
    versions: FxHashMap<VersionKey, Arc<Version>>,
}

impl NativeEngine {
    /// An engine that knows these behaviors by name.
    #[must_use]
    pub fn new(behaviors: impl IntoIterator<Item = (&'static str, Behavior)>) -> Self {
        Self { behaviors: behaviors.into_iter().collect(), versions: FxHashMap::default() }
    }

    /// An engine with `account`, its successor `account-in-euros`, and `counter`.
    #[must_use]
    pub fn bank() -> Self {
        Self::new([("account", account()), ("account-in-euros", account_in_euros()), ("counter", counter())])
    }

    fn version(&self, key: VersionKey) -> Result<Arc<Version>, ScriptError> {
        self.versions.get(&key).cloned().ok_or_else(|| ScriptError {
            kind: ScriptErrorKind::Load,
            file: "".into(),
            line: 0,
            message: format!("version {} of the behavior is not loaded", key.ordinal),
        })
    }
}

impl Version {
    fn error(&self, kind: ScriptErrorKind, message: impl Into<String>) -> ScriptError {
        ScriptError { kind, file: Arc::clone(&self.source.file), line: 1, message: message.into() }
    }

    fn read(&self, kind: ScriptErrorKind, json: &[u8]) -> Result<Value, ScriptError> {
        let json = if json.is_empty() { b"null" } else { json };
        serde_json::from_slice(json).map_err(|error| self.error(kind, error.to_string()))
    }

    /// The state after events, if it is within `stateBytes`.
    fn checked_state(&self, state: Value) -> Result<NativeState, ScriptError> {
        let bytes = state.to_string().len();
        let limit = self.source.limits.state_bytes as usize;
        if bytes > limit {
            return Err(self.error(
                ScriptErrorKind::BadState,
                format!("the state is larger than {limit} bytes as JSON (stateBytes)"),
            ));
        }
        Ok(Arc::new(state))
    }

    fn run(
        &self,
        handler: Handler,
        state: &NativeState,
        call: &Call<'_>,
        reads: bool,
    ) -> Result<Turn<NativeState>, CallError> {
        let payload = self.read(ScriptErrorKind::BadValue, call.payload).map_err(CallError::Script)?;
        let mut ctx = NativeCtx::new(
            &self.behavior,
            &self.source,
            self.validators.as_ref(),
            &call.context,
            state,
            reads,
        );
        let reply = handler(state, &payload, &mut ctx);
        let reply = reply.map_err(|stop| match stop {
            Stop::Rejected { code, message } => CallError::Rejected { code, message },
            Stop::Failed(kind, message) => CallError::Script(self.error(kind, message)),
        })?;
        let state = if ctx.events.is_empty() {
            Arc::clone(state)
        } else {
            let after = self.checked_state(ctx.state.into_owned()).map_err(CallError::Script)?;
            self.check_schema(&after).map_err(CallError::Script)?;
            after
        };
        Ok(Turn {
            state,
            reply: reply.to_string().into(),
            events: ctx.events,
            messages: ctx.messages,
            timers: ctx.timers,
            destroy: ctx.destroy,
        })
    }

    fn check_schema(&self, state: &Value) -> Result<(), ScriptError> {
        let Some(validators) = self.validators.as_ref().filter(|validators| validators.has_state()) else {
            return Ok(());
        };
        let checked = validators.check_state(state.to_string().as_bytes());
        checked.map_err(|sentence| self.error(ScriptErrorKind::Schema, sentence))
    }
}

impl Engine for NativeEngine {
    type State = NativeState;

    fn load(&mut self, source: &BehaviorSource) -> Result<Interface, ScriptError> {
        let refuse = |message| ScriptError {
            kind: ScriptErrorKind::Load,
            file: Arc::clone(&source.file),
            line: 1,
            message,
        };
        let name = source.source.trim();
        let behavior = self
            .behaviors
            .get(name)
            .ok_or_else(|| refuse(format!("there is no native behavior {name:?}")))?
            .clone();
        let validators = source.schema.as_deref().map(Validators::compile).transpose().map_err(refuse)?;
        let names = |names: Vec<&&'static str>| names.into_iter().map(|name| Arc::from(*name)).collect();
        let interface = Interface {
            commands: names(behavior.commands.keys().collect()),
            internal: names(behavior.internal.keys().collect()),
            events: names(behavior.events.keys().collect()),
            queries: names(behavior.queries.keys().collect()),
            upcasts: Vec::new(),
            state_version: behavior.state_version,
            migrates: behavior.migrate.is_some(),
        };
        let version = Version { behavior, source: source.clone(), validators };
        self.versions.insert(source.key, Arc::new(version));
        Ok(interface)
    }

    fn unload(&mut self, version: VersionKey) {
        self.versions.remove(&version);
    }

    fn initial(&mut self, version: VersionKey) -> Result<NativeState, ScriptError> {
        Ok(Arc::new(self.version(version)?.behavior.initial.clone()))
    }

    fn thaw(
        &mut self,
        version: VersionKey,
        state: &[u8],
        state_version: u32,
    ) -> Result<NativeState, ScriptError> {
        let version = self.version(version)?;
        let own = version.behavior.state_version;
        let state = version.read(ScriptErrorKind::BadState, state)?;
        let refuse = || {
            let message = format!(
                "the state has stateVersion {state_version}, this behavior {own} and no way to read it"
            );
            version.error(ScriptErrorKind::BadState, message)
        };
        match version.behavior.migrate {
            _ if state_version == own => Ok(Arc::new(state)),
            Some(migrate) if state_version < own => Ok(Arc::new(migrate(state, state_version))),
            _ => Err(refuse()),
        }
    }

    fn freeze(&mut self, version: VersionKey, state: &NativeState) -> Result<Bytes, ScriptError> {
        self.version(version)?;
        Ok(state.to_string().into())
    }

    fn fold(
        &mut self,
        version: VersionKey,
        mut state: NativeState,
        events: &[PastEvent<'_>],
    ) -> Result<NativeState, ScriptError> {
        let version = self.version(version)?;
        for event in events {
            let newer = event.state_version > version.behavior.state_version;
            let fold = version.behavior.events.get(event.name).filter(|_| !newer).ok_or_else(|| {
                let message = format!("the recorded event {} cannot be folded", event.name);
                version.error(ScriptErrorKind::UndeclaredEvent, message)
            })?;
            let payload = version.read(ScriptErrorKind::BadState, event.payload)?;
            state = Arc::new(fold(&state, &payload));
        }
        Ok(state)
    }

    fn command(
        &mut self,
        version: VersionKey,
        state: &NativeState,
        call: &Call<'_>,
    ) -> Result<Turn<NativeState>, CallError> {
        let version = self.version(version).map_err(CallError::Script)?;
        let Behavior { commands, internal, .. } = &version.behavior;
        let handler =
            commands.get(call.command).or_else(|| internal.get(call.command).filter(|_| call.internal));
        let handler = *handler.ok_or(CallError::Unknown)?;
        if let Some(validators) = &version.validators {
            validators.check_command(call.command, call.payload).map_err(CallError::BadPayload)?;
        }
        version.run(handler, state, call, false)
    }

    fn query(
        &mut self,
        version: VersionKey,
        state: &NativeState,
        call: &Call<'_>,
    ) -> Result<Bytes, CallError> {
        let version = self.version(version).map_err(CallError::Script)?;
        let query = *version.behavior.queries.get(call.command).ok_or(CallError::Unknown)?;
        version.run(query, state, call, true).map(|turn| turn.reply)
    }

    fn collect_garbage(&mut self) {}

    fn heap_bytes(&self) -> usize {
        0
    }
}
