//! Manifests: from files and folders that a user names to shards that a cell can serve.
//!
//! [`load`] reads everything and collects everything that is wrong, each finding with file, line and
//! column. It compiles no behavior (`corallite check` does) and asks no cluster. A shard with an error
//! is left out of the result; the others are still there.

mod configs;
mod files;
mod finding;
mod resolve;
mod schema;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use corallite_crds::{API_VERSION, GROUP};
use serde_json::Value;

use configs::Kustomization;
use files::Document;
pub use finding::Finding;
pub use resolve::{LoadedShard, list};
use resolve::{Sources, resolve};
use tree::Path;

/// Kubernetes' namespace of objects that name none.
const NAMESPACE_DEFAULT: &str = "default";

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Shards without errors, in the order read.
    pub shards: Vec<LoadedShard>,
    /// Views without errors.
    pub views: usize,
    /// What is wrong, and what is declared but has no effect in this version; by place.
    pub findings: Vec<Finding>,
    /// Every file that was read: a change of one of them may change the result.
    pub files: BTreeSet<PathBuf>,
}

impl Loaded {
    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }
}

/// Loads manifests from files and folders (of a folder: the `.yaml` and `.yml` files directly in it).
#[must_use]
pub fn load(paths: &[PathBuf]) -> Loaded {
    let read = files::read(paths);
    let mut loader = Loader { findings: read.findings, files: read.files, ..Loader::default() };
    let objects: Vec<_> = read.documents.iter().filter_map(|document| loader.identify(document)).collect();
    loader.refuse_duplicates(&objects);
    let maps: Vec<_> = objects
        .iter()
        .filter(|object| object.kind == "ConfigMap")
        .map(|object| (object.namespace.clone(), object.name.clone(), object.document))
        .collect();
    let shards: Vec<_> = objects
        .iter()
        .filter(|object| object.kind == "ActorShard")
        .filter_map(|object| loader.shard(object, &maps))
        .collect();
    let views = objects
        .iter()
        .filter(|object| object.kind == "View")
        .filter(|view| loader.view(view, &objects))
        .count();
    let Loader { mut findings, mut files, kustomizations } = loader;
    files.extend(kustomizations.into_values().flatten().map(|kustomization| kustomization.file));
    findings.sort_by(|a, b| a.place.cmp(&b.place));
    findings.dedup();
    Loaded { shards, views, findings, files }
}

/// A document that says what it is.
struct Object<'a> {
    kind: String,
    namespace: String,
    name: String,
    document: &'a Document,
}

#[derive(Default)]
struct Loader {
    findings: Vec<Finding>,
    files: BTreeSet<PathBuf>,
    kustomizations: BTreeMap<PathBuf, Option<Kustomization>>,
}

