//! YAML documents as trees in which every key and value knows its line and column.
//!
//! Everything that is checked later points into such a tree, so that all findings of a document can
//! be told at once, each at its place. Only syntax errors end the reading of a file.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::{Location, Spanned};

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Tree,
    /// Its first character; for a block text (`|`, `>`) the first that is not blank.
    pub at: At,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A scalar that is not a text: null, a boolean or a number.
    Scalar(Value),
    /// A text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<Entry>),
}

/// A member of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: At,
    /// The value.
    pub value: Node,
}

/// A text that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where it stops being YAML.
    pub at: At,
    /// What is wrong there.
    pub message: String,
}

/// Reads all documents of a text; empty ones are left out.
///
/// # Errors
/// The text is not YAML, or has a duplicate key.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let nodes = serde_yaml::from_multiple::<Node>(text).map_err(|error| {
        let at = error.location().map_or(At { line: 1, column: 1 }, At::from);
        SyntaxError { at, message: message(error.without_snippet(), at) }
    })?;
    Ok(nodes.into_iter().filter(|node| node.value != Tree::Scalar(Value::Null)).collect())
}

/// What the parser says, without the place, which is told beside it.
fn message(error: &serde_yaml::Error, at: At) -> String {
    if let serde_yaml::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("{key}: the key is there twice in one mapping");
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let place = format!(" at line {}, column {}", at.line, at.column);
    line.strip_suffix(&place).unwrap_or(line).to_owned()
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        let from_one = |n: u64| u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        Self { line: from_one(location.line()), column: from_one(location.column()) }
    }
}

impl Node {
    /// The member `key` of a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The members of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Tree::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The elements of a sequence; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        if let Tree::List(items) = &self.value { items } else { &[] }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Tree::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The text at a path of keys.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(self, |node, key| node.get(key))?.text()
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            Tree::Scalar(value) => value.clone(),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => items.iter().map(Node::to_json).collect(),
            Tree::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }

    /// The value at `path`.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<&Node> {
        path.0.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items().get(*index),
        })
    }

    /// Where the value at `path` stands (its key, for a member of a mapping); where the path ends
    /// early, the last place that exists.
    #[must_use]
    pub fn locate(&self, path: &Path) -> At {
        let mut node = self;
        let mut at = self.at;
        for step in &path.0 {
            let next = match step {
                Step::Key(key) => node
                    .entries()
                    .iter()
                    .find(|entry| entry.key == *key)
                    .map(|entry| (entry.at, &entry.value)),
                Step::Index(index) => node.items().get(*index).map(|item| (item.at, item)),
            };
            let Some((next_at, next)) = next else { break };
            (at, node) = (next_at, next);
        }
        at
    }
}

/// The way from the top of a document to a value: `spec.actors[0].type`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the member of a mapping.
    Key(String),
    /// Into an element of a sequence, from 0.
    Index(usize),
}

impl Path {
    /// Reads `spec.actors[0].type`; a step that is neither key nor index ends it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            steps.extend(pieces.next().filter(|key| !key.is_empty()).map(|key| Step::Key(key.to_owned())));
            steps.extend(pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok()).map(Step::Index));
        }
        Self(steps)
    }

    /// This path and one more member.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Key(key.to_owned()));
        path
    }

    /// This path and one more element.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Index(index));
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if n == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, at: spanned.referenced.into() })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value that JSON can hold")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        serde_json::Number::from_f64(value)
            .map(|number| Tree::Scalar(number.into()))
            .ok_or_else(|| E::custom("JSON has no such number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push(Entry { key: key.value, at: key.referenced.into(), value: map.next_value()? });
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
# a comment
name: shop
on: yes
actors:
  - type: Order
    source: |
      one
      two
  - { type: User, idle: 3.5, none: }
---
---
second: 10Gi
";

    fn at(line: u32, column: u32) -> At {
        At { line, column }
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let documents = parse(TEXT).expect("YAML");
        assert_eq!(documents.len(), 2);
        let first = &documents[0];
        assert_eq!(first.get("name").expect("there").at, at(2, 7));
        assert_eq!(first.locate(&Path::parse("name")), at(2, 1));
        assert_eq!(first.locate(&Path::parse("actors[0].source")), at(6, 5));
        assert_eq!(first.find(&Path::parse("actors[0].source")).expect("there").at, at(7, 7));
        assert_eq!(first.locate(&Path::parse("actors[1].type")), at(9, 7));
        assert_eq!(first.locate(&Path::parse("actors[1].absent.more")), at(9, 5));
        assert_eq!(documents[1].locate(&Path::parse("second")), at(12, 1));
    }

    #[test]
    fn values_come_through_as_json() {
        let documents = parse(TEXT).expect("YAML");
        assert_eq!(
            documents[0].to_json()["actors"],
            json!([{ "type": "Order", "source": "one\ntwo\n" }, { "type": "User", "idle": 3.5, "none": null }])
        );
        assert_eq!(documents[1].to_json(), json!({ "second": "10Gi" }));
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").expect_err("not YAML");
        assert!(error.at.line >= 2, "{error:?}");
        assert!(!error.message.contains(&format!("line {}", error.at.line)), "{error:?}");
        let error = parse("a: 1\nb: 2\na: 3\n").expect_err("duplicate");
        assert_eq!(error.at, at(3, 1), "{error:?}");
        assert_eq!(error.message, "a: the key is there twice in one mapping");
    }

    #[test]
    fn paths_print_as_they_are_read() {
        for text in ["spec.actors[0].type", "spec", "a[1][2].b", ""] {
            assert_eq!(Path::parse(text).to_string(), text);
        }
        assert_eq!(Path::parse(".spec.cells").to_string(), "spec.cells");
    }
}
