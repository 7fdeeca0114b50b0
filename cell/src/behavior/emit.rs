//! `ctx.emit(name, payload)`, and the fold that both a new and a recorded event go through.

use rquickjs::{Ctx, Error, Value};

use super::convert::{Refusal, Take};
use super::host::{Host, known};
use super::state::{Held, NoState};
use super::version::{Handler, Version};
use super::{NewEvent, ScriptErrorKind};

/// Records an event and folds it at once.
pub(super) fn emit<'js>(
    host: &Host,
    ctx: &Ctx<'js>,
    name: Option<String>,
    payload: Value<'js>,
) -> Result<(), Error> {
    let version = host.command(ctx, "emit")?;
    let Some(name) = name else {
        return Err(host.misuse(ctx, "ctx.emit(name, payload) needs the event's name".to_owned()));
    };
    let Some(event) = version.events.get(name.as_str()) else {
        let message = format!(
            "the event {name} is not declared; add it to events (declared: {})",
            known(version.events.keys())
        );
        return Err(host.fail(ctx, ScriptErrorKind::UndeclaredEvent, message));
    };
    let bytes = host.payload(ctx, &version, &payload, Take::Event, &name)?;
    if let Some(validators) = &version.validators
        && let Err(sentence) = validators.check_event(&name, &bytes)
    {
        return Err(host.fail(ctx, ScriptErrorKind::Schema, format!("the event {name}: {sentence}")));
    }
    host.record(
        ctx,
        |effects| &mut effects.events,
        NewEvent { name: event.name.clone(), payload: bytes },
        "events",
    )?;
    let payload = if payload.is_undefined() { Value::new_null(ctx.clone()) } else { payload };
    let before = host.state();
    let after =
        host.folding(|| fold(ctx, &version, event, before.as_ref(), payload, version.state_bytes_max));
    match after {
        Ok(state) => {
            host.set_state(state);
            Ok(())
        }
        Err(NoState::Refused(Refusal::Script(error))) => Err(host.fail_thrown(ctx, &version.origin, error)),
        Err(no_state) => {
            let error = no_state.into_error(ctx, &version.origin, &host.deadline, &fold_name(&name));
            Err(host.fail(ctx, error.kind, error.message))
        }
    }
}

/// What errors call the fold of an event.
pub(super) fn fold_name(event: &str) -> String {
    format!("events.{event}")
}

/// Folds one event into `before`; the state may have `bytes_max` bytes as JSON.
pub(super) fn fold<'js>(
    ctx: &Ctx<'js>,
    version: &Version,
    event: &Handler,
    before: Option<&Held>,
    payload: Value<'js>,
    bytes_max: usize,
) -> Result<Held, NoState> {
    let function = event.function.clone().restore(ctx)?;
    let state = match before {
        Some(held) => held.value.clone().restore(ctx)?,
        None => Value::new_null(ctx.clone()),
    };
    let after: Value<'js> = function.call((state.clone(), payload))?;
    if let Some(held) = before.filter(|_| after == state) {
        return Ok(held.clone());
    }
    Held::take(ctx, &version.realm.intrinsics, after, before, bytes_max)
}
