//! The config folder that the operator renders for a shard, and what a cell makes of it.
//!
//! | file | content |
//! |---|---|
//! | `shard.yaml` | the `ActorShard`: kind, name, namespace, spec |
//! | `<Type>.js` | the behavior of each type whose manifest refers to a ConfigMap |
//! | `hash` | identifies all the others together |
//!
//! Guarantees: a folder is read as it was at one time, also while Kubernetes swaps it for another
//! ([`read`]); a changed folder is taken over without a restart as far as it can be ([`follow`]).
//! Unknown fields are ignored: the API server refused those that its version does not know, and a
//! cell may be older. The hash is compared, not computed.

pub mod follow;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use corallite_crds::{ActorShard, ActorType, schema};
use serde_json::Value;

use crate::spec::{ActorSpec, ShardSpec};

/// The manifest.
const MANIFEST: &str = "shard.yaml";
/// What identifies the rest.
const HASH: &str = "hash";
/// Kubernetes puts a whole new folder in place by renaming this link.
const DATA_LINK: &str = "..data";
/// Tries to read a folder that changes meanwhile.
const TRIES_MAX: u32 = 5;

/// A config folder, read.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Its `hash`.
    pub hash: String,
    /// The shard it declares.
    pub spec: ShardSpec,
}

/// Why a config folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or cannot be read.
    #[error(
        "cannot read {file:?}: {source}; --config names the folder in which the shard's ConfigMap is mounted"
    )]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not YAML.
    #[error("{file:?} is not YAML: {message}")]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// The manifest is not an `ActorShard` that satisfies its schema.
    #[error("{file:?}: {field}: {message}")]
    Field {
        /// The file.
        file: PathBuf,
        /// The field's path: `spec.actors[0].type`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A behavior's text is not there.
    #[error(
        "{file:?} is missing: the behavior of {type_name} is in ConfigMap {map:?}, key {key:?}, and its text belongs here"
    )]
    Behavior {
        /// The file.
        file: PathBuf,
        /// The actor type.
        type_name: String,
        /// The ConfigMap that the manifest names.
        map: String,
        /// The key in it.
        key: String,
    },
    /// It was replaced by another again and again while it was read.
    #[error("{0:?} changes faster than it can be read; it is read again at its next change")]
    Restless(PathBuf),
}

/// Reads a config folder.
///
/// # Errors
/// A file is missing, or the manifest is none; names the file and the field.
pub fn read(folder: &Path) -> Result<Rendered, ConfigError> {
    for _ in 0..TRIES_MAX {
        let files = Files::of(folder);
        let rendered = files.hash().and_then(|hash| Ok(Rendered { hash, spec: files.spec()? }));
        let same_hash =
            rendered.as_ref().map_or(true, |read| files.hash().is_ok_and(|hash| hash == read.hash));
        if same_hash && Files::of(folder) == files {
            return rendered;
        }
    }
    Err(ConfigError::Restless(folder.to_owned()))
}

/// The hash of a config folder now.
///
/// # Errors
/// It is missing or cannot be read.
pub fn read_hash(folder: &Path) -> Result<String, ConfigError> {
    Files::of(folder).hash()
}

/// The files of one rendering.
#[derive(PartialEq, Eq)]
struct Files<'a> {
    /// Where they are: behind the link that Kubernetes swaps.
    folder: PathBuf,
    /// Where they are said to be: errors are the same on every pod.
    shown: &'a Path,
}

impl<'a> Files<'a> {
    fn of(shown: &'a Path) -> Self {
        let folder = fs::canonicalize(shown.join(DATA_LINK)).unwrap_or_else(|_| shown.to_owned());
        Self { folder, shown }
    }

    fn text(&self, name: &str) -> Result<String, ConfigError> {
        let read = fs::read_to_string(self.folder.join(name));
        read.map_err(|source| ConfigError::Read { file: self.shown.join(name), source })
    }

    fn hash(&self) -> Result<String, ConfigError> {
        self.text(HASH).map(|text| text.trim().to_owned())
    }

    fn spec(&self) -> Result<ShardSpec, ConfigError> {
        let shard = parse(&self.shown.join(MANIFEST), &self.text(MANIFEST)?)?;
        let namespace = shard.metadata.namespace.as_deref().unwrap_or_default();
        let actors = shard.spec.actors.iter().map(|actor| self.behavior(actor));
        Ok(ShardSpec::declared(&shard, namespace, actors.collect::<Result<_, _>>()?))
    }

    fn behavior(&self, actor: &ActorType) -> Result<ActorSpec, ConfigError> {
        let own = format!("{}.js", actor.type_name);
        let Some(reference) = &actor.behavior.config_map_key_ref else {
            let source = actor.behavior.source.as_deref().unwrap_or_default();
            return Ok(ActorSpec::declared(actor, &own, source));
        };
        match self.text(&own) {
            // Errors name the key that the user wrote, not the file that the operator made of it.
            Ok(source) => Ok(ActorSpec::declared(actor, &reference.key, &source)),
            Err(ConfigError::Read { file, source }) if source.kind() == io::ErrorKind::NotFound => {
                Err(ConfigError::Behavior {
                    file,
                    type_name: actor.type_name.clone(),
                    map: reference.name.clone(),
                    key: reference.key.clone(),
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// The object with its defaults, once it satisfies its schema.
fn parse(file: &Path, text: &str) -> Result<ActorShard, ConfigError> {
    let field = |field: &str, message: String| ConfigError::Field {
        file: file.to_owned(),
        field: field.to_owned(),
        message,
    };
    let object: Value = serde_yaml::from_str(text)
        .map_err(|error| ConfigError::Yaml { file: file.to_owned(), message: error.to_string() })?;
    let (version, kind) = (corallite_crds::API_VERSION, "ActorShard");
    for (name, wanted) in [("apiVersion", version), ("kind", kind)] {
        if object[name] != wanted {
            return Err(field(name, format!("it is {}; this cell reads {wanted}", object[name])));
        }
    }
    for name in ["name", "namespace"] {
        if object["metadata"][name].as_str().is_none_or(str::is_empty) {
            return Err(field(&format!("metadata.{name}"), "it is missing".to_owned()));
        }
    }
    let schema = schema::of_kind(kind).unwrap_or_default();
    let object = schema::with_defaults(&schema, &object);
    let validator = jsonschema::validator_for(&schema).map_err(|error| field("spec", error.to_string()))?;
    if let Some(error) = validator.iter_errors(&object).next() {
        return Err(field(&path(&error.instance_path().to_string()), error.to_string()));
    }
    if object["spec"]["store"].get("foundationdb").is_some() {
        let message = "this version of the cell serves store.embedded only";
        return Err(field("spec.store.foundationdb", message.to_owned()));
    }
    serde_json::from_value(object).map_err(|error| field("spec", error.to_string()))
}

/// `/spec/actors/0/type` as people write it.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        if step.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{step}]"));
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(step);
        }
    }
    path
}

#[cfg(test)]
mod tests;
