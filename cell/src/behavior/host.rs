//! What a behavior sees of the platform: the functions behind `ctx`, `Date`, `Math.random`, `console`.
//!
//! Which of them work depends on the [`Phase`]: all in a command, the reading ones and `reject` in a
//! query, none while an event is folded. The first failure decides the call even if the script
//! catches the exception: a handler cannot swallow an undeclared event or take back a refusal.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rquickjs::{Ctx, Error, Exception, IntoJs, Persistent, Value};

use super::convert::{Refusal, Take};
use super::deadline::Deadline;
use super::fault::Origin;
use super::intrinsics::Intrinsics;
use super::state::{Held, NoState, refused};
use super::version::Version;
use super::{CallContext, NewEvent, NewMessage, ScriptError, ScriptErrorKind, TimerChange};
use crate::limits::{COMMAND_EFFECTS_MAX, PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX};

/// What is running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing, or a module that is being loaded.
    #[default]
    Idle,
    /// A command's handler.
    Command,
    /// A query.
    Query,
    /// A function that must give the same each time: `events`, `upcast`, `migrate`.
    Fold,
}

/// How a call ended before its function returned.
#[derive(Debug)]
pub(super) enum Verdict {
    /// `ctx.reject`.
    Rejected { code: String, message: String },
    /// A misuse of `ctx`, or a fold that failed.
    Failed(ScriptError),
}

/// What a handler asked for so far.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) events: Vec<NewEvent>,
    pub(super) messages: Vec<NewMessage>,
    pub(super) timers: Vec<TimerChange>,
    pub(super) destroy: bool,
    /// Bytes of all payloads so far.
    bytes: usize,
}

/// The call that is running.
struct Running {
    version: Option<Rc<Version>>,
    state: Option<Held>,
    /// Kept between calls for its memory.
    id: String,
    now_ms: u64,
    chance: SmallRng,
    claims: Option<Box<[u8]>>,
    session: Option<Persistent<Value<'static>>>,
}

/// The platform's side of `ctx`; one for all calls of an engine.
pub(super) struct Host {
    phase: Cell<Phase>,
    running: RefCell<Running>,
    effects: RefCell<Effects>,
    verdict: RefCell<Option<Verdict>>,
    pub(super) deadline: Rc<Deadline>,
    /// For `Object.freeze`, which works outside calls too. Cleared by [`Host::close`].
    intrinsics: RefCell<Option<Rc<Intrinsics>>>,
}

