//! The functions that scripts reach, and how their arguments are taken.

use std::rc::Rc;

use rquickjs::function::Opt;
use rquickjs::{Ctx, Error, Function, IntoJs, Object, Value};

use super::host::Host;
use super::{emit, tell, timer};

/// Longest line of `console` that is kept, in bytes.
const LOG_LINE_BYTES_MAX: usize = 4_096;

/// The text of an argument that is a string.
fn text(value: &Opt<Value<'_>>) -> Option<String> {
    value.0.as_ref()?.as_string()?.to_string().ok()
}

/// An argument, undefined if it was not given.
fn given<'js>(ctx: &Ctx<'js>, value: Opt<Value<'js>>) -> Value<'js> {
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
    function!(object, ctx, host, "id", |h, ctx: Ctx<'js>| { h.id(&ctx) });
    function!(object, ctx, host, "type", |h, ctx: Ctx<'js>| (*h.version(&ctx)?.type_name).into_js(&ctx));
    function!(object, ctx, host, "state", |h, ctx: Ctx<'js>| {
        h.version(&ctx)?;
        h.state().map_or_else(|| Ok(Value::new_null(ctx.clone())), |held| held.value.restore(&ctx))
    });
    function!(object, ctx, host, "now", |h, ctx: Ctx<'js>| h.clock(&ctx, "ctx.now"));
    function!(object, ctx, host, "clock", |h, ctx: Ctx<'js>| h.clock(&ctx, "the time"));
    function!(object, ctx, host, "chance", |h, ctx: Ctx<'js>| h.random(&ctx, "Math.random()"));
    function!(object, ctx, host, "random", |h, ctx: Ctx<'js>| h.random(&ctx, "ctx.random()"));
    function!(object, ctx, host, "uuid", |h, ctx: Ctx<'js>| h.uuid(&ctx));
    function!(object, ctx, host, "session", |h, ctx: Ctx<'js>| h.session(&ctx));
    function!(object, ctx, host, "log", |h, level: String, line: rquickjs::Coerced<String>| {
        let cut = line.0.floor_char_boundary(LOG_LINE_BYTES_MAX);
        h.log(&level, &line.0[..cut]);
    });
    function!(object, ctx, host, "harden", |h, ctx: Ctx<'js>, value: Value<'js>| { h.harden(&ctx, value) });
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
    function!(object, ctx, host, "destroy", |h, ctx: Ctx<'js>| { h.destroy(&ctx) });
    Ok(())
}
