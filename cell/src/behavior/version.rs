//! One loaded version of a behavior: its module evaluated, its shape checked, its functions kept.

use std::rc::Rc;
use std::sync::Arc;

use rquickjs::object::Filter;
use rquickjs::promise::PromiseState;
use rquickjs::{Atom, Ctx, Function, Module, Object, Persistent, Value};
use rustc_hash::FxHashMap;

use super::deadline::Deadline;
use super::fault::Origin;
use super::intrinsics::Intrinsics;
use super::sandbox::Realm;
use super::schema::Validators;
use super::state::Held;
use super::{BehaviorSource, Interface, ScriptError, ScriptErrorKind};
use crate::ids::check_id;
use crate::limits::RECORD_BYTES_MAX;

/// What a behavior's default export may have.
const MEMBERS: [&str; 8] =
    ["initial", "commands", "internal", "events", "queries", "migrate", "upcast", "stateVersion"];

/// A function of a behavior, by name.
pub(super) struct Handler {
    /// Its name, shared with what it leaves in records.
    pub(super) name: Arc<str>,
    /// The function.
    pub(super) function: Persistent<Function<'static>>,
}

/// Functions of one member.
pub(super) type Handlers = FxHashMap<Arc<str>, Handler>;

/// A loaded version.
pub(super) struct Version {
    pub(super) type_name: Arc<str>,
    pub(super) origin: Origin,
    pub(super) command_ms: u32,
    /// Largest state that an event may give, in bytes of JSON.
    pub(super) state_bytes_max: usize,
    pub(super) known_types: Arc<[Arc<str>]>,
    pub(super) validators: Option<Validators>,
    pub(super) commands: Handlers,
    pub(super) internal: Handlers,
    pub(super) events: Handlers,
    pub(super) queries: Handlers,
    pub(super) upcasts: Handlers,
    pub(super) migrate: Option<Persistent<Function<'static>>>,
    pub(super) state_version: u32,
    pub(super) initial: Held,
    /// Last, since the values above live in it.
    pub(super) realm: Rc<Realm>,
}

impl Version {
    /// The handler of `name`; internal ones only when `internal`.
    pub(super) fn handler(&self, name: &str, internal: bool) -> Option<&Handler> {
        self.commands.get(name).or_else(|| internal.then(|| self.internal.get(name)).flatten())
    }

    /// Largest state that is read or written: one that was recorded under a higher limit must not be lost.
    pub(super) fn stored_bytes_max(&self) -> usize {
        self.state_bytes_max.max(RECORD_BYTES_MAX)
    }

    /// What the version offers, names sorted.
    pub(super) fn interface(&self) -> Interface {
        Interface {
            commands: names(&self.commands),
            internal: names(&self.internal),
            events: names(&self.events),
            queries: names(&self.queries),
            upcasts: names(&self.upcasts),
            state_version: self.state_version,
            migrates: self.migrate.is_some(),
        }
    }
}

/// The text of a property name. Not the atom's own `to_string`, which trusts it to be UTF-8 and to have
/// no NUL.
pub(super) fn key_text(name: &Atom<'_>) -> rquickjs::Result<String> {
    name.to_js_string()?.to_string()
}

fn names(handlers: &Handlers) -> Vec<Arc<str>> {
    let mut names: Vec<_> = handlers.keys().cloned().collect();
    names.sort_unstable();
    names
}

/// Evaluates and checks `source` in `realm`. The deadline is armed, the host lets nothing be emitted.
pub(super) fn load(
    ctx: &Ctx<'_>,
    realm: &Rc<Realm>,
    source: &BehaviorSource,
    deadline: &Deadline,
) -> Result<Version, ScriptError> {
    let origin = Origin { file: Arc::clone(&source.file) };
    let loader = Loader { ctx, origin: &origin, deadline };
    let behavior = loader.evaluate(source)?;
    loader.check_members(&behavior)?;
    let validators = source.schema.as_deref().map(Validators::compile).transpose();
    let commands = loader.handlers(&behavior, "commands")?;
    let internal = loader.handlers(&behavior, "internal")?;
    if let Some(twice) = names(&internal).iter().find(|name| commands.contains_key(*name)) {
        return Err(loader.refuse(format!("{twice} is in both commands and internal; choose one")));
    }
    let state_bytes_max = source.limits.state_bytes as usize;
    Ok(Version {
        type_name: Arc::clone(&source.type_name),
        command_ms: source.limits.command_ms,
        state_bytes_max,
        known_types: Arc::clone(&source.known_types),
        validators: validators.map_err(|sentence| loader.refuse(sentence))?,
        commands,
        internal,
        events: loader.handlers(&behavior, "events")?,
        queries: loader.handlers(&behavior, "queries")?,
        upcasts: loader.handlers(&behavior, "upcast")?,
        migrate: loader.migrate(&behavior)?,
        state_version: loader.state_version(&behavior)?,
        initial: loader.initial(&behavior, &realm.intrinsics, state_bytes_max)?,
        realm: Rc::clone(realm),
        origin,
    })
}

struct Loader<'a, 'js> {
    ctx: &'a Ctx<'js>,
    origin: &'a Origin,
    deadline: &'a Deadline,
}

