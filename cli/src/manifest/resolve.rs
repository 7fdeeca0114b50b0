//! From a checked `ActorShard` to what a cell serves: references followed, defaults filled in.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use corallite_cell::behavior::ScriptError;
use corallite_cell::spec::{ActorSpec, ShardSpec};
use corallite_crds::{ActorShard, ActorType};
use serde_json::Value;

use super::configs::{Kustomization, Missing, Text, inline, text_of_map};
use super::files::Document;
use super::finding::{Finding, Place};
use super::tree::{At, Path};

/// A shard that can be served, and where it came from.
#[derive(Clone, Debug)]
pub struct LoadedShard {
    /// What a cell serves.
    pub spec: ShardSpec,
    /// The object as declared, defaults filled in.
    pub object: ActorShard,
    /// The manifest it is declared in.
    pub document: Document,
    /// Where each actor's behavior is, in the order of `spec.actors`.
    pub behaviors: Vec<BehaviorOrigin>,
}

/// Where the JavaScript of an actor type is written.
#[derive(Clone, Debug)]
pub struct BehaviorOrigin {
    /// The actor type's name.
    pub type_name: Arc<str>,
    /// The file to watch: the `.js` file, or the manifest for an inline behavior.
    pub file: PathBuf,
    first_line: Option<u32>,
    at: At,
}

impl LoadedShard {
    /// The place of a field of the manifest.
    #[must_use]
    pub fn place(&self, path: &str) -> Place {
        self.document.place(&Path::parse(path))
    }

    /// Where in the user's files a script of `type_name` failed.
    #[must_use]
    pub fn place_of(&self, type_name: &str, error: &ScriptError) -> Place {
        let Some(origin) = self.behaviors.iter().find(|origin| &*origin.type_name == type_name) else {
            return self.place("spec.actors");
        };
        let at = match (origin.first_line, error.line) {
            (Some(first), line) if line > 0 => At { line: first.saturating_add(line - 1), column: 1 },
            _ => origin.at,
        };
        Place { file: origin.file.clone(), at: Some(at) }
    }
}

/// What references may lead to.
pub struct Sources<'a> {
    /// ConfigMap manifests, as (namespace, name, document).
    pub maps: &'a [(String, String, &'a Document)],
    /// The kustomization of the shard's folder.
    pub kustomization: Option<&'a Kustomization>,
    /// Files read on the way are added here.
    pub files: &'a mut BTreeSet<PathBuf>,
}

/// Resolves one shard. `object` has its defaults filled in and satisfies its schema and rules.
///
/// # Errors
/// Every reference that leads nowhere; never empty.
pub fn resolve(
    object: &Value,
    namespace: &str,
    document: &Document,
    sources: &mut Sources<'_>,
) -> Result<LoadedShard, Vec<Finding>> {
    let shard: ActorShard = serde_json::from_value(object.clone())
        .map_err(|error| vec![Finding::error(document.place(&Path::parse("spec")), error.to_string())])?;
    let mut findings = Vec::new();
    let mut actors = Vec::new();
    let mut behaviors = Vec::new();
    for (n, actor) in shard.spec.actors.iter().enumerate() {
        let path = Path::parse("spec.actors").index(n).key("behavior");
        match behavior(actor, namespace, &path, document, sources) {
            Ok((name, text)) => {
                behaviors.push(BehaviorOrigin {
                    type_name: actor.type_name.as_str().into(),
                    file: text.file.clone(),
                    first_line: text.first_line,
                    at: text.at,
                });
                actors.push(ActorSpec::declared(actor, &name, &text.text));
            }
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let spec = ShardSpec::declared(&shard, namespace, actors);
    Ok(LoadedShard { spec, object: shard, document: document.clone(), behaviors })
}

/// The name that script errors show, and the text.
fn behavior(
    actor: &ActorType,
    namespace: &str,
    path: &Path,
    document: &Document,
    sources: &mut Sources<'_>,
) -> Result<(String, Text), Finding> {
    let Some(reference) = &actor.behavior.config_map_key_ref else {
        let source = path.key("source");
        let node = document.node.find(&source).unwrap_or(&document.node);
        let text = actor.behavior.source.as_deref().unwrap_or_default();
        return Ok((format!("{}.js", actor.type_name), inline(text, &document.file, node)));
    };
    let (map, key) = (reference.name.as_str(), reference.key.as_str());
    let mut found = text_of_map(sources.maps, namespace, map, key);
    if let (Err(Missing::Map), Some(kustomization)) = (&found, sources.kustomization) {
        found = kustomization.text(map, key, sources.files);
    }
    let path = path.key("configMapKeyRef");
    found.map(|text| (key.to_owned(), text)).map_err(|missing| match missing {
        Missing::Map => {
            let folder = document.file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
            let message = format!(
                "{path}.name: there is no ConfigMap {map:?} among the manifests, and no configMapGenerator of that \
                 name in a kustomization.yaml in {}; add one of them",
                folder.display()
            );
            Finding::error(document.place(&path.key("name")), message)
        }
        Missing::Key(keys) => {
            let message = format!("{path}.key: ConfigMap {map:?} has no key {key:?}; it has {}", list(&keys));
            Finding::error(document.place(&path.key("key")), message)
        }
        Missing::File(finding) => finding,
    })
}

/// Names in a sentence.
#[must_use]
pub fn list(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
