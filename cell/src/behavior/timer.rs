//! `ctx.schedule(name, { after | at, payload, command, name })` and `ctx.cancel(name)`.
//!
//! The first argument names both the timer and the command it runs, unless the options say
//! otherwise. Setting a timer replaces the one of the same name.

use std::sync::Arc;

use rquickjs::{Ctx, Error, IntoJs, Value};

use super::TimerChange;
use super::convert::Take;
use super::duration::parse_ms;
use super::host::Host;
use super::tell::{fields, own_command};
use crate::ids::check_id;

/// No timer is due later, in milliseconds since the epoch: the largest exact integer of a script.
const DUE_MS_MAX: f64 = 9_007_199_254_740_991.0;

/// Sets a timer.
pub(super) fn schedule<'js>(
    host: &Host,
    ctx: &Ctx<'js>,
    name: Option<String>,
    options: &Value<'js>,
) -> Result<(), Error> {
    let version = host.command(ctx, "schedule")?;
    let Some(name) = name else {
        let usage = "ctx.schedule(name, { after: \"30m\" }) needs the timer's name";
        return Err(host.misuse(ctx, usage.to_owned()));
    };
    let [after, at, payload, command, renamed] =
        fields(host, ctx, options, "ctx.schedule", ["after", "at", "payload", "command", "name"])?;
    let command = match command {
        Some(command) => command,
        None => name.as_str().into_js(ctx)?,
    };
    let command = own_command(host, ctx, &version, &command, "ctx.schedule: the command")?;
    let name = renamed.map_or(Some(name), |value| value.as_string().and_then(|text| text.to_string().ok()));
    let name = timer_name(host, ctx, "ctx.schedule", name)?;
    let due_ms = due(host, ctx, after, at)?;
    let payload = payload.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
    let payload = host.payload(ctx, &version, &payload, Take::Copy, "payload")?;
    let change = TimerChange::Set { name, command, due_ms, payload };
    host.record(ctx, |effects| &mut effects.timers, change, "timer changes")
}

/// Removes a timer.
pub(super) fn cancel(host: &Host, ctx: &Ctx<'_>, name: Option<String>) -> Result<(), Error> {
    host.command(ctx, "cancel")?;
    let name = timer_name(host, ctx, "ctx.cancel", name)?;
    host.record(ctx, |effects| &mut effects.timers, TimerChange::Cancel { name }, "timer changes")
}

fn timer_name(host: &Host, ctx: &Ctx<'_>, what: &str, name: Option<String>) -> Result<Arc<str>, Error> {
    let name = name.ok_or_else(|| host.misuse(ctx, format!("{what} needs the timer's name, a string")))?;
    check_id("the timer's name", &name).map_err(|error| host.misuse(ctx, format!("{what}: {error}")))?;
    Ok(name.into())
}

fn due<'js>(
    host: &Host,
    ctx: &Ctx<'js>,
    after: Option<Value<'js>>,
    at: Option<Value<'js>>,
) -> Result<u64, Error> {
    let due = match (after, at) {
        (Some(after), None) => {
            let ms = match after.as_string().and_then(|text| text.to_string().ok()) {
                Some(text) => parse_ms(&text).map(|ms| ms as f64),
                None => after.as_number(),
            };
            ms.filter(|ms| *ms >= 0.0).map(|ms| host.now_ms() as f64 + ms)
        }
        (None, Some(at)) => at.as_number().filter(|ms| *ms >= 0.0),
        _ => {
            let usage =
                "ctx.schedule needs either after (\"30m\", or milliseconds) or at (milliseconds since 1970)";
            return Err(host.misuse(ctx, usage.to_owned()));
        }
    };
    match due {
        Some(due) if due <= DUE_MS_MAX => Ok(due as u64),
        _ => {
            let usage =
                "ctx.schedule: the time is not one; write after: \"1h30m\" (d, h, m, s, ms), or milliseconds";
            Err(host.misuse(ctx, usage.to_owned()))
        }
    }
}