impl<'js> Loader<'_, 'js> {
    fn refuse(&self, message: impl Into<String>) -> ScriptError {
        self.origin.error(ScriptErrorKind::Load, 0, message)
    }

    /// A failure of the interpreter while loading; limits keep their kind.
    fn fault(&self, error: &rquickjs::Error) -> ScriptError {
        self.as_load(self.origin.fault(self.ctx, error, self.deadline))
    }

    fn as_load(&self, mut fault: ScriptError) -> ScriptError {
        if fault.kind == ScriptErrorKind::Threw {
            fault.kind = ScriptErrorKind::Load;
        }
        if let Some((_, module)) = fault.message.split_once("could not load module ") {
            fault.message = format!("import of {module} is not available; a behavior is one module");
        }
        fault
    }

    fn evaluate(&self, source: &BehaviorSource) -> Result<Object<'js>, ScriptError> {
        let module = Module::declare(self.ctx.clone(), self.origin.module_name(), source.source.as_bytes())
            .map_err(|error| self.fault(&error))?;
        let (module, promise) = module.eval().map_err(|error| self.fault(&error))?;
        match promise.state() {
            PromiseState::Resolved => {}
            PromiseState::Pending => {
                return Err(self.refuse("top-level await is not available in a behavior"));
            }
            PromiseState::Rejected => {
                let thrown: rquickjs::Result<Value<'js>> =
                    promise.result().unwrap_or(Err(rquickjs::Error::Unknown));
                return Err(thrown
                    .err()
                    .map_or_else(|| self.refuse("the module failed"), |e| self.fault(&e)));
            }
        }
        let exported: Value<'js> = module.get("default").map_err(|error| self.fault(&error))?;
        let is_plain = exported.is_object() && !exported.is_function() && !exported.is_array();
        exported.into_object().filter(|_| is_plain).ok_or_else(|| {
            self.refuse("has no default export object; write `export default { initial: …, commands: { … }, events: { … } }`")
        })
    }

    fn check_members(&self, behavior: &Object<'js>) -> Result<(), ScriptError> {
        for name in behavior.own_keys::<Atom<'js>>(Filter::default()) {
            let name = name.and_then(|name| key_text(&name)).map_err(|error| self.fault(&error))?;
            if !MEMBERS.contains(&name.as_str()) {
                let known = MEMBERS.join(", ");
                return Err(self.refuse(format!("has the unknown member {name}; known are {known}")));
            }
        }
        Ok(())
    }

    fn member(&self, behavior: &Object<'js>, name: &str) -> Result<Option<Value<'js>>, ScriptError> {
        let value: Value<'js> = behavior.get(name).map_err(|error| self.fault(&error))?;
        Ok((!value.is_undefined()).then_some(value))
    }

    fn handlers(&self, behavior: &Object<'js>, member: &str) -> Result<Handlers, ScriptError> {
        let Some(value) = self.member(behavior, member)? else { return Ok(Handlers::default()) };
        let table = value.as_object().filter(|_| !value.is_function() && !value.is_array());
        let Some(table) = table else {
            return Err(self.refuse(format!("{member} is not an object of functions")));
        };
        let mut handlers = Handlers::default();
        for field in table.own_props::<Atom<'js>, Value<'js>>(Filter::default()) {
            let (name, value) = field.map_err(|error| self.fault(&error))?;
            let name = key_text(&name).map_err(|error| self.fault(&error))?;
            check_id("name", &name).map_err(|error| self.refuse(format!("{member}: {error}")))?;
            let function = self.function(&format!("{member}.{name}"), value)?;
            let name: Arc<str> = name.into();
            handlers.insert(Arc::clone(&name), Handler { name, function });
        }
        Ok(handlers)
    }

    /// A plain function: not async, not a generator, not a class.
    fn function(&self, what: &str, value: Value<'js>) -> Result<Persistent<Function<'static>>, ScriptError> {
        let Some(function) = value.as_function() else {
            return Err(self.refuse(format!("{what} is not a function")));
        };
        let plain = Function::prototype(self.ctx.clone());
        if function.get_prototype().as_ref() != Some(&plain) {
            return Err(self.refuse(format!(
                "{what} is async or a generator; behaviors are synchronous: ctx.tell and ctx.schedule \
                 take effect when the function has returned"
            )));
        }
        Ok(Persistent::save(self.ctx, function.clone()))
    }

    fn migrate(&self, behavior: &Object<'js>) -> Result<Option<Persistent<Function<'static>>>, ScriptError> {
        self.member(behavior, "migrate")?.map(|value| self.function("migrate", value)).transpose()
    }

    fn state_version(&self, behavior: &Object<'js>) -> Result<u32, ScriptError> {
        let Some(value) = self.member(behavior, "stateVersion")? else { return Ok(1) };
        let version = value.as_int().and_then(|int| u32::try_from(int).ok()).filter(|&version| version >= 1);
        version.ok_or_else(|| self.refuse("stateVersion is not a whole number from 1"))
    }

    fn initial(
        &self,
        behavior: &Object<'js>,
        intrinsics: &Intrinsics,
        bytes_max: usize,
    ) -> Result<Held, ScriptError> {
        let mut value = self
            .member(behavior, "initial")?
            .ok_or_else(|| self.refuse("has no initial; write the state of an actor that never was"))?;
        if let Some(function) = value.as_function() {
            let function = self.function("initial", function.as_value().clone())?;
            let call = function.restore(self.ctx).and_then(|function| function.call(()));
            value = call.map_err(|error| self.fault(&error))?;
        }
        Held::take(self.ctx, intrinsics, value, None, bytes_max)
            .map_err(|refusal| refusal.into_error(self.ctx, self.origin, self.deadline, "initial"))
            .map_err(|error| self.as_load(error))
    }
}
