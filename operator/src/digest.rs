//! Hashes of content: to see whether something changed, never to protect it.

use xxhash_rust::xxh3::Xxh3;

/// Hex xxh3-128 over (name, content) pairs in the order given. Lengths are hashed too, so that text
/// moved from one part to the next is another content.
#[must_use]
pub fn of_parts<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut hasher = Xxh3::new();
    for text in parts.into_iter().flat_map(|(name, content)| [name, content]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

/// Hex xxh3-128 of a JSON value; members are in order, so equal values have equal hashes.
#[must_use]
pub fn of_json(value: &serde_json::Value) -> String {
    of_parts([("", value.to_string().as_str())])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(of_parts([("a", "bc")]), of_parts([("ab", "c")]));
        assert_ne!(of_parts([("a", "b"), ("c", "d")]), of_parts([("c", "d"), ("a", "b")]));
        assert_eq!(of_parts([("a", "b")]).len(), 32);
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        assert_eq!(of_json(&json!({ "a": 1, "b": 2 })), of_json(&json!({ "b": 2, "a": 1 })));
    }
}
