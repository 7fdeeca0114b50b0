//! How answers and errors are printed: JSON on standard output, indented for people and compact for
//! pipes; errors on standard error.
//!
//! Guarantees: numbers, key order and strings are those the cell sent; nothing is read into a
//! number type on the way.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::failure::Failure;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One compact JSON value a line; errors as JSON too.
    Json,
    /// Indented JSON; errors as text.
    Pretty,
}

/// Prints one answer to standard output, indented if asked or if people read it.
///
/// # Errors
/// Standard output is closed.
pub fn print(answer: &impl Serialize, format: Option<Format>) -> std::io::Result<()> {
    let text = serde_json::to_string(answer)?;
    let mut out = std::io::stdout().lock();
    let pretty = format.map_or_else(|| out.is_terminal(), |format| format == Format::Pretty);
    if pretty { writeln!(out, "{}", indent(&text)) } else { writeln!(out, "{text}") }
}

/// Prints a failed request to standard error.
pub fn print_failure(failure: &Failure, format: Option<Format>) {
    if format == Some(Format::Json) {
        eprintln!("{}", failure_json(failure));
        return;
    }
    eprintln!("error: {}: {}", failure.code, failure.message);
    eprintln!("outcome: {}", failure.outcome.as_str());
    eprintln!("what to do: {}", failure.advice());
    if let Some(id) = &failure.command_id {
        eprintln!("command id: {id}");
    }
}

fn failure_json(failure: &Failure) -> String {
    serde_json::json!({"error": {
        "code": failure.code,
        "message": failure.message,
        "outcome": failure.outcome.as_str(),
        "retryable": failure.retryable,
        "commandId": failure.command_id,
        "advice": failure.advice(),
    }})
    .to_string()
}

/// JSON bytes of the wire as a value that is printed as it is; what is not JSON becomes a string.
pub fn raw(json: &[u8]) -> Box<RawValue> {
    if json.is_empty() {
        return RawValue::NULL.to_owned();
    }
    let text = String::from_utf8_lossy(json).into_owned();
    RawValue::from_string(text.clone())
        .or_else(|_| serde_json::value::to_raw_value(&text))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Indents JSON by two spaces without touching numbers, strings or the order of keys.
pub fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = characters.next_if(|&next| next == '}' || next == ']') {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_keeps_numbers_order_and_strings() {
        let json = r#"{"b":9007199254740993,"a":[1.0,-0.0,{}, [ ] ],"s":"a\"{,}:\\"}"#;
        let expected = "{\n  \"b\": 9007199254740993,\n  \"a\": [\n    1.0,\n    -0.0,\n    {},\n    []\n  ],\n  \
                        \"s\": \"a\\\"{,}:\\\\\"\n}";
        assert_eq!(indent(json), expected);
    }

    #[test]
    fn bytes_that_are_not_json_are_shown_as_a_string() {
        assert_eq!(raw(b"").get(), "null");
        assert_eq!(raw(b"{\"a\":1}").get(), "{\"a\":1}");
        assert_eq!(raw(b"{oops").get(), "\"{oops\"");
    }

    #[test]
    fn a_failure_as_json_names_outcome_and_command() {
        let mut failure = Failure::unreachable("connection refused");
        failure.command_id = Some("c-1".to_owned());
        let value: serde_json::Value = serde_json::from_str(&failure_json(&failure)).expect("JSON");
        assert_eq!(value["error"]["outcome"], "notApplied");
        assert_eq!(value["error"]["commandId"], "c-1");
    }
}
