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
use rquickjs::function::Opt;
use rquickjs::{Ctx, Error, Exception, Function, IntoJs, Object, Persistent, Value};

use super::convert::{Intrinsics, Take};
use super::deadline::Deadline;
use super::fault::Origin;
use super::state::{Held, refused};
use super::version::Version;
use super::{
    CallContext, NewEvent, NewMessage, ScriptError, ScriptErrorKind, TimerChange, emit, tell, timer,
};
use crate::limits::{COMMAND_EFFECTS_MAX, PAYLOAD_BYTES_MAX};

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
    fn version(&self, ctx: &Ctx<'_>) -> Result<Rc<Version>, Error> {
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
            Ok(written) => Ok(written.bytes.into()),
            Err(super::convert::Refusal::Script(error)) => Err(self.fail_thrown(ctx, &version.origin, error)),
            Err(refusal) => {
                let kind = ScriptErrorKind::BadValue;
                let error =
                    refused(refusal, ctx, &version.origin, &self.deadline, kind, whole, "payload limit");
                Err(self.fail(ctx, kind, error.message))
            }
        }
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

    fn random(&self, ctx: &Ctx<'_>, what: &str) -> Result<f64, Error> {
        // 53 random bits make every f64 of 0..1 with equal steps.
        self.volatile(ctx, what, |running| (running.chance.next_u64() >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn uuid(&self, ctx: &Ctx<'_>) -> Result<String, Error> {
        self.volatile(ctx, "ctx.uuid()", |running| {
            let bits = (u128::from(running.chance.next_u64()) << 64) | u128::from(running.chance.next_u64());
            uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
        })
    }

    fn session<'js>(&self, ctx: &Ctx<'js>) -> Result<Value<'js>, Error> {
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

    fn reject(&self, ctx: &Ctx<'_>, code: Option<String>, message: Option<String>) -> Error {
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

    fn log(&self, level: &str, line: &str) {
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

/// Longest line of `console` that is kept, in bytes.
const LOG_LINE_BYTES_MAX: usize = 4_096;

/// The text of an argument that is a string.
pub(super) fn text(value: &Opt<Value<'_>>) -> Option<String> {
    value.0.as_ref()?.as_string()?.to_string().ok()
}

/// An argument, undefined if it was not given.
pub(super) fn given<'js>(ctx: &Ctx<'js>, value: Opt<Value<'js>>) -> Value<'js> {
    value.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()))
}

/// The object of functions that `realm.js` takes.
pub(super) fn functions<'js>(ctx: &Ctx<'js>, host: &Rc<Host>) -> rquickjs::Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    reading(ctx, host, &object)?;
    acting(ctx, host, &object)?;
    Ok(object)
}

/// Sets `name` of `object` to a function of this host.
macro_rules! function {
    ($object:ident, $ctx:ident, $host:ident, $name:literal, |$h:ident $(, $arg:ident: $type:ty)*| $body:expr) => {{
        let $h = Rc::clone($host);
        let function = Function::new($ctx.clone(), move |$($arg: $type),*| $body)?;
        $object.set($name, function.with_name($name)?)?;
    }};
}

fn reading<'js>(ctx: &Ctx<'js>, host: &Rc<Host>, object: &Object<'js>) -> rquickjs::Result<()> {
    function!(object, ctx, host, "id", |h, ctx: Ctx<'js>| {
        h.version(&ctx)?;
        h.running.borrow().id.as_str().into_js(&ctx)
    });
    function!(object, ctx, host, "type", |h, ctx: Ctx<'js>| (*h.version(&ctx)?.type_name).into_js(&ctx));
    function!(object, ctx, host, "state", |h, ctx: Ctx<'js>| {
        h.version(&ctx)?;
        h.state().map_or_else(|| Ok(Value::new_null(ctx.clone())), |held| held.value.restore(&ctx))
    });
    function!(object, ctx, host, "now", |h, ctx: Ctx<'js>| h.volatile(&ctx, "ctx.now", |r| r.now_ms as f64));
    function!(object, ctx, host, "clock", |h, ctx: Ctx<'js>| h
        .volatile(&ctx, "the time", |r| r.now_ms as f64));
    function!(object, ctx, host, "chance", |h, ctx: Ctx<'js>| h.random(&ctx, "Math.random()"));
    function!(object, ctx, host, "random", |h, ctx: Ctx<'js>| h.random(&ctx, "ctx.random()"));
    function!(object, ctx, host, "uuid", |h, ctx: Ctx<'js>| h.uuid(&ctx));
    function!(object, ctx, host, "session", |h, ctx: Ctx<'js>| h.session(&ctx));
    function!(object, ctx, host, "log", |h, level: String, line: rquickjs::Coerced<String>| {
        let cut = line.0.floor_char_boundary(LOG_LINE_BYTES_MAX);
        h.log(&level, &line.0[..cut]);
    });
    function!(object, ctx, host, "harden", |h, ctx: Ctx<'js>, value: Value<'js>| {
        let intrinsics = h.intrinsics.borrow().clone();
        // What is not plain data stays as it is: it can be in no state.
        if let Some(intrinsics) = intrinsics
            && let Err(super::state::NoState::Refused(super::convert::Refusal::Script(error))) =
                Held::take(&ctx, &intrinsics, value, None, usize::MAX)
        {
            return Err(error);
        }
        Ok(())
    });
    Ok(())
}

fn acting<'js>(ctx: &Ctx<'js>, host: &Rc<Host>, object: &Object<'js>) -> rquickjs::Result<()> {
    type Arg<'js> = Opt<Value<'js>>;
    function!(object, ctx, host, "reject", |h, ctx: Ctx<'js>, code: Arg<'js>, message: Arg<'js>| {
        Err::<(), Error>(h.reject(&ctx, text(&code), text(&message)))
    });
    function!(object, ctx, host, "emit", |h, ctx: Ctx<'js>, name: Arg<'js>, payload: Arg<'js>| {
        emit::emit(&h, &ctx, text(&name), given(&ctx, payload))
    });
    function!(object, ctx, host, "tell", |h,
                                          ctx: Ctx<'js>,
                                          target: Arg<'js>,
                                          command: Arg<'js>,
                                          payload: Arg<'js>,
                                          options: Arg<'js>| {
        tell::tell(&h, &ctx, text(&target), text(&command), &given(&ctx, payload), &given(&ctx, options))
    });
    function!(object, ctx, host, "schedule", |h, ctx: Ctx<'js>, name: Arg<'js>, options: Arg<'js>| {
        timer::schedule(&h, &ctx, text(&name), &given(&ctx, options))
    });
    function!(object, ctx, host, "cancel", |h, ctx: Ctx<'js>, name: Arg<'js>| {
        timer::cancel(&h, &ctx, text(&name))
    });
    function!(object, ctx, host, "destroy", |h, ctx: Ctx<'js>| {
        h.command(&ctx, "destroy")?;
        h.effects.borrow_mut().destroy = true;
        Ok::<(), Error>(())
    });
    Ok(())
}

/// Names of a member's functions, for a sentence that says what there is.
pub(super) fn known<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    let mut names: Vec<&str> = names.map(|name| &**name).collect();
    names.sort_unstable();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
