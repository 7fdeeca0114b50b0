//! The JavaScript engine, driven the way a lane drives it.

mod bad_input;
mod calls;
mod conversion;
mod loading;
mod purity;

use std::sync::Arc;

use super::*;
use crate::ids::TypeId;

pub(super) const KEY: VersionKey = VersionKey { type_id: TypeId(1), ordinal: 1 };
pub(super) const NOW_MS: u64 = 1_700_000_000_000;

/// An engine with one loaded behavior and one actor.
pub(super) struct Bench {
    pub(super) engine: QuickJsEngine,
    pub(super) state: State,
}

pub(super) fn source(text: &str) -> BehaviorSource {
    BehaviorSource {
        key: KEY,
        type_name: "Order".into(),
        file: "order.js".into(),
        source: text.into(),
        schema: None,
        limits: ScriptLimits { command_ms: 50, state_bytes: 4_096 },
        known_types: Arc::from([Arc::from("Order"), Arc::from("Inventory")]),
    }
}

pub(super) fn context(id: &str) -> CallContext<'_> {
    CallContext { id, now_ms: NOW_MS, seed: 7, claims: None }
}

impl Bench {
    pub(super) fn new(text: &str) -> Self {
        Self::of(&source(text))
    }

    pub(super) fn of(source: &BehaviorSource) -> Self {
        let mut engine = QuickJsEngine::new().expect("an engine");
        engine.load(source).expect("loads");
        let state = engine.initial(source.key).expect("an initial state");
        Self { engine, state }
    }

    /// Runs a command and keeps what it did.
    pub(super) fn apply(&mut self, command: &str, payload: &str) -> Turn<()> {
        let turn = self.command(command, payload).expect("applied");
        self.state = turn.state;
        Turn {
            state: (),
            reply: turn.reply,
            events: turn.events,
            messages: turn.messages,
            timers: turn.timers,
            destroy: turn.destroy,
        }
    }

    /// Runs a command on the state without keeping it.
    pub(super) fn command(&mut self, command: &str, payload: &str) -> Result<Turn<State>, CallError> {
        let call = Call { command, internal: true, payload: payload.as_bytes(), context: context("o-1") };
        self.engine.command(KEY, &self.state, &call)
    }

    /// The script error of a command that must fail; the state must be as before, the engine alive.
    pub(super) fn fails(&mut self, command: &str, payload: &str) -> ScriptError {
        let before = self.json();
        let error = match self.command(command, payload) {
            Err(CallError::Script(error)) => error,
            other => panic!("{command} should fail in its script, not give {other:?}"),
        };
        assert_eq!(self.json(), before, "{command} changed the state");
        error
    }

    pub(super) fn query(&mut self, name: &str, args: &str) -> Result<String, CallError> {
        let call = Call { command: name, internal: false, payload: args.as_bytes(), context: context("o-1") };
        self.engine.query(KEY, &self.state, &call).map(text)
    }

    pub(super) fn json(&mut self) -> String {
        text(self.engine.freeze(KEY, &self.state).expect("freezes"))
    }
}

pub(super) fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8")
}

pub(super) fn load_error(source: &BehaviorSource) -> ScriptError {
    QuickJsEngine::new().expect("an engine").load(source).expect_err("must not load")
}
