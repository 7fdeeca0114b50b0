//! What a native handler may do: the `ctx` of scripts, with the same checks.

use std::borrow::Cow;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::super::schema::Validators;
use super::super::{BehaviorSource, CallContext, NewEvent, NewMessage, ScriptErrorKind, TimerChange};
use super::Behavior;
use crate::ids::ActorRef;
use crate::limits::{COMMAND_EFFECTS_MAX, PAYLOAD_BYTES_MAX};

/// Why a handler stops before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The behavior says no.
    Rejected {
        /// Its code.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// The handler is wrong, as a script that throws.
    Failed(ScriptErrorKind, String),
}

impl Stop {
    /// A refusal.
    #[must_use]
    pub fn reject(code: &str, message: &str) -> Self {
        Self::Rejected { code: code.to_owned(), message: message.to_owned() }
    }

    /// A handler that throws.
    #[must_use]
    pub fn throw(message: impl Into<String>) -> Self {
        Self::Failed(ScriptErrorKind::Threw, message.into())
    }
}

/// One call of a native handler.
pub struct NativeCtx<'a> {
    /// The actor's id.
    pub id: &'a str,
    /// Milliseconds since the epoch, fixed for the call.
    pub now_ms: u64,
    /// The state after the events emitted so far.
    pub state: Cow<'a, Value>,
    pub(super) events: Vec<NewEvent>,
    pub(super) messages: Vec<NewMessage>,
    pub(super) timers: Vec<TimerChange>,
    pub(super) destroy: bool,
    claims: Option<&'a [u8]>,
    chance: SmallRng,
    behavior: &'a Behavior,
    source: &'a BehaviorSource,
    validators: Option<&'a Validators>,
    /// A query: nothing may be done.
    reads: bool,
}

impl<'a> NativeCtx<'a> {
    pub(super) fn new(
        behavior: &'a Behavior,
        source: &'a BehaviorSource,
        validators: Option<&'a Validators>,
        call: &CallContext<'a>,
        state: &'a Value,
        reads: bool,
    ) -> Self {
        Self {
            id: call.id,
            now_ms: call.now_ms,
            state: Cow::Borrowed(state),
            events: Vec::new(),
            messages: Vec::new(),
            timers: Vec::new(),
            destroy: false,
            claims: call.claims,
            chance: SmallRng::seed_from_u64(call.seed),
            behavior,
            source,
            validators,
            reads,
        }
    }

    /// The next number of the seeded stream.
    pub fn random(&mut self) -> u64 {
        self.chance.next_u64()
    }

    /// The verified claims of the caller; an empty object without.
    #[must_use]
    pub fn session(&self) -> Value {
        let claims = self.claims.and_then(|claims| serde_json::from_slice(claims).ok());
        claims.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
    }

    /// Records an event and folds it.
    ///
    /// # Errors
    /// The event is not declared, does not satisfy its schema, is too large or one too many.
    pub fn emit(&mut self, name: &str, payload: Value) -> Result<(), Stop> {
        let room = self.events.len();
        self.may_act(room)?;
        let undeclared =
            || Stop::Failed(ScriptErrorKind::UndeclaredEvent, format!("the event {name} is not declared"));
        let fold = self.behavior.events.get(name).ok_or_else(undeclared)?;
        let json = sized(&payload)?;
        if let Some(validators) = self.validators {
            let checked = validators.check_event(name, json.as_bytes());
            checked.map_err(|sentence| {
                Stop::Failed(ScriptErrorKind::Schema, format!("the event {name}: {sentence}"))
            })?;
        }
        self.state = Cow::Owned(fold(&self.state, &payload));
        self.events.push(NewEvent { name: name.into(), payload: json.into() });
        Ok(())
    }

    /// Leaves a message for `target`, written `Type/id`.
    ///
    /// # Errors
    /// The target is no address of the shard, or the behavior has no command `on_refused`.
    pub fn tell(
        &mut self,
        target: &str,
        command: &str,
        payload: &Value,
        on_refused: Option<&str>,
    ) -> Result<(), Stop> {
        self.may_act(self.messages.len())?;
        let address = ActorRef::parse(target).map_err(|error| bad(error.to_string()))?;
        let known = self.source.known_types.iter().find(|name| **name == address.type_name);
        let target_type =
            known.ok_or_else(|| bad(format!("the shard has no actor type {}", address.type_name)))?;
        if let Some(name) = on_refused.filter(|name| !self.behavior.has_command(name)) {
            return Err(bad(format!("onRefused is {name:?}, which is no command of this behavior")));
        }
        self.messages.push(NewMessage {
            target_type: Arc::clone(target_type),
            target_id: address.id,
            command: command.into(),
            payload: sized(payload)?.into(),
            on_refused: on_refused.map(Arc::from),
        });
        Ok(())
    }

    /// Sets the timer `name`, which runs `command` at `due_ms`.
    ///
    /// # Errors
    /// The behavior has no such command.
    pub fn schedule(&mut self, name: &str, command: &str, due_ms: u64, payload: &Value) -> Result<(), Stop> {
        self.may_act(self.timers.len())?;
        if !self.behavior.has_command(command) {
            return Err(bad(format!("the command is {command:?}, which is no command of this behavior")));
        }
        let payload = sized(payload)?.into();
        self.timers.push(TimerChange::Set { name: name.into(), command: command.into(), due_ms, payload });
        Ok(())
    }

    /// Removes the timer `name`.
    ///
    /// # Errors
    /// There are too many timer changes, or this is a query.
    pub fn cancel(&mut self, name: &str) -> Result<(), Stop> {
        self.may_act(self.timers.len())?;
        self.timers.push(TimerChange::Cancel { name: name.into() });
        Ok(())
    }

    /// Destroys the actor once the command is applied.
    ///
    /// # Errors
    /// This is a query.
    pub fn destroy(&mut self) -> Result<(), Stop> {
        self.may_act(0)?;
        self.destroy = true;
        Ok(())
    }

    fn may_act(&self, already: usize) -> Result<(), Stop> {
        if self.reads {
            return Err(bad("a query only reads".to_owned()));
        }
        if already >= COMMAND_EFFECTS_MAX {
            return Err(bad(format!("more than {COMMAND_EFFECTS_MAX} effects in one command")));
        }
        Ok(())
    }
}

fn bad(message: String) -> Stop {
    Stop::Failed(ScriptErrorKind::BadValue, message)
}

fn sized(payload: &Value) -> Result<String, Stop> {
    let json = payload.to_string();
    if json.len() > PAYLOAD_BYTES_MAX {
        return Err(bad(format!("the payload is larger than {PAYLOAD_BYTES_MAX} bytes as JSON")));
    }
    Ok(json)
}
