//! Durations as scripts write them: `"30m"`, `"1h30m"`, `"500ms"`.
//!
//! Small on purpose: whole numbers, units from largest to smallest, no spaces or signs.

/// Units and their milliseconds, largest first; `ms` stands before `m` and `s` when matched.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The milliseconds that `text` says; `None` when it is not a duration or far too long.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        if *unit_ms >= smallest {
            return None;
        }
        smallest = *unit_ms;
        rest = &rest[letters..];
        total = total.checked_add(count.checked_mul(*unit_ms)?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::parse_ms;

    #[test]
    fn durations_are_whole_numbers_with_falling_units() {
        assert_eq!(parse_ms("30m"), Some(1_800_000));
        assert_eq!(parse_ms("1h30m"), Some(5_400_000));
        assert_eq!(parse_ms("500ms"), Some(500));
        assert_eq!(parse_ms("2d0h1s1ms"), Some(172_801_001));
        for wrong in
            ["", "30", "m", "30m1h", "1m1m", "-1s", "1.5h", "1 h", "1w", "99999999999999999999s", "é"]
        {
            assert_eq!(parse_ms(wrong), None, "{wrong}");
        }
    }
}
