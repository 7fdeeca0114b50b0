//! `ctx.tell(target, command, payload, { onRefused })`.

use std::sync::Arc;

use rquickjs::object::Filter;
use rquickjs::{Atom, Ctx, Error, Value};

use super::NewMessage;
use super::convert::Take;
use super::host::{Host, known};
use super::version::{Version, key_text};
use crate::ids::{ActorRef, check_id};

/// Leaves a message for another actor, sent when the command is durable.
pub(super) fn tell<'js>(
    host: &Host,
    ctx: &Ctx<'js>,
    target: Option<String>,
    command: Option<String>,
    payload: &Value<'js>,
    options: &Value<'js>,
) -> Result<(), Error> {
    let version = host.command(ctx, "tell")?;
    let (Some(target), Some(command)) = (target, command) else {
        let usage = "ctx.tell(\"Type/id\", command, payload, { onRefused }) needs a target and a command, both strings";
        return Err(host.misuse(ctx, usage.to_owned()));
    };
    let address = ActorRef::parse(&target).map_err(|error| host.misuse(ctx, format!("ctx.tell: {error}")))?;
    let Some(target_type) = version.known_types.iter().find(|name| **name == address.type_name) else {
        let types = known(version.known_types.iter());
        let message = format!("ctx.tell: the shard has no actor type {} (it has {types})", address.type_name);
        return Err(host.misuse(ctx, message));
    };
    check_id("command", &command).map_err(|error| host.misuse(ctx, format!("ctx.tell: {error}")))?;
    let [on_refused] = fields(host, ctx, options, "ctx.tell", ["onRefused"])?;
    let on_refused = on_refused
        .map(|value| own_command(host, ctx, &version, &value, "ctx.tell: onRefused"))
        .transpose()?;
    let payload = host.payload(ctx, &version, payload, Take::Copy, "payload")?;
    let message = NewMessage {
        target_type: Arc::clone(target_type),
        target_id: address.id,
        command: command.into(),
        payload,
        on_refused,
    };
    host.record(ctx, |effects| &mut effects.messages, message, "messages")
}

/// A value that must name a command of the running behavior; internal ones are meant.
pub(super) fn own_command(
    host: &Host,
    ctx: &Ctx<'_>,
    version: &Version,
    value: &Value<'_>,
    what: &str,
) -> Result<Arc<str>, Error> {
    let name = value.as_string().and_then(|name| name.to_string().ok());
    let handler = name.as_deref().and_then(|name| version.handler(name, true));
    handler.map(|handler| Arc::clone(&handler.name)).ok_or_else(|| {
        let shown =
            name.map_or_else(|| "a value that is not a string".to_owned(), |name| format!("{name:?}"));
        let names = known(version.internal.keys().chain(version.commands.keys()));
        host.misuse(
            ctx,
            format!(
                "{what} is {shown}, which is no command of this behavior (it has {names}); add it to internal"
            ),
        )
    })
}

/// The named fields of an options object, those that are given; others are a mistake.
pub(super) fn fields<'js, const N: usize>(
    host: &Host,
    ctx: &Ctx<'js>,
    options: &Value<'js>,
    what: &str,
    names: [&str; N],
) -> Result<[Option<Value<'js>>; N], Error> {
    let mut found = [const { None }; N];
    if options.is_undefined() || options.is_null() {
        return Ok(found);
    }
    let known = names.join(", ");
    let Some(object) = options.as_object() else {
        return Err(host.misuse(ctx, format!("{what}: the options are not an object with {known}")));
    };
    for field in object.own_props::<Atom<'js>, Value<'js>>(Filter::default()) {
        let (key, value) = field?;
        let key = key_text(&key)?;
        match names.iter().position(|name| *name == key) {
            Some(_) if value.is_undefined() => {}
            Some(index) => found[index] = Some(value),
            None => return Err(host.misuse(ctx, format!("{what} has no option {key}; it takes {known}"))),
        }
    }
    Ok(found)
}
