//! `corallite check`: everything that can be said about manifests without running them.
//!
//! Offline: it reads the files it is given and those they refer to, and talks to nobody. What it
//! accepts, an API server with our definitions accepts too.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use corallite_cell::behavior::{Engine, Interface, QuickJsEngine, ScriptError, ScriptErrorKind, VersionKey};
use corallite_cell::ids::TypeId;
use corallite_cell::spec::ActorSpec;

use crate::manifest::{self, Finding, Loaded, LoadedShard, list};

/// Check manifests and behaviors without running them.
///
/// Prints every finding as path:line:column, then a summary. The exit code is 1 when there are errors;
/// warnings alone leave it 0.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Manifest files, or folders whose .yaml and .yml files are read (not those of folders below).
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Checks and prints.
#[must_use]
pub fn run(args: CheckArgs) -> ExitCode {
    let CheckArgs { paths } = args;
    let loaded = check(&paths);
    for finding in &loaded.findings {
        println!("{finding}");
    }
    println!("{}", summary(&loaded));
    if loaded.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Loads manifests, compiles their behaviors and compares the two.
#[must_use]
pub fn check(paths: &[PathBuf]) -> Loaded {
    let mut loaded = manifest::load(paths);
    for shard in &loaded.shards {
        let known_types = shard.spec.actors.iter().map(|actor| actor.type_name.clone()).collect();
        let findings = check_shard(shard, |actor| compile(actor, &known_types));
        loaded.findings.extend(findings);
    }
    loaded.findings.sort_by(|a, b| a.place.cmp(&b.place));
    loaded
}

fn check_shard(
    shard: &LoadedShard,
    compile: impl Fn(&ActorSpec) -> Result<Interface, ScriptError>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut interfaces = Vec::new();
    for (n, actor) in shard.spec.actors.iter().enumerate() {
        let schemas = check_json_schemas(shard, n, actor);
        // A schema that is none was said with its place; the script is still to be looked at.
        let schema = if schemas.is_empty() { actor.schema.clone() } else { None };
        findings.extend(schemas);
        match compile(&ActorSpec { schema, ..actor.clone() }) {
            Ok(interface) => {
                findings.extend(check_schema_names(shard, n, &interface));
                interfaces.push(Some(interface));
            }
            Err(error) => {
                let place = shard.place_of(&actor.type_name, &error);
                findings.push(Finding::error(place, format!("{}: {}", actor.type_name, error.message)));
                interfaces.push(None);
            }
        }
    }
    findings.extend(check_reactions(shard, &interfaces));
    findings
}

/// Compiles a behavior as a lane does, beside the other types of its shard.
///
/// # Errors
/// The script does not compile or lacks a part; with its line.
fn compile(actor: &ActorSpec, known_types: &Arc<[Arc<str>]>) -> Result<Interface, ScriptError> {
    let mut engine = QuickJsEngine::new().map_err(|error| ScriptError {
        kind: ScriptErrorKind::Load,
        file: actor.file.clone(),
        line: 0,
        message: format!("the script engine cannot start: {error}"),
    })?;
    engine.load(&actor.behavior(VersionKey { type_id: TypeId(0), ordinal: 1 }, known_types))
}

/// JSON Schemas that are none.
fn check_json_schemas(shard: &LoadedShard, n: usize, actor: &ActorSpec) -> Vec<Finding> {
    let Some(schema) = &actor.schema else { return Vec::new() };
    let top = format!("spec.actors[{n}].schema.jsonSchema");
    let commands = schema.commands.iter().map(|(name, text)| (format!("{top}.commands.{name}"), text));
    let events = schema.events.iter().map(|(name, text)| (format!("{top}.events.{name}"), text));
    let state = schema.state.iter().map(|text| (format!("{top}.state"), text));
    commands
        .chain(events)
        .chain(state)
        .filter_map(|(path, text)| {
            let document = serde_json::from_str(text).ok()?;
            let error = jsonschema::validator_for(&document).err()?;
            Some(Finding::error(shard.place(&path), format!("{path}: not a JSON Schema: {error}")))
        })
        .collect()
}

/// Schemas for commands and events that the behavior does not have.
fn check_schema_names(shard: &LoadedShard, n: usize, interface: &Interface) -> Vec<Finding> {
    let Some(schema) = shard.spec.actors.get(n).and_then(|actor| actor.schema.as_ref()) else {
        return Vec::new();
    };
    let commands: Vec<_> = interface.commands.iter().chain(&interface.internal).cloned().collect();
    let unknown = |kind: &str, name: &str, known: &[std::sync::Arc<str>]| {
        let path = format!("spec.actors[{n}].schema.jsonSchema.{kind}.{name}");
        let message = format!("{path}: the behavior has no such name in {kind}; it has {}", list(known));
        Finding::error(shard.place(&path), message)
    };
    let has = |known: &[std::sync::Arc<str>], name: &str| known.iter().any(|known| &**known == name);
    let mut findings = Vec::new();
    findings.extend(
        schema
            .commands
            .iter()
            .filter(|(name, _)| !has(&commands, name))
            .map(|(name, _)| unknown("commands", name, &commands)),
    );
    findings.extend(
        schema
            .events
            .iter()
            .filter(|(name, _)| !has(&interface.events, name))
            .map(|(name, _)| unknown("events", name, &interface.events)),
    );
    findings
}

/// Reactions to types, events, indexes and commands that are not there.
fn check_reactions(shard: &LoadedShard, interfaces: &[Option<Interface>]) -> Vec<Finding> {
    let actors = &shard.object.spec.actors;
    let mut findings = Vec::new();
    for (n, actor) in actors.iter().enumerate() {
        for (m, reaction) in actor.reactions.iter().enumerate() {
            let mut error = |field: &str, message: String| {
                let path = format!("spec.actors[{n}].reactions[{m}].{field}");
                findings.push(Finding::error(shard.place(&path), format!("{path}: {message}")));
            };
            let (source, event) = reaction.on.split_once('.').unwrap_or((&reaction.on, ""));
            match actors.iter().position(|other| other.type_name == source) {
                None => {
                    let types: Vec<_> = actors.iter().map(|actor| &actor.type_name).collect();
                    error("on", format!("the shard has no type {source}; it has {}", list(&types)));
                }
                Some(at) => {
                    let events = interfaces.get(at).and_then(Option::as_ref).map(|i| i.events.as_slice());
                    if let Some(events) = events
                        && !events.iter().any(|known| &**known == event)
                    {
                        error("on", format!("{source} has no event {event}; it has {}", list(events)));
                    }
                }
            }
            if !actor.indexes.iter().any(|index| index.name == reaction.to.index) {
                let names: Vec<_> = actor.indexes.iter().map(|index| &index.name).collect();
                let index = &reaction.to.index;
                error(
                    "to.index",
                    format!("{} has no index {index}; it has {}", actor.type_name, list(&names)),
                );
            }
            let internal = interfaces.get(n).and_then(Option::as_ref).map(|i| i.internal.as_slice());
            if let Some(internal) = internal
                && !internal.iter().any(|known| **known == *reaction.command)
            {
                let command = &reaction.command;
                error(
                    "command",
                    format!("the behavior has no internal {command}; it has {}", list(internal)),
                );
            }
        }
    }
    findings
}

fn summary(loaded: &Loaded) -> String {
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let errors = loaded.findings.iter().filter(|finding| finding.is_error()).count();
    let types = loaded.shards.iter().map(|shard| shard.spec.actors.len()).sum();
    format!(
        "checked {}: {} with {}, {}; {}, {}",
        count(loaded.files.len(), "file"),
        count(loaded.shards.len(), "shard"),
        count(types, "actor type"),
        count(loaded.views, "view"),
        count(errors, "error"),
        count(loaded.findings.len() - errors, "warning"),
    )
}

#[cfg(test)]
mod tests;
