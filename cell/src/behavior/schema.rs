//! JSON Schemas of an actor type, compiled once per version.
//!
//! References to other documents are refused: a schema is whole in itself, and nothing is fetched.

use std::sync::Arc;

use jsonschema::Validator;
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::Schema;

/// The compiled schemas of one version.
pub(super) struct Validators {
    commands: FxHashMap<Arc<str>, Validator>,
    events: FxHashMap<Arc<str>, Validator>,
    state: Option<Validator>,
}

impl Validators {
    /// Compiles all schemas of a type.
    ///
    /// # Errors
    /// Names the schema that is not one.
    pub(super) fn compile(schema: &Schema) -> Result<Self, String> {
        Ok(Self {
            commands: table("commands", &schema.commands)?,
            events: table("events", &schema.events)?,
            state: schema.state.as_deref().map(|text| compile("state", text)).transpose()?,
        })
    }

    /// Checks a command's payload; a command without a schema takes anything.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn check_command(&self, name: &str, payload: &[u8]) -> Result<(), String> {
        self.commands.get(name).map_or(Ok(()), |validator| check(validator, "the payload", payload))
    }

    /// Checks an event's payload. When any event has a schema, each must have one.
    ///
    /// # Errors
    /// Names the field, or says that the event is not listed.
    pub(super) fn check_event(&self, name: &str, payload: &[u8]) -> Result<(), String> {
        match self.events.get(name) {
            Some(validator) => check(validator, "the payload", payload),
            None if self.events.is_empty() => Ok(()),
            None => Err("has no schema, though other events do; add it to schema.events".to_owned()),
        }
    }

    /// Whether states have a schema.
    pub(super) fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Checks a state.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn check_state(&self, state: &[u8]) -> Result<(), String> {
        self.state.as_ref().map_or(Ok(()), |validator| check(validator, "the state", state))
    }
}

fn table(what: &str, entries: &[(String, String)]) -> Result<FxHashMap<Arc<str>, Validator>, String> {
    let entry = |(name, text): &(String, String)| {
        Ok((Arc::from(name.as_str()), compile(&format!("{what}.{name}"), text)?))
    };
    entries.iter().map(entry).collect()
}

fn compile(what: &str, text: &str) -> Result<Validator, String> {
    let schema: Value =
        serde_json::from_str(text).map_err(|error| format!("schema.{what} is not JSON: {error}"))?;
    jsonschema::validator_for(&schema).map_err(|error| format!("schema.{what} is not a JSON Schema: {error}"))
}

fn check(validator: &Validator, what: &str, json: &[u8]) -> Result<(), String> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| format!("{what} is not JSON: {error}"))?;
    let Some(error) = validator.iter_errors(&value).next() else { return Ok(()) };
    let path = error.instance_path().to_string();
    let field = if path.is_empty() { what.to_owned() } else { format!("{what} at {path}") };
    Err(format!("{field}: {error}"))
}
