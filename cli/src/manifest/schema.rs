//! One object against the schema and the rules of its kind: what the API server would say to it.
//!
//! All findings are collected. Unknown fields are errors here, though an API server without strict
//! validation would drop them silently. Rules (CEL) are evaluated once the shape is right.

use corallite_crds::schema::{violations, with_defaults};
use corallite_crds::{Duration, DurationError, Quantity, QuantityError};
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use serde_json::{Map, Value, json};

use super::files::Document;
use super::finding::Finding;
use super::tree::{Node, Path, Step};

/// Members of `metadata`; those that only a cluster writes are allowed in objects taken from one.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks `document`, of a kind with this schema. Gives the object with defaults filled in when
/// nothing is wrong with it.
///
/// # Errors
/// Everything that is wrong with it; never empty.
pub fn check(schema: &Value, document: &Document) -> Result<Value, Vec<Finding>> {
    let object = document.node.to_json();
    let mut findings = shape(schema, document, &object);
    meaning(schema, &document.node, &Path::default(), document, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let object = with_defaults(schema, &object);
    let findings: Vec<_> = violations(schema, &object)
        .into_iter()
        .map(|violation| {
            let path = Path::parse(&violation.path);
            Finding::error(document.place(&path), format!("{path}: {}", violation.message))
        })
        .collect();
    if findings.is_empty() { Ok(object) } else { Err(findings) }
}

fn shape(schema: &Value, document: &Document, object: &Value) -> Vec<Finding> {
    let strict = strict_root(schema);
    let validator = match jsonschema::validator_for(&strict) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the schema of this kind is not usable, a defect of corallite: {error}");
            return vec![Finding::error(document.place(&Path::default()), message)];
        }
    };
    validator.iter_errors(object).flat_map(|error| explain(&error, &strict, document)).collect()
}

/// The schema of a whole object, in which no unknown field is allowed.
fn strict_root(schema: &Value) -> Value {
    let mut root = strict(schema);
    let metadata: Map<_, _> = METADATA.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    root["properties"]["apiVersion"] = json!({ "type": "string" });
    root["properties"]["kind"] = json!({ "type": "string" });
    root["properties"]["metadata"] = json!({
        "type": "object", "properties": metadata, "required": ["name"], "additionalProperties": false,
    });
    root["properties"]["metadata"]["properties"]["name"] = json!({
        "type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    });
    root["properties"]["metadata"]["properties"]["namespace"] = json!({
        "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    });
    // Only the cluster writes it; objects taken from one bring it along.
    root["properties"]["status"] = json!({});
    root["required"] = json!(["metadata", "spec"]);
    root
}

/// A Kubernetes schema as a JSON Schema that refuses unknown fields.
fn strict(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut result = members.clone();
    for key in ["items", "additionalProperties"] {
        if let Some(value) = result.get_mut(key) {
            *value = strict(value);
        }
    }
    if let Some(Value::Object(properties)) = result.get_mut("properties") {
        for property in properties.values_mut() {
            *property = strict(property);
        }
        if members.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true)) {
            result.insert("additionalProperties".into(), Value::Bool(false));
        }
    }
    Value::Object(result)
}

fn explain(error: &ValidationError<'_>, schema: &Value, document: &Document) -> Vec<Finding> {
    let path = Path(
        error
            .instance_path()
            .into_iter()
            .map(|segment| match segment {
                LocationSegment::Property(key) => Step::Key(key.into_owned()),
                LocationSegment::Index(index) => Step::Index(index),
            })
            .collect(),
    );
    let schema_here = schema_at(schema, &path);
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        return unexpected.iter().map(|name| unknown_field(name, &path, schema_here, document)).collect();
    }
    let message = format!("{path}: {}", sentence(error, schema_here));
    vec![Finding::error(document.place(&path), message)]
}

fn unknown_field(name: &str, parent: &Path, schema: Option<&Value>, document: &Document) -> Finding {
    let path = parent.key(name);
    let mut known: Vec<&str> = schema
        .and_then(|schema| schema["properties"].as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    known.sort_unstable();
    let message = match known.iter().find(|known| similar(known, name)) {
        Some(meant) => format!("{path}: unknown field; did you mean {meant}?"),
        None => format!("{path}: unknown field; known here: {}", known.join(", ")),
    };
    Finding::error(document.place(&path), message)
}

/// Whether one name is likely a slip for the other: at most two letters more, less or other.
fn similar(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()] <= 2 && row[b.len()] * 3 <= a.len().max(b.len())
}

fn sentence(error: &ValidationError<'_>, schema: Option<&Value>) -> String {
    let value = short(error.instance());
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(many) => many
                    .iter()
                    .map(|t| t.to_string())
                    .filter(|t| t != "null")
                    .collect::<Vec<_>>()
                    .join(" or "),
            };
            format!("{value} is of the wrong type; {wanted} is needed")
        }
        ValidationErrorKind::Required { property } => {
            format!("{} is missing", property.as_str().unwrap_or_default())
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<_> = options.as_array().into_iter().flatten().map(short).collect();
            format!("{value} is not one of {}", options.join(", "))
        }
        ValidationErrorKind::Minimum { limit } => {
            format!("{value} is less than {}, the least allowed", whole(limit))
        }
        ValidationErrorKind::Maximum { limit } => {
            format!("{value} is more than {}, the most allowed", whole(limit))
        }
        ValidationErrorKind::MinLength { limit } => format!("{value} is shorter than {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("{value} is longer than {limit} characters"),
        ValidationErrorKind::MinItems { limit } => format!("at least {limit} is needed"),
        ValidationErrorKind::MaxItems { limit } => format!("more than {limit} elements"),
        ValidationErrorKind::Pattern { pattern } => {
            if let Some(Unit::Syntax(message)) =
                error.instance().as_str().and_then(|text| unit_error(pattern, text))
            {
                return message;
            }
            let help = schema.and_then(|schema| schema["description"].as_str()).unwrap_or_default();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let help = help.split(". ").next().unwrap_or_default();
            let separator = if help.is_empty() { "" } else { "; " };
            format!("{value} does not match {pattern}{separator}{help}")
        }
        _ => error.to_string(),
    }
}

