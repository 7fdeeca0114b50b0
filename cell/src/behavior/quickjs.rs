//! [`QuickJsEngine`]: behaviors in JavaScript, on one thread.
//!
//! One runtime for the engine, one frozen realm for its versions (see `sandbox.rs`). States are
//! live objects, checked and frozen when they are made, so that whatever a handler does the old state
//! stands. A live state, one read back from bytes and one folded anew are the same to a script.
//!
//! Make the engine on the thread that uses it, near the bottom of its stack: the stack limit counts
//! from there.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use rquickjs::{Ctx, Persistent, Runtime, Value};
use rustc_hash::FxHashMap;

use super::convert::{Refusal, Take};
use super::deadline::Deadline;
use super::host::{Host, Phase, Verdict};
use super::sandbox::{self, Realm};
use super::state::{Anchor, Held, State, refused};
use super::version::{self, Version};
use super::{
    BehaviorSource, Call, CallError, Engine, Interface, PastEvent, ScriptError, ScriptErrorKind, Turn,
    VersionKey,
};
use crate::limits::{
    PAYLOAD_BYTES_MAX, SCRIPT_HEAP_BYTES_DEFAULT, SCRIPT_LOAD_MS_MAX, SCRIPT_STACK_BYTES_MAX,
};

/// Asynchronous jobs run to get rid of them, before the rest is starved.
const JOBS_DRAINED_MAX: usize = 1_000;
/// Time for that, in milliseconds.
const JOBS_DRAINED_MS: u32 = 1;
/// Assumed size of a state before the heap was measured once, in bytes.
const STATE_HEAP_BYTES_GUESS: usize = 2_048;

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the script engine: {0}")]
pub struct StartError(#[from] rquickjs::Error);

/// One lane's JavaScript engine.
pub struct QuickJsEngine {
    versions: FxHashMap<VersionKey, Rc<Version>>,
    realm: Rc<Realm>,
    pub(super) host: Rc<Host>,
    pub(super) deadline: Rc<Deadline>,
    anchor: Rc<Anchor>,
    /// Heap bytes without states, and bytes of a state, when last measured.
    measured: Cell<(usize, usize)>,
    heap_bytes_max: usize,
    /// Last: what lives in it goes first.
    runtime: Runtime,
}

impl QuickJsEngine {
    /// An engine whose heap may grow to [`SCRIPT_HEAP_BYTES_DEFAULT`].
    ///
    /// # Errors
    /// There is not enough memory for an interpreter.
    pub fn new() -> Result<Self, StartError> {
        Self::with_heap(SCRIPT_HEAP_BYTES_DEFAULT)
    }

    /// An engine whose heap, live states included, may grow to `heap_bytes_max`.
    ///
    /// # Errors
    /// There is not enough memory for an interpreter.
    pub fn with_heap(heap_bytes_max: usize) -> Result<Self, StartError> {
        let deadline = Rc::new(Deadline::default());
        let runtime = sandbox::runtime(heap_bytes_max, SCRIPT_STACK_BYTES_MAX, &deadline)?;
        let host = Host::new(Rc::clone(&deadline));
        let realm = Realm::new(&runtime, &host)?;
        let anchor = Anchor::new(runtime.clone());
        let measured = Cell::new((0, STATE_HEAP_BYTES_GUESS));
        let engine = Self {
            versions: FxHashMap::default(),
            realm,
            host,
            deadline,
            anchor,
            measured,
            heap_bytes_max,
            runtime,
        };
        engine.collect();
        Ok(engine)
    }

    fn version(&self, key: VersionKey) -> Result<Rc<Version>, ScriptError> {
        self.versions.get(&key).cloned().ok_or_else(|| ScriptError {
            kind: ScriptErrorKind::Load,
            file: "".into(),
            line: 0,
            message: format!("version {} of the behavior is not loaded", key.ordinal),
        })
    }

    fn collect(&self) {
        self.runtime.run_gc();
        let used = usize::try_from(self.runtime.memory_usage().malloc_size).unwrap_or(0);
        let (base, _) = self.measured.get();
        let live = self.anchor.live();
        self.measured.set(match live {
            0 => (used, STATE_HEAP_BYTES_GUESS),
            _ => (base, used.saturating_sub(base) / live),
        });
    }

    /// Cleans up after a call: no jobs stay behind, nor garbage that took all memory.
    fn settle<T>(&self, version: &Version, outcome: Result<T, ScriptError>) -> Result<T, ScriptError> {
        if matches!(&outcome, Err(error) if error.kind == ScriptErrorKind::MemoryLimit) {
            self.runtime.run_gc();
        }
        if !self.runtime.is_job_pending() {
            return outcome;
        }
        self.drop_jobs();
        outcome.and_then(|_| {
            let message = "left asynchronous work behind; behaviors are synchronous, without promises";
            Err(version.origin.error(ScriptErrorKind::BadValue, 0, message))
        })
    }

    /// Gets rid of asynchronous jobs. They run outside any call, so they reach nothing; those that make
    /// more and more of them starve.
    fn drop_jobs(&self) {
        self.deadline.arm(JOBS_DRAINED_MS);
        let run_one = || !matches!(self.runtime.execute_pending_job(), Ok(false));
        if (0..JOBS_DRAINED_MAX).all(|_| run_one()) {
            // Without memory no job can enqueue another.
            self.runtime.set_memory_limit(1);
            while run_one() {}
            self.runtime.set_memory_limit(self.heap_bytes_max);
        }
    }

    /// Runs `folds`, which make a state, in the phase of folds.
    fn make_state(
        &self,
        version: &Rc<Version>,
        folds: impl FnOnce(&Ctx<'_>) -> Result<Held, ScriptError>,
    ) -> Result<State, ScriptError> {
        self.host.begin(Phase::Fold, version, None, None);
        self.deadline.arm(version.command_ms);
        let outcome = version.realm.context.with(|ctx| folds(&ctx));
        let (_, verdict, _) = self.host.end();
        let outcome = match verdict {
            Some(Verdict::Failed(error)) => Err(error),
            _ => outcome,
        };
        Ok(State::new(self.settle(version, outcome)?, &self.anchor))
    }

    /// Calls a handler or a query; gives its result as JSON.
    fn call<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        function: &Persistent<rquickjs::Function<'static>>,
        state: &Held,
        payload: &[u8],
    ) -> Result<Bytes, ScriptError> {
        let run = || -> rquickjs::Result<Value<'js>> {
            let function = function.clone().restore(ctx)?;
            let state = state.value.clone().restore(ctx)?;
            let payload =
                if payload.is_empty() { Value::new_null(ctx.clone()) } else { ctx.json_parse(payload)? };
            function.call((state, payload, version.realm.ctx_object.clone().restore(ctx)?))
        };
        let result = run().map_err(|error| version.origin.fault(ctx, &error, &self.deadline))?;
        if result.is_undefined() {
            return Ok(Bytes::from_static(b"null"));
        }
        self.written(
            ctx,
            version,
            &result,
            PAYLOAD_BYTES_MAX,
            ScriptErrorKind::BadValue,
            ("the result", "payload limit"),
        )
    }

    fn written<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        value: &Value<'js>,
        bytes_max: usize,
        kind: ScriptErrorKind,
        (whole, limit): (&str, &str),
    ) -> Result<Bytes, ScriptError> {
        let walk = version.realm.intrinsics.walk(ctx, Take::Copy, bytes_max).map_err(Refusal::Script);
        match walk.and_then(|walk| walk.run(value)) {
            Ok(written) => Ok(written.bytes.into()),
            Err(refusal) => Err(refused(refusal, ctx, &version.origin, &self.deadline, kind, whole, limit)),
        }
    }

    fn write_state(&self, ctx: &Ctx<'_>, version: &Version, held: &Held) -> Result<Bytes, ScriptError> {
        let value = held.value.clone().restore(ctx);
        let value = value.map_err(|error| version.origin.fault(ctx, &error, &self.deadline))?;
        let names = ("the state", "stateBytes");
        self.written(ctx, version, &value, version.stored_bytes_max(), ScriptErrorKind::BadState, names)
    }

    /// The state's schema, if it has one and there were events.
    fn check_state(&self, ctx: &Ctx<'_>, version: &Version, before: &Held) -> Result<(), ScriptError> {
        let Some(validators) = version.validators.as_ref().filter(|validators| validators.has_state()) else {
            return Ok(());
        };
        let after = self.host.state().filter(|after| after.value != before.value);
        let Some(after) = after else { return Ok(()) };
        let bytes = self.write_state(ctx, version, &after)?;
        validators
            .check_state(&bytes)
            .map_err(|sentence| version.origin.error(ScriptErrorKind::Schema, 0, sentence))
    }
}

