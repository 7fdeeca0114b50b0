//! Spans of time as people write them: `30m`, `1h30m`, `500ms`.
//!
//! A [`Duration`] is a whole number of milliseconds by construction and keeps the text it was read
//! from. Units go from large to small, each at most once; there are no signs, no fractions and no
//! days (a day is not always 24 hours).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units and their milliseconds, from large to small.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longest span, in milliseconds: ten years of 365 days.
const MILLISECONDS_MAX: u64 = 10 * 365 * 24 * 3_600_000;

/// A span of time, such as `30m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duration {
    text: String,
    milliseconds: u64,
}

/// Why a text is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not whole numbers with units in order.
    #[error(
        "{0:?} is not a duration; write whole numbers with h, m, s or ms in this order, such as 30m or 1h30m"
    )]
    Syntax(String),
    /// The span is too long.
    #[error("{0:?} is longer than 87600h, ten years")]
    TooLong(String),
}

impl Duration {
    /// What the schema lets through; overflow is found by parsing.
    pub const PATTERN: &'static str = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

    /// The span in milliseconds.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        self.milliseconds
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let too_long = || DurationError::TooLong(text.to_owned());
        let syntax = || DurationError::Syntax(text.to_owned());
        let mut rest = text;
        let mut units = UNITS.iter();
        let mut milliseconds = 0_u64;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            // Taking from the iterator is what keeps the units in order and each at most once.
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(syntax)?;
            if number.is_empty() {
                return Err(syntax());
            }
            milliseconds = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(*factor))
                .and_then(|part| part.checked_add(milliseconds))
                .filter(|&total| total <= MILLISECONDS_MAX)
                .ok_or_else(too_long)?;
            rest = tail;
        }
        if text.is_empty() { Err(syntax()) } else { Ok(Self { text: text.to_owned(), milliseconds }) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": Self::PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(text: &str) -> Result<u64, DurationError> {
        text.parse().map(|duration: Duration| duration.milliseconds())
    }

    #[test]
    fn durations_are_whole_milliseconds() {
        assert_eq!(milliseconds("30m"), Ok(1_800_000));
        assert_eq!(milliseconds("1h30m"), Ok(5_400_000));
        assert_eq!(milliseconds("2s500ms"), Ok(2_500));
        assert_eq!(milliseconds("0s"), Ok(0));
        assert_eq!(milliseconds("87600h"), Ok(MILLISECONDS_MAX));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for text in ["", "30", "m", "1d", "30m1h", "1m1m", "-1s", "1.5h", "1 s", "1sms", "１s"] {
            assert_eq!(milliseconds(text), Err(DurationError::Syntax(text.to_owned())));
        }
        for text in ["87600h1ms", "99999999999999999999s"] {
            assert_eq!(milliseconds(text), Err(DurationError::TooLong(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_and_the_text_comes_back(h in 0_u64..1000, m in 0_u64..1000, ms in 0_u64..100_000) {
            let text = format!("{h}h{m}m{ms}ms");
            let parsed: Duration = text.parse()?;
            prop_assert_eq!(parsed.milliseconds(), h * 3_600_000 + m * 60_000 + ms);
            let json = serde_json::to_string(&parsed)?;
            prop_assert_eq!(serde_json::from_str::<Duration>(&json)?, parsed);
        }

        #[test]
        fn no_text_panics(text in "[0-9hms.]{0,24}|\\PC*") {
            if let Ok(parsed) = text.parse::<Duration>() {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
