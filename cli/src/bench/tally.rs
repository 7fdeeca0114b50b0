//! What came back: counts by outcome, latencies, bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use corallite_cell::outcome::Outcome;
use hdrhistogram::Histogram;

/// Longest latency told apart, in nanoseconds: two minutes.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// Most different error codes counted by name.
const CODES_MAX: usize = 32;

/// The answer to one request, as far as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Applied, or read: so many bytes came back.
    Applied(usize),
    /// Anything else, with its code.
    Failed(Outcome, String),
}

/// The sum of many answers.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From sending to the whole answer, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Commands applied and reads answered.
    pub applied: u64,
    /// Refused by the behavior.
    pub refused: u64,
    /// Surely not applied.
    pub not_applied: u64,
    /// Not known.
    pub unknown: u64,
    /// Failures by code; what exceeds a bound is under `other`.
    pub codes: BTreeMap<String, u64>,
    /// Bytes of payloads sent.
    pub bytes_out: u64,
    /// Bytes of replies received.
    pub bytes_in: u64,
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// The histogram cannot be made.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            latency: Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3)?,
            applied: 0,
            refused: 0,
            not_applied: 0,
            unknown: 0,
            codes: BTreeMap::new(),
            bytes_out: 0,
            bytes_in: 0,
        })
    }

    /// Counts one answer.
    pub fn record(&mut self, latency: Duration, bytes_out: usize, answer: &Answer) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanoseconds);
        self.bytes_out += bytes_out as u64;
        match answer {
            Answer::Applied(bytes) => {
                self.applied += 1;
                self.bytes_in += *bytes as u64;
            }
            Answer::Failed(outcome, code) => {
                match outcome {
                    Outcome::Refused => self.refused += 1,
                    Outcome::NotApplied => self.not_applied += 1,
                    Outcome::Unknown => self.unknown += 1,
                }
                self.count_code(code);
            }
        }
    }

    /// Answers counted.
    pub fn answers(&self) -> u64 {
        self.applied + self.refused + self.not_applied + self.unknown
    }

    /// The latency that `percent` of the answers did not exceed, in microseconds.
    pub fn latency_us(&self, percent: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 ns")]
        let nanoseconds = self.latency.value_at_percentile(percent) as f64;
        nanoseconds / 1_000.0
    }

    fn count_code(&mut self, code: &str) {
        let known = self.codes.len() < CODES_MAX || self.codes.contains_key(code);
        let name = if known { code } else { "other" };
        match self.codes.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.codes.insert(name.to_owned(), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let mut tally = Tally::new().expect("bounds are valid");
        for microseconds in 1..=10_000 {
            tally.record(Duration::from_micros(microseconds), 10, &Answer::Applied(3));
        }
        for (percent, expected) in [(50.0, 5_000.0), (90.0, 9_000.0), (99.0, 9_900.0), (99.9, 9_990.0)] {
            let measured: f64 = tally.latency_us(percent);
            assert!((measured - expected).abs() <= expected * 0.002, "p{percent}: {measured} µs");
        }
        assert!((tally.latency_us(100.0) - 10_000.0).abs() <= 20.0);
        assert_eq!((tally.bytes_out, tally.bytes_in, tally.answers()), (100_000, 30_000, 10_000));
    }

    #[test]
    fn outcomes_and_codes_are_counted_apart() {
        let mut tally = Tally::new().expect("bounds are valid");
        for outcome in [Outcome::Refused, Outcome::NotApplied, Outcome::NotApplied, Outcome::Unknown] {
            tally.record(Duration::ZERO, 0, &Answer::Failed(outcome, outcome.as_str().to_owned()));
        }
        assert_eq!((tally.applied, tally.refused, tally.not_applied, tally.unknown), (0, 1, 2, 1));
        assert_eq!(tally.codes["notApplied"], 2);
    }

    #[test]
    fn codes_are_bounded() {
        let mut tally = Tally::new().expect("bounds are valid");
        for n in 0..100 {
            tally.record(Duration::ZERO, 0, &Answer::Failed(Outcome::Refused, format!("Code{n}")));
        }
        assert_eq!(tally.codes.len(), CODES_MAX + 1);
        assert_eq!(tally.codes.values().sum::<u64>(), 100);
    }
}
