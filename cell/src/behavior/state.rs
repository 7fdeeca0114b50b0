//! Live states: frozen JavaScript values with a bound on what they would be as JSON.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use rquickjs::{Ctx, Persistent, Runtime, Value};

use super::convert::{Refusal, Take, path_text};
use super::deadline::Deadline;
use super::fault::Origin;
use super::intrinsics::Intrinsics;
use super::{ScriptError, ScriptErrorKind};

/// Folds after which the size of a state is measured even though its bound is within the limit: the
/// bound takes parts kept from the old state to be kept once, and a fold may double them.
const FOLDS_UNMEASURED_MAX: u16 = 32;

/// A live state of one engine: checked, frozen, and counted.
///
/// It keeps the interpreter alive, so it may be dropped after the engine; it is of no use then.
pub struct State {
    pub(super) held: Held,
    /// After the value, which must go first.
    anchor: Rc<Anchor>,
}

/// What all states of an engine share.
pub(super) struct Anchor {
    /// Kept alive until the last state is gone.
    _runtime: Runtime,
    live: Cell<usize>,
}

impl Anchor {
    pub(super) fn new(runtime: Runtime) -> Rc<Self> {
        Rc::new(Self { _runtime: runtime, live: Cell::new(0) })
    }

    /// How many states there are.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }
}

impl State {
    pub(super) fn new(held: Held, anchor: &Rc<Anchor>) -> Self {
        anchor.live.set(anchor.live.get() + 1);
        Self { held, anchor: Rc::clone(anchor) }
    }
}

/// Its size only: what it holds can be seen with the engine alone.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("bytes_max", &self.held.bound).finish_non_exhaustive()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.anchor.live.set(self.anchor.live.get() - 1);
    }
}

/// A frozen value and what is known of its size.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) value: Persistent<Value<'static>>,
    /// At most this many bytes as JSON, unless folds doubled parts of it since it was measured.
    bound: u32,
    /// Folds since the size was exact.
    unmeasured: u16,
}

/// Why a value is no state.
pub(super) enum NoState {
    /// The walk refused it.
    Refused(Refusal),
    /// It is undefined.
    Undefined,
}

impl From<Refusal> for NoState {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rquickjs::Error> for NoState {
    fn from(error: rquickjs::Error) -> Self {
        Self::Refused(Refusal::Script(error))
    }
}

impl Held {
    /// Checks and freezes `value`, the state after `before`.
    pub(super) fn take<'js>(
        ctx: &Ctx<'js>,
        intrinsics: &Intrinsics,
        value: Value<'js>,
        before: Option<&Self>,
        bytes_max: usize,
    ) -> Result<Self, NoState> {
        if value.is_undefined() {
            return Err(NoState::Undefined);
        }
        let value = if is_minus_zero(&value) { Value::new_int(ctx.clone(), 0) } else { value };
        let written = intrinsics.walk(ctx, Take::State, bytes_max)?.run(&value)?;
        let new = u32::try_from(written.length).unwrap_or(u32::MAX);
        let kept = Persistent::save(ctx, value.clone());
        if written.skipped == 0 {
            return Ok(Self { value: kept, bound: new, unmeasured: 0 });
        }
        let (old, folds) = before.map_or((u32::MAX, 0), |before| (before.bound, before.unmeasured));
        let bound = new.saturating_add(old);
        let unmeasured = folds + 1;
        if bound as usize <= bytes_max && unmeasured < FOLDS_UNMEASURED_MAX {
            return Ok(Self { value: kept, bound, unmeasured });
        }
        let exact = intrinsics.walk(ctx, Take::Copy, bytes_max)?.run(&value)?.length;
        Ok(Self { value: kept, bound: u32::try_from(exact).unwrap_or(u32::MAX), unmeasured: 0 })
    }
}

fn is_minus_zero(value: &Value<'_>) -> bool {
    value.as_float().is_some_and(|number| number == 0.0)
}

impl NoState {
    /// The error of a function that should have given a state; `what` names its result.
    pub(super) fn into_error(
        self,
        ctx: &Ctx<'_>,
        origin: &Origin,
        deadline: &Deadline,
        what: &str,
    ) -> ScriptError {
        match self {
            Self::Undefined => origin.error(
                ScriptErrorKind::BadState,
                0,
                format!("{what} gave undefined; return the state, changed or not"),
            ),
            Self::Refused(refusal) => {
                refused(refusal, ctx, origin, deadline, ScriptErrorKind::BadState, what, "stateBytes")
            }
        }
    }
}

/// The error of a value that cannot be written. `whole` names it, `limit` its limit.
pub(super) fn refused(
    refusal: Refusal,
    ctx: &Ctx<'_>,
    origin: &Origin,
    deadline: &Deadline,
    kind: ScriptErrorKind,
    whole: &str,
    limit: &str,
) -> ScriptError {
    match refusal {
        Refusal::Bad { path, what } => origin.error(kind, 0, format!("{} {what}", path_text(whole, path))),
        Refusal::TooLarge(bytes) => origin.error(
            kind,
            0,
            format!("{whole} is larger than {bytes} bytes as JSON ({limit}); keep less in it"),
        ),
        Refusal::Script(error) => origin.fault(ctx, &error, deadline),
    }
}