impl Host {
    pub(super) fn new(deadline: Rc<Deadline>) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::default(),
            running: RefCell::new(Running {
                version: None,
                state: None,
                id: String::new(),
                now_ms: 0,
                chance: SmallRng::seed_from_u64(0),
                claims: None,
                session: None,
            }),
            effects: RefCell::default(),
            verdict: RefCell::default(),
            deadline,
            intrinsics: RefCell::default(),
        })
    }

    pub(super) fn set_intrinsics(&self, intrinsics: &Rc<Intrinsics>) {
        *self.intrinsics.borrow_mut() = Some(Rc::clone(intrinsics));
    }

    /// Lets go of everything that lives in the interpreter.
    pub(super) fn close(&self) {
        self.end();
        *self.intrinsics.borrow_mut() = None;
    }

    /// Begins a call.
    pub(super) fn begin(
        &self,
        phase: Phase,
        version: &Rc<Version>,
        state: Option<Held>,
        context: Option<&CallContext<'_>>,
    ) {
        let mut running = self.running.borrow_mut();
        running.version = Some(Rc::clone(version));
        running.state = state;
        if let Some(context) = context {
            running.id.clear();
            running.id.push_str(context.id);
            running.now_ms = context.now_ms;
            running.chance = SmallRng::seed_from_u64(context.seed);
            running.claims = context.claims.map(Box::from);
        }
        self.phase.set(phase);
    }

    /// Ends a call, however it went; gives the state it came to.
    pub(super) fn end(&self) -> (Effects, Option<Verdict>, Option<Held>) {
        self.phase.set(Phase::Idle);
        self.deadline.disarm();
        let mut running = self.running.borrow_mut();
        running.version = None;
        running.claims = None;
        running.session = None;
        let state = running.state.take();
        (self.effects.take(), self.verdict.take(), state)
    }

    /// The state as of the last emit.
    pub(super) fn state(&self) -> Option<Held> {
        self.running.borrow().state.clone()
    }

    /// Takes the verdict of one fold among many.
    pub(super) fn take_verdict(&self) -> Option<Verdict> {
        self.verdict.take()
    }

    /// The version whose command is running; fails in any other phase.
    pub(super) fn command<'js>(&self, ctx: &Ctx<'js>, what: &str) -> Result<Rc<Version>, Error> {
        match self.phase.get() {
            Phase::Command => {}
            Phase::Query => {
                return Err(self.misuse(ctx, format!("ctx.{what} is not for queries, which only read")));
            }
            Phase::Fold => {
                return Err(
                    self.misuse(ctx, format!("ctx.{what} is not for events, which only give the next state"))
                );
            }
            Phase::Idle => {
                return Err(Exception::throw_type(
                    ctx,
                    &format!("ctx.{what} was called after its command had ended"),
                ));
            }
        }
        self.version(ctx)
    }

    /// The version that is running.
    pub(super) fn version(&self, ctx: &Ctx<'_>) -> Result<Rc<Version>, Error> {
        let version = self.running.borrow().version.clone();
        version.ok_or_else(|| Exception::throw_type(ctx, "ctx was used after its call had ended"))
    }

    /// Fails the call for a wrong use of `ctx`.
    pub(super) fn misuse(&self, ctx: &Ctx<'_>, message: String) -> Error {
        self.fail(ctx, ScriptErrorKind::BadValue, message)
    }

    /// Fails the call with the line that is running, and throws into the script.
    pub(super) fn fail(&self, ctx: &Ctx<'_>, kind: ScriptErrorKind, message: String) -> Error {
        let intrinsics = self.intrinsics.borrow().clone();
        let thrown = match intrinsics.map(|intrinsics| intrinsics.error(ctx, &message)) {
            Some(Ok(thrown)) => thrown,
            Some(Err(error)) => return error,
            None => return Exception::throw_type(ctx, &message),
        };
        let version = self.running.borrow().version.clone();
        if let Some(version) = version {
            let line = version.origin.line_of(&thrown);
            self.decide(Verdict::Failed(version.origin.error(kind, line, message)));
        }
        ctx.throw(thrown)
    }

    /// Fails the call for an exception that is pending, and lets it go on.
    pub(super) fn fail_thrown(&self, ctx: &Ctx<'_>, origin: &Origin, error: Error) -> Error {
        let Error::Exception = error else { return error };
        let thrown = ctx.catch();
        self.decide(Verdict::Failed(origin.thrown(&thrown, &self.deadline)));
        ctx.throw(thrown)
    }

    /// The first verdict stands.
    pub(super) fn decide(&self, verdict: Verdict) {
        self.verdict.borrow_mut().get_or_insert(verdict);
    }

    /// Records an effect.
    pub(super) fn record<'js, T>(
        &self,
        ctx: &Ctx<'js>,
        list: impl FnOnce(&mut Effects) -> &mut Vec<T>,
        effect: T,
        what: &str,
    ) -> Result<(), Error> {
        let recorded = {
            let mut effects = self.effects.borrow_mut();
            let list = list(&mut effects);
            let room = list.len() < COMMAND_EFFECTS_MAX;
            if room {
                list.push(effect);
            }
            room
        };
        if recorded {
            return Ok(());
        }
        Err(self.misuse(
            ctx,
            format!("more than {COMMAND_EFFECTS_MAX} {what} in one command; spread them over several"),
        ))
    }

    /// A payload as JSON; undefined is `null`. `whole` names it in errors.
    pub(super) fn payload<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        value: &Value<'js>,
        take: Take,
        whole: &str,
    ) -> Result<bytes::Bytes, Error> {
        if value.is_undefined() {
            return Ok(bytes::Bytes::from_static(b"null"));
        }
        let walk = version.realm.intrinsics.walk(ctx, take, PAYLOAD_BYTES_MAX)?;
        match walk.run(value) {
            Ok(written) => self.counted(ctx, written.bytes),
            Err(Refusal::Script(error)) => Err(self.fail_thrown(ctx, &version.origin, error)),
            Err(refusal) => {
                let kind = ScriptErrorKind::BadValue;
                let error =
                    refused(refusal, ctx, &version.origin, &self.deadline, kind, whole, "payload limit");
                Err(self.fail(ctx, kind, error.message))
            }
        }
    }

    /// The payload, if all payloads of the command together still fit a record.
    fn counted(&self, ctx: &Ctx<'_>, payload: Vec<u8>) -> Result<bytes::Bytes, Error> {
        let total = self.effects.borrow().bytes + payload.len();
        self.effects.borrow_mut().bytes = total;
        if total > RECORD_BYTES_MAX {
            let message = format!(
                "the payloads of one command are larger than {RECORD_BYTES_MAX} bytes together; spread them over several"
            );
            return Err(self.misuse(ctx, message));
        }
        Ok(payload.into())
    }

    /// Runs `fold` as one that must not depend on time or chance.
    pub(super) fn folding<T>(&self, fold: impl FnOnce() -> T) -> T {
        let before = self.phase.replace(Phase::Fold);
        let folded = fold();
        self.phase.set(before);
        folded
    }

    /// Sets the state that later lines of the handler see.
    pub(super) fn set_state(&self, state: Held) {
        self.running.borrow_mut().state = Some(state);
    }

    /// The id of the running actor.
    pub(super) fn id<'js>(&self, ctx: &Ctx<'js>) -> Result<Value<'js>, Error> {
        self.version(ctx)?;
        self.running.borrow().id.as_str().into_js(ctx)
    }

    /// Marks the actor to be destroyed.
    pub(super) fn destroy(&self, ctx: &Ctx<'_>) -> Result<(), Error> {
        self.command(ctx, "destroy")?;
        self.effects.borrow_mut().destroy = true;
        Ok(())
    }

    /// Freezes plain data deeply; other objects stay as they are, since no state can hold them.
    pub(super) fn harden<'js>(&self, ctx: &Ctx<'js>, value: Value<'js>) -> Result<(), Error> {
        let intrinsics = self.intrinsics.borrow().clone();
        let Some(intrinsics) = intrinsics else { return Ok(()) };
        match Held::take(ctx, &intrinsics, value, None, usize::MAX) {
            Err(NoState::Refused(Refusal::Script(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// The time of the running call in milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.running.borrow().now_ms
    }

    /// Runs `take` with time or chance, which folds do not have.
    fn volatile<T>(
        &self,
        ctx: &Ctx<'_>,
        what: &str,
        take: impl FnOnce(&mut Running) -> T,
    ) -> Result<T, Error> {
        match self.phase.get() {
            Phase::Command | Phase::Query => Ok(take(&mut self.running.borrow_mut())),
            Phase::Fold | Phase::Idle => {
                let message = format!(
                    "{what} is not available here: folding must give the same state each time; put what you \
                     need into the event when you emit it (ctx.now, ctx.random(), ctx.uuid())"
                );
                Err(self.misuse(ctx, message))
            }
        }
    }

    /// The time as scripts see it; `what` is what they wrote.
    pub(super) fn clock(&self, ctx: &Ctx<'_>, what: &str) -> Result<f64, Error> {
        self.volatile(ctx, what, |running| running.now_ms as f64)
    }

    /// The next number of the seeded stream, from 0 to 1.
    pub(super) fn random(&self, ctx: &Ctx<'_>, what: &str) -> Result<f64, Error> {
        // 53 random bits make every f64 of 0..1 with equal steps.
        self.volatile(ctx, what, |running| (running.chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// A version 4 UUID of the seeded stream.
    pub(super) fn uuid(&self, ctx: &Ctx<'_>) -> Result<String, Error> {
        self.volatile(ctx, "ctx.uuid()", |running| {
            let bits = (u128::from(running.chance.next_u64()) << 64) | u128::from(running.chance.next_u64());
            uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
        })
    }

    /// The claims of the caller, frozen.
    pub(super) fn session<'js>(&self, ctx: &Ctx<'js>) -> Result<Value<'js>, Error> {
        let version = self.version(ctx)?;
        if let Some(session) = self.running.borrow().session.clone() {
            return session.restore(ctx);
        }
        let claims = self.running.borrow().claims.as_deref().map_or_else(|| b"{}".to_vec(), <[u8]>::to_vec);
        let value = ctx.json_parse(claims)?;
        let frozen = Held::take(ctx, &version.realm.intrinsics, value.clone(), None, usize::MAX);
        if frozen.is_err() {
            return Err(self.misuse(ctx, "ctx.session cannot be read".to_owned()));
        }
        self.running.borrow_mut().session = Some(Persistent::save(ctx, value.clone()));
        Ok(value)
    }

    /// Decides that the command is refused; what this gives is thrown.
    pub(super) fn reject(&self, ctx: &Ctx<'_>, code: Option<String>, message: Option<String>) -> Error {
        if matches!(self.phase.get(), Phase::Fold | Phase::Idle) {
            return self.misuse(
                ctx,
                "ctx.reject is not for events; refuse in the command, before ctx.emit".to_owned(),
            );
        }
        let Some(code) = code.filter(|code| !code.is_empty()) else {
            return self
                .misuse(ctx, "ctx.reject(code, message) needs a code, such as \"OutOfStock\"".to_owned());
        };
        let message = message.unwrap_or_default();
        let thrown = Exception::throw_message(ctx, &format!("rejected: {code}: {message}"));
        self.decide(Verdict::Rejected { code, message });
        thrown
    }

    /// Writes a line of `console` to the log.
    pub(super) fn log(&self, level: &str, line: &str) {
        let running = self.running.borrow();
        let id = running.id.as_str();
        let actor_type = running.version.as_ref().map_or("", |version| &version.type_name);
        match level {
            "debug" => tracing::debug!(target: "behavior", actor_type, id, "{line}"),
            "warn" => tracing::warn!(target: "behavior", actor_type, id, "{line}"),
            "error" => tracing::error!(target: "behavior", actor_type, id, "{line}"),
            _ => tracing::info!(target: "behavior", actor_type, id, "{line}"),
        }
    }
}

/// Names of a member's functions, for a sentence that says what there is.
pub(super) fn known<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    let mut names: Vec<&str> = names.map(|name| &**name).collect();
    names.sort_unstable();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
