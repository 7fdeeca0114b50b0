//! Amounts of bytes as Kubernetes writes them: `10Gi`, `500M`, `1.5Gi`.
//!
//! A [`Quantity`] is a whole number of bytes by construction and keeps the text it was read from, so
//! writing an object back changes nothing. It takes no negative amounts, no exponents and no
//! fractions of a byte.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Suffixes and what they multiply by, longest first.
const UNITS: [(&str, u64); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

/// Largest amount, in bytes: what a signed 64-bit number holds.
const BYTES_MAX: u128 = i64::MAX as u128;

/// An amount of bytes, such as `10Gi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    bytes: u64,
}

/// Why a text is not an amount of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is not a number with a known suffix.
    #[error(
        "{0:?} is not an amount of bytes; write a number and one of Ki Mi Gi Ti Pi Ei k M G T P E, such as 10Gi"
    )]
    Syntax(String),
    /// The amount is not a whole number of bytes.
    #[error("{0:?} is not a whole number of bytes; use fewer decimals or a smaller unit")]
    Fraction(String),
    /// The amount is beyond what a signed 64-bit number holds.
    #[error("{0:?} is more than 2^63-1 bytes")]
    TooLarge(String),
}

impl Quantity {
    /// What the schema lets through; overflow and fractions of a byte are found by parsing.
    pub const PATTERN: &'static str = "^[0-9]+(\\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$";

    /// The amount in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let syntax = || QuantityError::Syntax(text.to_owned());
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let (number, unit) = UNITS
            .iter()
            .find_map(|&(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
            .ok_or_else(syntax)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(syntax());
        }
        let decimals = decimals.trim_end_matches('0');
        let bytes = whole
            .parse::<u128>()
            .ok()
            .and_then(|whole| whole.checked_mul(u128::from(unit)))
            .ok_or_else(too_large)?;
        let bytes = bytes
            .checked_add(fraction(decimals, unit).ok_or_else(|| QuantityError::Fraction(text.to_owned()))?)
            .filter(|&bytes| bytes <= BYTES_MAX)
            .ok_or_else(too_large)?;
        Ok(Self { text: text.to_owned(), bytes: u64::try_from(bytes).map_err(|_| too_large())? })
    }
}

/// `0.decimals` times `unit`, if that is a whole number that 128 bits can work out. Texts with more
/// than 38 decimals are given up on: nobody means them.
fn fraction(decimals: &str, unit: u64) -> Option<u128> {
    let mut numerator = 0_u128;
    let mut denominator = 1_u128;
    for digit in decimals.bytes() {
        numerator = numerator.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        denominator = denominator.checked_mul(10)?;
    }
    let common = gcd(u128::from(unit), denominator);
    let (unit, denominator) = (u128::from(unit) / common, denominator / common);
    if numerator.is_multiple_of(denominator) { (numerator / denominator).checked_mul(unit) } else { None }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 64, "pattern": Self::PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Result<u64, QuantityError> {
        text.parse().map(|quantity: Quantity| quantity.bytes())
    }

    #[test]
    fn amounts_are_whole_bytes() {
        assert_eq!(bytes("10Gi"), Ok(10 << 30));
        assert_eq!(bytes("1.5Ki"), Ok(1536));
        assert_eq!(bytes("0.001k"), Ok(1));
        assert_eq!(bytes("500M"), Ok(500_000_000));
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("9223372036854775807"), Ok(i64::MAX as u64));
    }

    #[test]
    fn what_is_no_amount_says_why() {
        for text in ["", "Gi", "10GB", "-1", "1e3", "10 Gi", "1.", ".5", "100m", "１"] {
            assert_eq!(bytes(text), Err(QuantityError::Syntax(text.to_owned())));
        }
        for text in ["0.1", "1.5", "0.3Ki", "0.0001k"] {
            assert_eq!(bytes(text), Err(QuantityError::Fraction(text.to_owned())));
        }
        for text in ["9223372036854775808", "8Ei", "99999999999999999999999999999999999999999Gi"] {
            assert_eq!(bytes(text), Err(QuantityError::TooLarge(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn any_amount_in_any_unit_comes_back(amount in 0_u64..8, shift in 0_usize..13) {
            let (suffix, unit) = UNITS[shift];
            let text = format!("{amount}{suffix}");
            prop_assert_eq!(bytes(&text), Ok(amount * unit));
            let json = serde_json::to_string(&text.parse::<Quantity>()?)?;
            prop_assert_eq!(&json, &format!("{text:?}"));
            prop_assert_eq!(serde_json::from_str::<Quantity>(&json)?.bytes(), amount * unit);
        }

        #[test]
        fn no_text_panics_and_what_parses_fits_the_pattern(text in "[0-9.kKMGi -]{0,24}|\\PC*") {
            if text.parse::<Quantity>().is_ok() {
                let (number, _) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
                prop_assert!(number.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
            }
        }

        #[test]
        fn halves_are_exact(amount in 0_u64..1_000_000) {
            prop_assert_eq!(bytes(&format!("{amount}.5Ki")), Ok(amount * 1024 + 512));
        }
    }
}
