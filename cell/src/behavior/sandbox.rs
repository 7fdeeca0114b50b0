//! The global scope that behaviors run in: pure, frozen, and shared by the versions of a lane.
//!
//! A realm has only the intrinsics that compute: no clock, no chance, no I/O, no code from strings,
//! no modules but the behavior's own; `realm.js` replaces what is left of the machine and freezes all
//! of it. Since nothing in it can change, versions share one realm, and a version costs its module
//! only. Modules live as long as their realm, so after [`REALM_MODULES_MAX`] a new one is begun.
//!
//! What is not prevented: a variable of a behavior's own module keeps its value between calls. Lanes
//! come and go and share nothing, so a behavior that counts on it is wrong; nothing here relies on it.

use std::cell::Cell;
use std::rc::Rc;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::{Context, Ctx, Function, Object, Persistent, Runtime, Value};

use super::deadline::Deadline;
use super::host::Host;
use super::intrinsics::Intrinsics;
use super::surface;

/// Modules loaded into one realm before the next is begun: what unloaded versions leave behind (some
/// 10 kB each) is bounded by this, and the cost of a realm (some milliseconds) is shared by as many.
pub(super) const REALM_MODULES_MAX: u32 = 128;

const SOURCE: &str = include_str!("realm.js");

/// All that computes. No `Proxy` (it could pose as plain data), no `WeakRef` (it shows the garbage
/// collector), no typed arrays (states cannot hold them, and they cost as much as all the rest).
type Pure = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
);

/// A runtime with its limits; the interpreter's own cycle collection is off, since it stops the thread
/// for as long as there are live objects: the lane collects when it has time.
pub(super) fn runtime(
    heap_bytes_max: usize,
    stack_bytes_max: usize,
    deadline: &Rc<Deadline>,
) -> rquickjs::Result<Runtime> {
    let runtime = Runtime::new()?;
    runtime.set_memory_limit(heap_bytes_max);
    runtime.set_max_stack_size(stack_bytes_max);
    runtime.set_gc_threshold(usize::MAX);
    let deadline = Rc::clone(deadline);
    runtime.set_interrupt_handler(Some(Box::new(move || deadline.is_over())));
    Ok(runtime)
}

/// A frozen global scope.
pub(super) struct Realm {
    /// What handlers get as `ctx`.
    pub(super) ctx_object: Persistent<Object<'static>>,
    /// Its native functions and prototypes.
    pub(super) intrinsics: Rc<Intrinsics>,
    modules: Cell<u32>,
    /// Last, since the values above live in it.
    pub(super) context: Context,
}

impl Realm {
    /// Makes a realm whose `ctx` object talks to `host`.
    pub(super) fn new(runtime: &Runtime, host: &Rc<Host>) -> rquickjs::Result<Rc<Self>> {
        let context = Context::custom::<Pure>(runtime)?;
        let (ctx_object, intrinsics) = context.with(|ctx| prepare(&ctx, host))?;
        Ok(Rc::new(Self { ctx_object, intrinsics, modules: Cell::new(0), context }))
    }

    /// Counts a module that is about to be loaded.
    pub(super) fn add_module(&self) {
        self.modules.set(self.modules.get() + 1);
    }

    /// Whether the next module belongs into a new realm.
    pub(super) fn is_full(&self) -> bool {
        self.modules.get() >= REALM_MODULES_MAX
    }
}

fn prepare(
    ctx: &Ctx<'_>,
    host: &Rc<Host>,
) -> rquickjs::Result<(Persistent<Object<'static>>, Rc<Intrinsics>)> {
    let mut options = EvalOptions::default();
    options.filename = Some("realm.js".to_owned());
    let make: Function<'_> = ctx.eval_with_options(SOURCE, options)?;
    let parts: Vec<Value<'_>> = make.call((surface::functions(ctx, host)?,))?;
    let Ok([ctx_object, freeze, is_extensible, object_prototype, array_prototype, make_error]) =
        <[Value<'_>; 6]>::try_from(parts)
    else {
        return Err(rquickjs::Error::Unknown);
    };
    let intrinsics = Intrinsics::new(
        ctx,
        freeze.get()?,
        is_extensible.get()?,
        object_prototype,
        array_prototype,
        make_error.get()?,
    );
    let intrinsics = Rc::new(intrinsics);
    host.set_intrinsics(&intrinsics);
    Ok((Persistent::save(ctx, ctx_object.get::<Object<'_>>()?), intrinsics))
}
