//! What a benchmark prints: one row per measurement, the median over repetitions.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::bench::transport::Transport;
use crate::bench::window::Measured;

/// One measurement, or the median of several.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    transport: &'static str,
    in_flight: usize,
    /// Length of the window.
    seconds: f64,
    /// Applied commands, answered reads and refusals per second.
    per_second: f64,
    applied: u64,
    refused: u64,
    not_applied: u64,
    unknown: u64,
    codes: BTreeMap<String, u64>,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    bytes_out: u64,
    bytes_in: u64,
    /// Processor time of the server per answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us: Option<f64>,
    /// Share of one processor this process used; near 1 it is the bottleneck.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cpu_share: Option<f64>,
}

impl Row {
    /// The row of one measurement.
    pub fn new(transport: Transport, in_flight: usize, measured: &Measured) -> Self {
        let tally = &measured.tally;
        let seconds = measured.elapsed.as_secs_f64();
        Self {
            transport: transport.as_str(),
            in_flight,
            seconds,
            per_second: ratio(count(tally.applied + tally.refused), seconds),
            applied: tally.applied,
            refused: tally.refused,
            not_applied: tally.not_applied,
            unknown: tally.unknown,
            codes: tally.codes.clone(),
            p50_us: tally.latency_us(50.0),
            p90_us: tally.latency_us(90.0),
            p99_us: tally.latency_us(99.0),
            p999_us: tally.latency_us(99.9),
            max_us: tally.latency_us(100.0),
            bytes_out: tally.bytes_out,
            bytes_in: tally.bytes_in,
            server_cpu_us: measured.server_cpu.map(|cpu| per_answer_us(cpu, tally.answers())),
            client_cpu_share: measured.client_cpu.map(|cpu| ratio(cpu.as_secs_f64(), seconds)),
        }
    }

    /// Whether anything was answered as it should be.
    pub fn answered(&self) -> bool {
        self.applied + self.refused > 0
    }

    /// The median of repetitions, field by field; counts are those of the run with the median rate.
    pub fn median(mut rows: Vec<Self>) -> Option<Self> {
        rows.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let of = |field: fn(&Self) -> f64| median(rows.iter().map(field).collect());
        let optional = |field: fn(&Self) -> Option<f64>| median(rows.iter().filter_map(field).collect());
        let middle = rows.get(rows.len().checked_sub(1)? / 2)?.clone();
        Some(Self {
            seconds: of(|row| row.seconds)?,
            per_second: of(|row| row.per_second)?,
            p50_us: of(|row| row.p50_us)?,
            p90_us: of(|row| row.p90_us)?,
            p99_us: of(|row| row.p99_us)?,
            p999_us: of(|row| row.p999_us)?,
            max_us: of(|row| row.max_us)?,
            server_cpu_us: optional(|row| row.server_cpu_us),
            client_cpu_share: optional(|row| row.client_cpu_share),
            ..middle
        })
    }
}

/// The value in the middle, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(count: u64) -> f64 {
    count as f64
}

fn per_answer_us(cpu: Duration, answers: u64) -> f64 {
    ratio(cpu.as_secs_f64() * 1e6, count(answers))
}

const HEADS: [&str; 13] = [
    "transport",
    "in flight",
    "per second",
    "applied",
    "refused",
    "notApplied",
    "unknown",
    "p50 µs",
    "p90 µs",
    "p99 µs",
    "p99.9 µs",
    "max µs",
    "server µs/cmd",
];

fn cells(row: &Row) -> [String; 13] {
    let cpu = row.server_cpu_us.map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.1}"));
    [
        row.transport.to_owned(),
        row.in_flight.to_string(),
        format!("{:.0}", row.per_second),
        row.applied.to_string(),
        row.refused.to_string(),
        row.not_applied.to_string(),
        row.unknown.to_string(),
        format!("{:.0}", row.p50_us),
        format!("{:.0}", row.p90_us),
        format!("{:.0}", row.p99_us),
        format!("{:.0}", row.p999_us),
        format!("{:.0}", row.max_us),
        cpu,
    ]
}

/// The rows as a table: Markdown that is also aligned for people.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<[String; 13]> =
        std::iter::once(HEADS.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(out, "| {cell:>width$} ");
        }
        out.push_str("|\n");
        if n == 0 {
            for width in &widths {
                let _ = write!(out, "|{}:", "-".repeat(width + 1));
            }
            out.push_str("|\n");
        }
    }
    out
}

/// What a reader should know about the rows beside their numbers.
pub fn remarks(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        if row.client_cpu_share.is_some_and(|share| share > 0.9) {
            let share = row.client_cpu_share.unwrap_or_default() * 100.0;
            let _ = writeln!(
                out,
                "{} at {}: this client used {share:.0} % of a processor; it may be the bottleneck",
                row.transport, row.in_flight
            );
        }
        if !row.codes.is_empty() {
            let codes: Vec<String> =
                row.codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
            let _ = writeln!(out, "{} at {}: {}", row.transport, row.in_flight, codes.join(", "));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::{Answer, Tally};

    fn row(commands: u64, seconds: u64, server_cpu: Option<Duration>) -> Row {
        let mut tally = Tally::new().expect("valid bounds");
        for _ in 0..commands {
            tally.record(Duration::from_micros(100), 1, &Answer::Applied(2));
        }
        let elapsed = Duration::from_secs(seconds);
        Row::new(Transport::Grpc, 8, &Measured { tally, elapsed, server_cpu, client_cpu: None })
    }

    #[test]
    fn rates_and_processor_time_are_per_command() {
        let row = row(1_000, 2, Some(Duration::from_millis(40)));
        assert!((row.per_second - 500.0).abs() < 1e-9);
        assert!((row.server_cpu_us.expect("measured") - 40.0).abs() < 1e-9);
        assert_eq!((row.bytes_out, row.bytes_in), (1_000, 2_000));
    }

    #[test]
    fn an_empty_window_divides_by_nothing() {
        let row = row(0, 0, Some(Duration::ZERO));
        assert!(row.per_second.abs() < 1e-9 && row.server_cpu_us.expect("measured").abs() < 1e-9);
        assert!(!row.answered());
    }

    #[test]
    fn the_median_is_the_middle_of_odd_and_the_mean_of_even() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(vec![1.0, 3.0]), Some(2.0));
        assert_eq!(median(vec![]), None);
        let rows = vec![row(300, 1, None), row(100, 1, None), row(200, 1, None)];
        let middle = Row::median(rows).expect("three rows");
        assert!((middle.per_second - 200.0).abs() < 1e-9);
        assert_eq!((middle.applied, middle.server_cpu_us), (200, None));
        assert!(Row::median(vec![]).is_none());
    }

    #[test]
    fn the_table_has_a_line_for_each_row_and_equal_widths() {
        let text = table(&[row(10, 1, None), row(100_000, 1, Some(Duration::from_secs(1)))]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 4);
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