impl Loader {
    /// What a document is; `None`, with a finding, when it is nothing for us.
    fn identify<'a>(&mut self, document: &'a Document) -> Option<Object<'a>> {
        let text = |path: &[&str]| document.node.text_at(path).map(str::to_owned);
        let (Some(version), Some(kind)) = (text(&["apiVersion"]), text(&["kind"])) else {
            let message = "the document is no manifest: apiVersion and kind must be texts";
            self.findings.push(Finding::error(document.place(&Path::default()), message));
            return None;
        };
        match (version.as_str(), kind.as_str()) {
            (API_VERSION, "ActorShard" | "View") | ("v1", "ConfigMap") => {}
            (API_VERSION, _) => {
                let message = format!("kind: {GROUP} has no kind {kind:?}; it has ActorShard and View");
                self.findings.push(Finding::error(document.place(&Path::parse("kind")), message));
                return None;
            }
            (other, _) if other == GROUP || other.starts_with(&format!("{GROUP}/")) => {
                let message = format!("apiVersion: {other:?} is not served; write {API_VERSION}");
                self.findings.push(Finding::error(document.place(&Path::parse("apiVersion")), message));
                return None;
            }
            (_, "ActorShard" | "View") => {
                let message = format!("apiVersion: a {kind} of {version:?} is not ours; write {API_VERSION}");
                self.findings.push(Finding::warning(document.place(&Path::parse("apiVersion")), message));
                return None;
            }
            _ => {
                let message =
                    format!("kind: {kind} of {version} is for the cluster; it is not looked at here");
                self.findings.push(Finding::warning(document.place(&Path::parse("kind")), message));
                return None;
            }
        }
        let namespace = text(&["metadata", "namespace"])
            .or_else(|| self.kustomization(document)?.namespace().map(str::to_owned))
            .unwrap_or_else(|| NAMESPACE_DEFAULT.to_owned());
        let name = text(&["metadata", "name"]).unwrap_or_default();
        Some(Object { kind, namespace, name, document })
    }

    /// The kustomization beside a document; read once per folder.
    fn kustomization(&mut self, document: &Document) -> Option<&Kustomization> {
        let folder = document.file.parent().unwrap_or(FilePath::new("")).to_owned();
        let (kustomizations, findings) = (&mut self.kustomizations, &mut self.findings);
        kustomizations
            .entry(folder)
            .or_insert_with_key(|folder| {
                Kustomization::of(folder).unwrap_or_else(|finding| {
                    findings.push(finding);
                    None
                })
            })
            .as_ref()
    }

    fn refuse_duplicates(&mut self, objects: &[Object<'_>]) {
        let mut first: BTreeMap<(&str, &str, &str), &Document> = BTreeMap::new();
        for object in objects.iter().filter(|object| !object.name.is_empty()) {
            let Object { kind, namespace, name, document } = object;
            if let Some(other) = first.get(&(kind, namespace, name)) {
                let path = Path::parse("metadata.name");
                let message = format!(
                    "metadata.name: {kind} {namespace}/{name} is already declared at {}",
                    other.place(&path)
                );
                self.findings.push(Finding::error(document.place(&path), message));
            } else {
                first.insert((kind, namespace, name), document);
            }
        }
    }

    /// The object with its defaults, when its schema and rules are satisfied.
    fn checked(&mut self, object: &Object<'_>) -> Option<Value> {
        let schema = corallite_crds::schema::of_kind(&object.kind)?;
        match schema::check(&schema, object.document) {
            Ok(value) => Some(value),
            Err(findings) => {
                self.findings.extend(findings);
                None
            }
        }
    }

    fn shard(&mut self, object: &Object<'_>, maps: &[(String, String, &Document)]) -> Option<LoadedShard> {
        let value = self.checked(object)?;
        let kustomization = self.kustomization(object.document).cloned();
        let mut sources = Sources { maps, kustomization: kustomization.as_ref(), files: &mut self.files };
        let shard = match resolve(&value, &object.namespace, object.document, &mut sources) {
            Ok(shard) => shard,
            Err(findings) => {
                self.findings.extend(findings);
                return None;
            }
        };
        for actor in &shard.object.spec.actors {
            let Some(reference) = &actor.behavior.config_map_key_ref else { continue };
            let generated =
                !maps.iter().any(|(ns, name, _)| *ns == object.namespace && *name == reference.name);
            if generated && let Some(kustomization) = &kustomization {
                self.findings.extend(kustomization.suffix_warning(&reference.name));
            }
        }
        self.findings.extend(not_served(&shard));
        Some(shard)
    }

    fn view(&mut self, object: &Object<'_>, objects: &[Object<'_>]) -> bool {
        let Some(value) = self.checked(object) else { return false };
        let shard = value["spec"]["shard"].as_str().unwrap_or_default();
        let known = objects.iter().any(|other| {
            other.kind == "ActorShard" && other.namespace == object.namespace && other.name == shard
        });
        let path = Path::parse("spec.shard");
        if !known {
            let message = format!(
                "spec.shard: there is no ActorShard {:?} among the manifests; name its manifest too",
                format!("{}/{shard}", object.namespace)
            );
            self.findings.push(Finding::error(object.document.place(&path), message));
            return false;
        }
        let message = format!("View {}: views are declared but not served by this version", object.name);
        self.findings.push(Finding::warning(object.document.place(&Path::parse("kind")), message));
        true
    }
}

/// What a shard declares and this version does not do.
fn not_served(shard: &LoadedShard) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |path: &str, what: &str| {
        let message = format!("{path}: {what} declared but not served by this version");
        findings.push(Finding::warning(shard.place(path), message));
    };
    for (n, actor) in shard.object.spec.actors.iter().enumerate() {
        if !actor.indexes.is_empty() {
            warn(&format!("spec.actors[{n}].indexes"), "indexes are");
        }
        if !actor.reactions.is_empty() {
            warn(&format!("spec.actors[{n}].reactions"), "reactions are");
        }
        if actor.schema.as_ref().is_some_and(|schema| schema.protobuf.is_some()) {
            warn(&format!("spec.actors[{n}].schema.protobuf"), "protobuf schemas are");
        }
    }
    if shard.object.spec.auth.is_some() {
        warn("spec.auth", "token checks are");
    }
    findings
}

#[cfg(test)]
mod tests;