/// A value as it is shown in a message: cut when long.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A bound without the `.0` that schemas write.
fn whole(limit: &Value) -> String {
    limit.as_f64().map_or_else(|| limit.to_string(), |limit| limit.to_string())
}

fn schema_at<'a>(schema: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(schema, |schema, step| match step {
        Step::Key(key) => {
            schema.get("properties").and_then(|p| p.get(key)).or_else(|| schema.get("additionalProperties"))
        }
        Step::Index(_) => schema.get("items"),
    })
}

/// What a schema says beyond JSON Schema: keys of list maps are unique; quantities and durations fit
/// their range.
fn meaning(schema: &Value, node: &Node, path: &Path, document: &Document, findings: &mut Vec<Finding>) {
    if let Some(keys) = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
        unique(keys, node, path, document, findings);
    }
    for (n, item) in node.items().iter().enumerate() {
        meaning(&schema["items"], item, &path.index(n), document, findings);
    }
    for entry in node.entries() {
        meaning(&schema["properties"][&entry.key], &entry.value, &path.key(&entry.key), document, findings);
    }
    let (Some(text), Some(pattern)) = (node.text(), schema["pattern"].as_str()) else { return };
    if let Some(Unit::OutOfRange(message)) = unit_error(pattern, text) {
        findings.push(Finding::error(document.place(path), format!("{path}: {message}")));
    }
}

/// Why a quantity or duration is none.
enum Unit {
    /// The pattern refuses it too.
    Syntax(String),
    /// Only parsing tells.
    OutOfRange(String),
}

/// What is wrong with a text that should fit `pattern`, if that is the pattern of a type with units.
fn unit_error(pattern: &str, text: &str) -> Option<Unit> {
    match pattern {
        Quantity::PATTERN => text.parse::<Quantity>().err().map(|error| match error {
            QuantityError::Syntax(_) => Unit::Syntax(error.to_string()),
            QuantityError::Fraction(_) | QuantityError::TooLarge(_) => Unit::OutOfRange(error.to_string()),
        }),
        Duration::PATTERN => text.parse::<Duration>().err().map(|error| match error {
            DurationError::Syntax(_) => Unit::Syntax(error.to_string()),
            DurationError::TooLong(_) => Unit::OutOfRange(error.to_string()),
        }),
        _ => None,
    }
}

fn unique(keys: &[Value], node: &Node, path: &Path, document: &Document, findings: &mut Vec<Finding>) {
    let Some(key) = keys.first().and_then(Value::as_str) else { return };
    for (n, item) in node.items().iter().enumerate() {
        let Some(name) = item.get(key).and_then(Node::text) else { continue };
        let first = node.items()[..n].iter().find(|other| other.get(key).and_then(Node::text) == Some(name));
        if let Some(first) = first {
            let path = path.index(n).key(key);
            let message = format!("{path}: {name:?} is already declared on line {}", first.at.line);
            findings.push(Finding::error(document.place(&path), message));
        }
    }
}
