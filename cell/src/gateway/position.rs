//! The position token: what users carry from a reply to a later read, without looking inside.
//!
//! Guarantees: a token is 1 to 4 000 characters of the URL-safe base64 alphabet, so that it fits a
//! URL segment, a query parameter and a header as it is; it names one place in each of one or more
//! buckets; every set of places has exactly one token, and a token that was cut or mistyped is
//! refused rather than taken for another place. It holds no secret: whoever has it may forge others.

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::{Bucket, Offset, Position};

/// First byte of every token; a later layout takes another.
const LAYOUT: u8 = 1;
/// Longest token that is looked at, in characters.
const TOKEN_CHARS_MAX: usize = 4_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why a text is not a position token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// It was not made by a cell, or not all of it arrived.
    #[error("the position token is damaged; give it exactly as it was received")]
    Damaged,
    /// It names places in several buckets where one record is asked for.
    #[error("the position token names {0} places; here it must name one record")]
    NotOne(usize),
}

/// The token of one record.
#[must_use]
pub fn encode(position: Position) -> String {
    encode_many(&[position])
}

/// The token of several places: at most one of each bucket, in bucket order.
#[must_use]
pub fn encode_many(positions: &[Position]) -> String {
    debug_assert!(positions.windows(2).all(|pair| pair[0].bucket < pair[1].bucket));
    let mut bytes = Vec::with_capacity(2 + 15 * positions.len());
    bytes.push(LAYOUT);
    for position in positions {
        write_varint(&mut bytes, u64::from(position.bucket.0));
        write_varint(&mut bytes, position.offset.0);
    }
    bytes.push(check_byte(&bytes));
    to_text(&bytes)
}

/// The places a token names, in bucket order; at least one.
///
/// # Errors
/// The token is damaged.
pub fn decode_many(token: &str) -> Result<Vec<Position>, PositionError> {
    let bytes = from_text(token).ok_or(PositionError::Damaged)?;
    let positions = read_positions(&bytes).ok_or(PositionError::Damaged)?;
    // Exactly one token per set of places: what does not read back the same was not made here.
    if encode_many(&positions) == token { Ok(positions) } else { Err(PositionError::Damaged) }
}

/// The one record a token names.
///
/// # Errors
/// The token is damaged, or names several places.
pub fn decode(token: &str) -> Result<Position, PositionError> {
    match decode_many(token)?.as_slice() {
        [position] => Ok(*position),
        several => Err(PositionError::NotOne(several.len())),
    }
}

fn read_positions(bytes: &[u8]) -> Option<Vec<Position>> {
    let (&check, bytes) = bytes.split_last()?;
    let (&layout, mut rest) = bytes.split_first()?;
    if layout != LAYOUT || check != check_byte(bytes) || rest.is_empty() {
        return None;
    }
    let mut positions: Vec<Position> = Vec::new();
    while !rest.is_empty() {
        let bucket = Bucket(u32::try_from(read_varint(&mut rest)?).ok()?);
        let offset = Offset(read_varint(&mut rest)?);
        if positions.last().is_some_and(|last| last.bucket >= bucket) {
            return None;
        }
        positions.push(Position { bucket, offset });
    }
    Some(positions)
}

fn check_byte(bytes: &[u8]) -> u8 {
    xxh3_64(bytes).to_le_bytes()[0]
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(shift).filter(|moved| moved >> shift == bits)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(ALPHABET[(word >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > TOKEN_CHARS_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for character in chunk {
            word = word << 6 | digit(*character)?;
        }
        word <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u32> {
    match character {
        b'A'..=b'Z' => Some(u32::from(character - b'A')),
        b'a'..=b'z' => Some(u32::from(character - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(character - b'0') + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(bucket: u32, offset: u64) -> Position {
        Position { bucket: Bucket(bucket), offset: Offset(offset) }
    }

    proptest! {
        #[test]
        fn every_set_of_places_reads_back(places in proptest::collection::btree_map(any::<u32>(), any::<u64>(), 1..20)) {
            let positions: Vec<_> = places.into_iter().map(|(bucket, offset)| at(bucket, offset)).collect();
            prop_assert_eq!(decode_many(&encode_many(&positions)), Ok(positions));
        }

        #[test]
        fn whatever_is_accepted_is_the_only_token_of_its_places(text in "[A-Za-z0-9_-]{0,24}") {
            if let Ok(positions) = decode_many(&text) {
                prop_assert_eq!(encode_many(&positions), text);
            }
        }

        #[test]
        fn a_cut_token_is_refused(bucket: u32, offset: u64, cut in 1_usize..8) {
            let token = encode(at(bucket, offset));
            let cut = token.len().saturating_sub(cut);
            // One byte in 256 passes the check by chance; then the rest must still be another place.
            prop_assert_ne!(decode(&token[..cut]), Ok(at(bucket, offset)));
        }
    }

    #[test]
    fn tokens_that_were_given_out_keep_their_meaning() {
        assert_eq!(encode(at(0, 0)), GOLDEN_ZERO);
        assert_eq!(decode(GOLDEN_ZERO), Ok(at(0, 0)));
        assert_eq!(encode(at(255, 1_000_000)), GOLDEN_LARGE);
    }

    const GOLDEN_ZERO: &str = "AQAABA";
    const GOLDEN_LARGE: &str = "Af8BwIQ9OA";

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "A", "AA", "!!!!", "AQ==", "ÄÖ", &"A".repeat(4_001)] {
            assert_eq!(decode(text), Err(PositionError::Damaged), "{text}");
        }
        let two = encode_many(&[at(1, 2), at(3, 4)]);
        assert_eq!(decode(&two), Err(PositionError::NotOne(2)));
    }
}
