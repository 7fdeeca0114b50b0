//! From the paths a user gives to parsed documents.
//!
//! A file is read whatever it is called. Of a folder, the files directly in it that end in `.yaml` or
//! `.yml` are read, in the order of their names; folders below it are not. A `kustomization.yaml` is
//! no manifest: it is kept aside for its `configMapGenerator`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Place};
use super::tree::{self, Node, Path as FieldPath};

/// Names under which `kubectl apply -k` finds a kustomization.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file it is in.
    pub file: PathBuf,
    /// Its content.
    pub node: Node,
}

impl Document {
    /// The place of a field.
    #[must_use]
    pub fn place(&self, path: &FieldPath) -> Place {
        Place { file: self.file.clone(), at: Some(self.node.locate(path)) }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The documents, in the order read.
    pub documents: Vec<Document>,
    /// Every file that was read, and those that could not be: what to watch for changes.
    pub files: BTreeSet<PathBuf>,
    /// What could not be read.
    pub findings: Vec<Finding>,
}

/// Reads files and folders.
#[must_use]
pub fn read(paths: &[PathBuf]) -> Read {
    let mut read = Read::default();
    for path in paths {
        if path.is_dir() {
            read_folder(path, &mut read);
        } else {
            read_file(path, &mut read);
        }
    }
    read
}

fn read_folder(folder: &Path, read: &mut Read) {
    let whole = || Place { file: folder.to_owned(), at: None };
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => {
            read.findings.push(Finding::error(whole(), format!("the folder cannot be read: {error}")));
            return;
        }
    };
    let mut files: Vec<_> =
        entries.into_iter().map(|entry| entry.path()).filter(|p| is_manifest(p)).collect();
    files.sort();
    if files.is_empty() {
        let message =
            "no manifests: the folder has no file that ends in .yaml or .yml (folders below it are not read)";
        read.findings.push(Finding::error(whole(), message));
    }
    for file in files {
        read_file(&file, read);
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    let name = path.file_name().and_then(|n| n.to_str());
    matches!(extension, Some("yaml" | "yml"))
        && path.is_file()
        && !name.is_some_and(|name| KUSTOMIZATIONS.contains(&name))
}

fn read_file(file: &Path, read: &mut Read) {
    // The same file may be named twice: alone and by its folder.
    if !read.files.insert(file.to_owned()) {
        return;
    }
    match parse_file(file) {
        Ok(nodes) => {
            read.documents.extend(nodes.into_iter().map(|node| Document { file: file.to_owned(), node }));
        }
        Err(finding) => read.findings.push(finding),
    }
}

/// The documents of one file.
///
/// # Errors
/// The file cannot be read, or is not YAML.
pub fn parse_file(file: &Path) -> Result<Vec<Node>, Finding> {
    let text = read_text(file)
        .map_err(|message| Finding::error(Place { file: file.to_owned(), at: None }, message))?;
    tree::parse(&text)
        .map_err(|error| Finding::error(Place { file: file.to_owned(), at: Some(error.at) }, error.message))
}

/// A file's content as text.
///
/// # Errors
/// A sentence: the file is not there, may not be read, or is not UTF-8.
pub fn read_text(file: &Path) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|error| format!("the file cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "the file is not UTF-8 text: byte {} is not part of a character",
            error.utf8_error().valid_up_to()
        )
    })
}

/// The kustomization in a folder, if there is one.
#[must_use]
pub fn kustomization(folder: &Path) -> Option<PathBuf> {
    KUSTOMIZATIONS.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}
