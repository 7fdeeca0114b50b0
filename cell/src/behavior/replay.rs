//! What was recorded made live again: states by thawing, events by folding. What an older version
//! recorded goes through `migrate` and `upcast` first. Nothing recorded is refused for its size: the
//! limit may have been lowered since.

use rquickjs::atom::PredefinedAtom;
use rquickjs::{Ctx, Value};

use super::emit::{self, fold_name};
use super::host::{Verdict, known};
use super::quickjs::QuickJsEngine;
use super::state::Held;
use super::version::Version;
use super::{PastEvent, ScriptError, ScriptErrorKind};

impl QuickJsEngine {
    /// A live state of stored bytes.
    pub(super) fn thaw_value<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        bytes: &[u8],
        state_version: u32,
    ) -> Result<Held, ScriptError> {
        let fault = |error: &rquickjs::Error| version.origin.fault(ctx, error, &self.deadline);
        let refuse = |message: String| version.origin.error(ScriptErrorKind::BadState, 0, message);
        let own = version.state_version;
        let mut state: Value<'js> = ctx.json_parse(bytes).map_err(|error| fault(&error))?;
        if state_version > own {
            return Err(refuse(format!(
                "the state has stateVersion {state_version}, this behavior only {own}"
            )));
        }
        if state_version < own {
            let migrate = version.migrate.clone().ok_or_else(|| {
                refuse(format!("the state has stateVersion {state_version}, this behavior {own}; add migrate(state, from)"))
            })?;
            let call = migrate.restore(ctx).and_then(|migrate| migrate.call((state, state_version)));
            state = call.map_err(|error| fault(&error))?;
        }
        Held::take(ctx, &version.realm.intrinsics, state, None, version.stored_bytes_max())
            .map_err(|no_state| no_state.into_error(ctx, &version.origin, &self.deadline, "the state"))
    }

    /// Folds one recorded event.
    pub(super) fn fold_past<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        before: &Held,
        event: &PastEvent<'_>,
    ) -> Result<Held, ScriptError> {
        let fault = |error: &rquickjs::Error| version.origin.fault(ctx, error, &self.deadline);
        let payload: Value<'js> = ctx.json_parse(event.payload).map_err(|error| fault(&error))?;
        let (name, payload) = self.upcast(ctx, version, event, payload)?;
        let name = name.as_deref().unwrap_or(event.name);
        let fold = version.events.get(name).ok_or_else(|| {
            let declared = known(version.events.keys());
            let message = format!("the recorded event {name} cannot be folded; add it to events or upcast (declared: {declared})");
            version.origin.error(ScriptErrorKind::UndeclaredEvent, 0, message)
        })?;
        let after = emit::fold(ctx, version, fold, Some(before), payload, version.stored_bytes_max());
        if let Some(Verdict::Failed(error)) = self.host.take_verdict() {
            return Err(error);
        }
        after.map_err(|no_state| no_state.into_error(ctx, &version.origin, &self.deadline, &fold_name(name)))
    }

    /// The name, if it changes, and the payload of an event recorded under an older state version.
    fn upcast<'js>(
        &self,
        ctx: &Ctx<'js>,
        version: &Version,
        event: &PastEvent<'_>,
        payload: Value<'js>,
    ) -> Result<(Option<String>, Value<'js>), ScriptError> {
        if event.state_version > version.state_version {
            let (theirs, own) = (event.state_version, version.state_version);
            let message = format!(
                "the recorded event {} has stateVersion {theirs}, this behavior only {own}",
                event.name
            );
            return Err(version.origin.error(ScriptErrorKind::BadState, 0, message));
        }
        let upcast = version.upcasts.get(event.name).filter(|_| event.state_version < version.state_version);
        let Some(upcast) = upcast else { return Ok((None, payload)) };
        let call = upcast.function.clone().restore(ctx).and_then(|f| f.call((payload, event.state_version)));
        let result: Value<'js> = call.map_err(|error| version.origin.fault(ctx, &error, &self.deadline))?;
        if let Some(pair) = result.as_array()
            && matches!(pair.as_object().get::<_, f64>(PredefinedAtom::Length), Ok(2.0))
            && let Ok(name) = pair.get::<rquickjs::String<'js>>(0)
            && let (Ok(name), Ok(payload)) = (name.to_string(), pair.get(1))
        {
            return Ok((Some(name), payload));
        }
        Ok((None, result))
    }
}
