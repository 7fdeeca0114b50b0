//! Durations as users type them: `500ms`, `10s`, `5m`, `1h`.

use std::time::Duration;

/// Parses a whole number with a unit.
///
/// # Errors
/// The unit is missing or unknown, or the number is not a whole one that fits.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!(
                "{text:?} is no duration; write a whole number and ms, s, m or h, as in 10s"
            ));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds_per_unit))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no duration; the number is missing or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3_600)));
        for wrong in
            ["", "10", "s", "1.5s", "-1s", "10 s", "10d", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