impl Drop for QuickJsEngine {
    fn drop(&mut self) {
        // The interpreter holds the host, so the host must hold nothing of the interpreter.
        self.host.close();
    }
}

impl Engine for QuickJsEngine {
    type State = State;

    fn load(&mut self, source: &BehaviorSource) -> Result<Interface, ScriptError> {
        if self.realm.is_full() {
            let no_memory = |error: rquickjs::Error| ScriptError {
                kind: ScriptErrorKind::MemoryLimit,
                file: source.file.clone(),
                line: 0,
                message: format!("no memory for another realm: {error}"),
            };
            self.realm = Realm::new(&self.runtime, &self.host).map_err(no_memory)?;
        }
        self.realm.add_module();
        self.deadline.arm(SCRIPT_LOAD_MS_MAX);
        let loaded = self
            .realm
            .context
            .with(|ctx| version::load(&ctx, &self.realm, source, &self.deadline))
            .map(Rc::new);
        self.host.end();
        let version = match loaded {
            Ok(version) => self.settle(&version.clone(), Ok(version))?,
            Err(error) => {
                self.drop_jobs();
                return Err(error);
            }
        };
        let interface = version.interface();
        self.versions.insert(source.key, version);
        Ok(interface)
    }

    fn unload(&mut self, version: VersionKey) {
        self.versions.remove(&version);
    }

