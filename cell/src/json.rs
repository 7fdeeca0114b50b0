//! Checks that bytes are one JSON value.

/// Why bytes are not JSON: with line and column.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Checks that `bytes` are one JSON value and nothing else.
///
/// # Errors
/// Says where the text stops being JSON.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes)?;
    Ok(())
}
