//! Stored values: a format byte, then Protobuf.
//!
//! Guarantees: a value this build wrote is read back by every later one; a value of an unknown
//! format, or bytes that are no value at all, are [`StoreError::Damaged`] with the message's name,
//! never a guess. Format 1 is Protobuf as in `store.proto`; fixtures of every format ever written
//! are kept in `fixtures/` and read by a test.

use bytes::{BufMut, Bytes, BytesMut};

use super::StoreError;

/// The first byte of a value of format 1.
pub const FORMAT: u8 = 1;

/// The stored form of a message. Values over the store's limit are split by [`super::chunk`].
#[must_use]
pub fn encode(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(length + 1);
    out.put_u8(FORMAT);
    // The buffer grows as needed, so there is always room.
    let _ = message.encode(&mut out);
    out.freeze()
}

/// The message of a stored value. Bytes fields of it share `value`'s memory.
///
/// # Errors
/// `Damaged`: the format is unknown, or the bytes are not that message.
pub fn decode<M: prost::Message + Default>(value: &Bytes) -> Result<M, StoreError> {
    match value.first() {
        Some(&FORMAT) => M::decode(value.slice(1..)).map_err(|error| damaged::<M>(&error.to_string())),
        Some(other) => Err(damaged::<M>(&format!("format {other} is not known to this version"))),
        None => Err(damaged::<M>("the value is empty")),
    }
}

fn damaged<M>(why: &str) -> StoreError {
    let path = std::any::type_name::<M>();
    let name = path.rsplit("::").next().unwrap_or(path);
    StoreError::Damaged { reason: format!("a stored {name}: {why}") }
}

#[cfg(test)]
mod tests;
