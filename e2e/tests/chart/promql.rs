//! Queries, as far as they can be wrong without Prometheus noticing: a metric or label that does not
//! exist gives no data and no error.
//!
//! Not a parser of the whole language: functions and keywords are those that are in use here.

use std::collections::BTreeSet;

use corallite_operator::names::LABEL_SHARD;

use crate::metrics::SERIES;

const FUNCTIONS: [&str; 11] = [
    "sum",
    "min",
    "max",
    "count",
    "rate",
    "increase",
    "deriv",
    "absent",
    "histogram_quantile",
    "min_over_time",
    "label_values",
];
const GROUPINGS: [&str; 4] = ["by", "without", "on", "ignoring"];
const OPERATORS: [&str; 3] = ["and", "or", "unless"];
/// Labels whose values are a fixed few, all of which the registries show.
const CLOSED: [&str; 3] = ["outcome", "tier", "condition"];

/// What a query asks for.
#[derive(Debug, Default)]
pub struct Query {
    /// Series by name.
    pub series: BTreeSet<String>,
    /// Labels that it groups by, and so those of its result.
    pub grouped: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// Labels that the scrape adds. The shard's comes from the ServiceMonitor that the operator makes.
fn target_labels() -> Vec<String> {
    let shard = LABEL_SHARD.replace(['.', '/'], "_");
    ["namespace", "pod", "job"].map(str::to_owned).into_iter().chain([shard]).collect()
}

/// Reads a query and checks all that it names.
pub fn check(text: &str) -> Result<Query, String> {
    let tokens = tokens(text)?;
    let mut query = Query::default();
    let mut calls: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            Token::Sign('(') => calls.push(words.pop().unwrap_or_default()),
            Token::Sign(')') => drop(calls.pop().ok_or("a bracket too many")?),
            Token::Word(word) if GROUPINGS.contains(&word.as_str()) => {
                let labels = until(&tokens, &mut at, ')');
                query.grouped.extend(labels.iter().filter_map(word_of));
                continue;
            }
            Token::Word(word) if FUNCTIONS.contains(&word.as_str()) => {
                // `sum by (…) (` calls after the grouping.
                words.push(word.clone());
                continue;
            }
            Token::Word(word) if OPERATORS.contains(&word.as_str()) => {}
            Token::Word(word) if word.starts_with("corallite_") && SERIES.contains_key(word) => {
                rated_if_it_counts(word, calls.last().map_or("", String::as_str))?;
                let selector = tokens.get(at) == Some(&Token::Sign('{'));
                let matchers = if selector { until(&tokens, &mut at, '}') } else { Vec::new() };
                matchers_exist(word, &matchers)?;
                query.series.insert(word.clone());
                if calls.last().is_some_and(|call| call == "label_values") {
                    let label = tokens.get(at + 1).and_then(word_of).unwrap_or_default();
                    label_exists(word, &label)?;
                    at += 2;
                }
            }
            Token::Word(word) => return Err(format!("there is no metric or function {word}")),
            Token::Text(_) | Token::Sign(_) => {}
        }
    }
    if !calls.is_empty() {
        return Err("a bracket is open".into());
    }
    if query.series.is_empty() {
        return Err("no metric".into());
    }
    for label in &query.grouped {
        let found = query.series.iter().any(|series| label_exists(series, label).is_ok());
        found.then_some(()).ok_or(format!("grouped by {label}, which no series here has"))?;
    }
    Ok(query)
}

/// A counter says something only as a rate; a gauge has none.
fn rated_if_it_counts(series: &str, call: &str) -> Result<(), String> {
    let counts = ["_total", "_bucket", "_sum", "_count"].iter().any(|suffix| series.ends_with(suffix));
    match (counts, matches!(call, "rate" | "increase")) {
        (true, false) => Err(format!("{series} counts, and is not in rate() or increase()")),
        (false, true) => Err(format!("{series} does not count, and is in {call}()")),
        _ => Ok(()),
    }
}

fn matchers_exist(series: &str, matchers: &[Token]) -> Result<(), String> {
    for (index, token) in matchers.iter().enumerate() {
        if let Token::Word(label) = token {
            label_exists(series, label)?;
            let value = matchers[index..].iter().find_map(|token| match token {
                Token::Text(text) => Some(text),
                _ => None,
            });
            let known = SERIES[series].get(label).filter(|_| CLOSED.contains(&label.as_str()));
            for value in known.and(value).iter().flat_map(|value| value.split('|')) {
                let exists = known.is_some_and(|known| known.contains(value));
                exists.then_some(()).ok_or(format!("{series} never has {label}={value}"))?;
            }
        }
    }
    Ok(())
}

fn label_exists(series: &str, label: &str) -> Result<(), String> {
    let exists = SERIES[series].contains_key(label) || target_labels().iter().any(|known| known == label);
    exists.then_some(()).ok_or(format!("{series} has no label {label:?}"))
}

/// The tokens up to a closing sign, from behind the opening one.
fn until(tokens: &[Token], at: &mut usize, close: char) -> Vec<Token> {
    let inner = tokens[*at..].iter().skip(1).take_while(|token| **token != Token::Sign(close));
    let inner: Vec<_> = inner.cloned().collect();
    *at += inner.len() + 2;
    inner
}

fn word_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.clone()),
        _ => None,
    }
}

/// Numbers and spans of time are left out: they name nothing.
fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let end = rest[1..].find('"').ok_or("a text does not end")?;
                tokens.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '[' => rest.find(']').ok_or("a range does not end")? + 1,
            _ if first.is_alphanumeric() || first == '_' => {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && !"_:.".contains(c)).unwrap_or(rest.len());
                if !first.is_numeric() {
                    tokens.push(Token::Word(rest[..end].to_owned()));
                }
                end
            }
            _ => {
                tokens.push(Token::Sign(first));
                first.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

#[test]
fn what_does_not_exist_is_found() {
    let bad = [
        ("sum(corallite_no_such_metric)", "corallite_no_such_metric"),
        ("sum(rate(corallite_commands_total{kind=\"x\"}[5m]))", "no label \"kind\""),
        ("sum(rate(corallite_commands_total{outcome=~\"applied|lost\"}[5m]))", "outcome=lost"),
        ("sum by (lane) (rate(corallite_commands_total[5m]))", "grouped by lane"),
        ("sum(corallite_commands_total)", "not in rate()"),
        ("rate(corallite_queued_commands[5m])", "does not count"),
        ("sum(rate(corallite_commit_duration_seconds[5m]))", "corallite_commit_duration_seconds"),
        ("sum(corallite_queued_commands", "open"),
        ("label_values(corallite_build_info, pot)", "no label \"pot\""),
        ("up == 0", "up"),
    ];
    for (query, words) in bad {
        let error = check(query).expect_err(query);
        assert!(error.contains(words), "{query}: {error}");
    }
    let good =
        "sum by (namespace, le) (rate(corallite_batch_records_bucket{corallite_dev_shard=\"$s\"}[5m])) > 0.5";
    assert_eq!(check(good).unwrap().grouped.len(), 2);
}