    fn initial(&mut self, version: VersionKey) -> Result<State, ScriptError> {
        let version = self.version(version)?;
        Ok(State::new(version.initial.clone(), &self.anchor))
    }

    fn thaw(&mut self, version: VersionKey, state: &[u8], state_version: u32) -> Result<State, ScriptError> {
        let version = self.version(version)?;
        self.make_state(&version, |ctx| self.thaw_value(ctx, &version, state, state_version))
    }

    fn freeze(&mut self, version: VersionKey, state: &State) -> Result<Bytes, ScriptError> {
        let version = self.version(version)?;
        self.deadline.arm(version.command_ms);
        let written = version.realm.context.with(|ctx| self.write_state(&ctx, &version, &state.held));
        self.deadline.disarm();
        written
    }

    fn fold(
        &mut self,
        version: VersionKey,
        state: State,
        events: &[PastEvent<'_>],
    ) -> Result<State, ScriptError> {
        let version = self.version(version)?;
        self.make_state(&version, |ctx| {
            events.iter().try_fold(state.held.clone(), |held, event| {
                self.deadline.arm(version.command_ms);
                self.fold_past(ctx, &version, &held, event)
            })
        })
    }

    fn command(
        &mut self,
        version: VersionKey,
        state: &State,
        call: &Call<'_>,
    ) -> Result<Turn<State>, CallError> {
        let version = self.version(version).map_err(CallError::Script)?;
        let handler = version.handler(call.command, call.internal).ok_or(CallError::Unknown)?;
        if let Some(validators) = &version.validators {
            validators.check_command(call.command, call.payload).map_err(CallError::BadPayload)?;
        }
        self.host.begin(Phase::Command, &version, Some(state.held.clone()), Some(&call.context));
        self.deadline.arm(version.command_ms);
        let outcome = version.realm.context.with(|ctx| {
            let reply = self.call(&ctx, &version, &handler.function, &state.held, call.payload)?;
            self.check_state(&ctx, &version, &state.held)?;
            Ok(reply)
        });
        let (effects, verdict, held) = self.host.end();
        let reply = decided(self.settle(&version, outcome), verdict)?;
        let held = held.unwrap_or_else(|| state.held.clone());
        Ok(Turn {
            state: State::new(held, &self.anchor),
            reply,
            events: effects.events,
            messages: effects.messages,
            timers: effects.timers,
            destroy: effects.destroy,
        })
    }

    fn query(&mut self, version: VersionKey, state: &State, call: &Call<'_>) -> Result<Bytes, CallError> {
        let version = self.version(version).map_err(CallError::Script)?;
        let query = version.queries.get(call.command).ok_or(CallError::Unknown)?;
        self.host.begin(Phase::Query, &version, Some(state.held.clone()), Some(&call.context));
        self.deadline.arm(version.command_ms);
        let outcome = version
            .realm
            .context
            .with(|ctx| self.call(&ctx, &version, &query.function, &state.held, call.payload));
        let (_, verdict, _) = self.host.end();
        decided(self.settle(&version, outcome), verdict)
    }

    fn collect_garbage(&mut self) {
        self.collect();
    }

    fn heap_bytes(&self) -> usize {
        // Measuring walks the whole heap, so this goes on from the last collection.
        let (base, state) = self.measured.get();
        base + state * self.anchor.live()
    }
}

/// What a call came to: the verdict, if there was one, else its outcome.
fn decided(outcome: Result<Bytes, ScriptError>, verdict: Option<Verdict>) -> Result<Bytes, CallError> {
    match verdict {
        Some(Verdict::Rejected { code, message }) => Err(CallError::Rejected { code, message }),
        Some(Verdict::Failed(error)) => Err(CallError::Script(error)),
        None => outcome.map_err(CallError::Script),
    }
}
