//! Texts with holes: `{{number}}`, `{{key}}`, `{{any}}`, `{{rand}}`, `{{rand:1-10}}`, `{{run}}`.

use std::fmt::Write;

use rand::RngExt;
use rand::rngs::SmallRng;

/// A text with holes, parsed once and filled for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Number,
    Key,
    AnyKey,
    Run,
    Random { from: u64, to: u64 },
}

/// What fills the holes of one request.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// The request's number in this run, from 0.
    pub number: u64,
    /// The key it was drawn for.
    pub key: u64,
    /// How many keys there are, at least 1.
    pub keys: u64,
    /// A text that no other run has.
    pub run: &'a str,
}

impl Template {
    /// Parses a text with holes.
    ///
    /// # Errors
    /// A hole is not closed, or not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inside = &rest[open + 2..];
            let close = inside.find("}}").ok_or_else(|| format!("{text:?} has {{{{ without }}}}"))?;
            parts.push(hole(&inside[..close])?);
            rest = &inside[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text for one request.
    pub fn fill(&self, fill: Fill<'_>, rng: &mut SmallRng) -> String {
        let mut out = String::new();
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Text(text) => out.write_str(text),
                Part::Run => out.write_str(fill.run),
                Part::Number => write!(out, "{}", fill.number),
                Part::Key => write!(out, "{}", fill.key),
                Part::AnyKey => write!(out, "{}", rng.random_range(0..fill.keys.max(1))),
                Part::Random { from, to } => write!(out, "{}", rng.random_range(*from..=*to)),
            };
        }
        out
    }
}

fn hole(name: &str) -> Result<Part, String> {
    match name.trim() {
        "number" => Ok(Part::Number),
        "key" => Ok(Part::Key),
        "any" => Ok(Part::AnyKey),
        "run" => Ok(Part::Run),
        "rand" => Ok(Part::Random { from: 0, to: u64::from(u32::MAX) }),
        other => {
            let range = other.strip_prefix("rand:").and_then(|range| range.split_once('-'));
            let bounds = range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
            match bounds {
                Some((from, to)) if from <= to => Ok(Part::Random { from, to }),
                _ => Err(format!(
                    "{{{{{other}}}}} is not known; there are {{{{number}}}}, {{{{key}}}}, {{{{any}}}}, {{{{run}}}}, {{{{rand}}}} \
                     and {{{{rand:1-10}}}}"
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn fill(text: &str) -> String {
        let mut rng = SmallRng::seed_from_u64(1);
        let fill = Fill { number: 7, key: 3, keys: 1, run: "r1" };
        Template::parse(text).expect("valid").fill(fill, &mut rng)
    }

    #[test]
    fn holes_are_filled_and_the_rest_is_kept() {
        assert_eq!(
            fill(r#"{"id":"o-{{run}}-{{number}}","k":{{ key }},"x":{}}"#),
            r#"{"id":"o-r1-7","k":3,"x":{}}"#
        );
        assert_eq!(fill(""), "");
        assert_eq!(fill("p-{{any}}"), "p-0", "there is one key");
        assert_eq!(fill("{{rand:4-4}}"), "4");
        assert!(fill("{{rand}}").parse::<u32>().is_ok());
    }

    #[test]
    fn holes_that_cannot_be_filled_are_named() {
        for wrong in ["{{", "{{n", "{{nope}}", "{{rand:5-1}}", "{{rand:x-y}}", "{{}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Template::parse("{{nope}}").expect_err("unknown").contains("{{nope}}"));
    }
}
