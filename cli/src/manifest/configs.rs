//! Texts that manifests keep elsewhere: ConfigMaps, and files that a kustomization makes them of.
//!
//! `kubectl apply -k` turns the files of a `configMapGenerator` into a ConfigMap; local runs read the
//! same files, so that behaviors stay plain `.js` files. Of a kustomization only `namespace`,
//! `generatorOptions` and `configMapGenerator` with `files` are looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{Document, kustomization, parse_file, read_text};
use super::finding::{Finding, Place};
use super::tree::{At, Node};

/// A text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The file it is in.
    pub file: PathBuf,
    /// The line of the file on which the text begins; 1 for a file of its own. `None` where lines of
    /// the text are not lines of the file.
    pub first_line: Option<u32>,
    /// Where the manifest has it, for errors without a line.
    pub at: At,
}

/// Why a reference leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such ConfigMap.
    Map,
    /// It has no such key; these are there.
    Key(Vec<String>),
    /// The key is a file that cannot be read.
    File(Finding),
}

/// The kustomization of one folder.
#[derive(Clone, Debug)]
pub struct Kustomization {
    /// Its file.
    pub file: PathBuf,
    node: Node,
}

impl Kustomization {
    /// Reads the kustomization of a folder, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is not one YAML document.
    pub fn of(folder: &Path) -> Result<Option<Self>, Finding> {
        let Some(file) = kustomization(folder) else { return Ok(None) };
        let mut nodes = parse_file(&file)?;
        match (nodes.pop(), nodes.is_empty()) {
            (Some(node), true) => Ok(Some(Self { file, node })),
            _ => {
                Err(Finding::error(Place { file, at: None }, "a kustomization is exactly one YAML document"))
            }
        }
    }

    /// The namespace it puts objects in.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.node.text_at(&["namespace"])
    }

    /// A file of a generated ConfigMap.
    ///
    /// # Errors
    /// There is no such map, key or file.
    pub fn text(&self, map: &str, key: &str, files: &mut BTreeSet<PathBuf>) -> Result<Text, Missing> {
        let generators = self.node.get("configMapGenerator").map_or(&[][..], Node::items);
        let generator = generators
            .iter()
            .find(|generator| generator.text_at(&["name"]) == Some(map))
            .ok_or(Missing::Map)?;
        let entries: Vec<_> = generator.get("files").map_or(&[][..], Node::items).iter().collect();
        let named: Vec<_> =
            entries.iter().filter_map(|node| Some((node, key_and_file(node.text()?)))).collect();
        let Some((node, (_, file))) = named.iter().find(|(_, (name, _))| name == key) else {
            return Err(Missing::Key(named.into_iter().map(|(_, (name, _))| name).collect()));
        };
        let file = self.file.parent().unwrap_or(Path::new("")).join(file);
        files.insert(file.clone());
        match read_text(&file) {
            Ok(text) => Ok(Text { text, file, first_line: Some(1), at: At { line: 1, column: 1 } }),
            Err(message) => {
                let place = Place { file: self.file.clone(), at: Some(node.at) };
                Err(Missing::File(Finding::error(place, format!("{}: {message}", file.display()))))
            }
        }
    }

    /// A warning if the cluster would give the generated ConfigMap another name than manifests use.
    #[must_use]
    pub fn suffix_warning(&self, map: &str) -> Option<Finding> {
        let generators = self.node.get("configMapGenerator")?.items();
        let generator = generators.iter().find(|generator| generator.text_at(&["name"]) == Some(map))?;
        let off = |options: Option<&Node>| {
            options.and_then(|o| o.get("disableNameSuffixHash")).is_some_and(|n| n.to_json() == true)
        };
        let renamed = !off(self.node.get("generatorOptions"))
            && !off(generator.get("options"))
            && self.node.get("configurations").is_none();
        renamed.then(|| {
            let message = format!(
                "configMapGenerator: kubectl apply -k would call this ConfigMap {map}-<hash>, and an ActorShard that \
                 names {map} would not find it; set generatorOptions.disableNameSuffixHash: true"
            );
            Finding::warning(Place { file: self.file.clone(), at: Some(generator.at) }, message)
        })
    }
}

/// `key=path`, or a path whose last part is the key.
fn key_and_file(entry: &str) -> (String, String) {
    match entry.split_once('=') {
        Some((key, file)) => (key.to_owned(), file.to_owned()),
        None => (entry.rsplit('/').next().unwrap_or(entry).to_owned(), entry.to_owned()),
    }
}

/// A key of a ConfigMap manifest.
///
/// # Errors
/// There is no such map or key among the documents.
pub fn text_of_map(
    maps: &[(String, String, &Document)],
    namespace: &str,
    map: &str,
    key: &str,
) -> Result<Text, Missing> {
    let (_, _, document) =
        maps.iter().find(|(ns, name, _)| ns == namespace && name == map).ok_or(Missing::Map)?;
    let data = document.node.get("data");
    let entries = data.map_or(&[][..], Node::entries);
    match entries.iter().find(|entry| entry.key == key).map(|entry| (&entry.value, entry.value.text())) {
        Some((node, Some(text))) => Ok(inline(text, &document.file, node)),
        _ => Err(Missing::Key(entries.iter().map(|entry| entry.key.clone()).collect())),
    }
}

/// A text that stands in a manifest.
#[must_use]
pub fn inline(text: &str, file: &Path, node: &Node) -> Text {
    let source = read_text(file).unwrap_or_default();
    let first_line = literal(&source, node.at).then(|| {
        // The node is where the text begins to be not blank.
        let blank = text.lines().take_while(|line| line.trim().is_empty()).count();
        node.at.line.saturating_sub(u32::try_from(blank).unwrap_or(u32::MAX)).max(1)
    });
    Text { text: text.to_owned(), file: file.to_owned(), first_line, at: node.at }
}

/// Whether the text at a place is a literal block (`|`), the one style that keeps lines as they are.
fn literal(source: &str, at: At) -> bool {
    let above: Vec<_> = source.lines().take((at.line as usize).saturating_sub(1)).collect();
    let header = above.iter().rev().find(|line| !line.trim().is_empty());
    let Some(header) = header.map(|line| line.split(" #").next().unwrap_or(line).trim_end()) else {
        return false;
    };
    let header = header.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    header.ends_with('|')
}
