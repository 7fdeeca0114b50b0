//! Reads the target of an HTTP request: which operation, on what.
//!
//! Guarantees: segments are split on the raw path and percent-decoded once, so an encoded slash
//! never makes a segment and nothing is normalized; a segment or parameter that is wrong is named.
//! Parameters are form-encoded (`+` is a space), each at most once, and unknown ones are refused.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::intake::parameter;
use crate::outcome::{Class, Failure};

type Text<'a> = Cow<'a, str>;

/// What a request is for; names are decoded but not checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Landing,
    Execute { type_name: Text<'a>, id: Text<'a>, command: Text<'a> },
    State { type_name: Text<'a>, id: Text<'a> },
    Events { type_name: Text<'a>, id: Text<'a> },
    Query { type_name: Text<'a>, id: Text<'a>, query: Text<'a> },
    DeadLetters,
    DeadLetter { at: Text<'a> },
    ReplayDeadLetter { at: Text<'a> },
    DropDeadLetter { at: Text<'a> },
    View,
    Feed,
}

impl Route<'_> {
    /// The operation's name in traces.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Landing => "Landing",
            Self::Execute { .. } => "Execute",
            Self::State { .. } => "Get",
            Self::Events { .. } => "Events",
            Self::Query { .. } => "Query",
            Self::DeadLetters => "ListDeadLetters",
            Self::DeadLetter { .. } => "GetDeadLetter",
            Self::ReplayDeadLetter { .. } => "ReplayDeadLetter",
            Self::DropDeadLetter { .. } => "DropDeadLetter",
            Self::View => "ViewsQuery",
            Self::Feed => "Subscribe",
        }
    }

    /// The query parameters the operation has.
    pub fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Execute { .. } => &["until", "wait"],
            Self::State { .. } => &["atSeq", "consistency"],
            Self::Events { .. } => &["from", "limit"],
            Self::Query { .. } => &["args", "consistency"],
            Self::DeadLetters => &["limit", "after"],
            Self::Landing
            | Self::DeadLetter { .. }
            | Self::ReplayDeadLetter { .. }
            | Self::DropDeadLetter { .. }
            | Self::View
            | Self::Feed => &[],
        }
    }
}

/// Why a request is for nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// The target exists; these are its methods.
    Method(&'static str),
    /// There is no such target, or a segment of it is malformed.
    Failed(Failure),
}

impl From<Failure> for NoRoute {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What `method` on the raw `path` is for.
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, NoRoute> {
    let segments: SmallVec<[&str; 8]> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    match segments.as_slice() {
        [""] => only(method, Method::GET, "GET", || Ok(Route::Landing)),
        ["v1", "actors", parts @ ..] => actors(method, parts),
        ["v1", "dead", parts @ ..] => dead(method, parts),
        ["v1", "views", _] => only(method, Method::GET, "GET", || Ok(Route::View)),
        ["v1", "feed"] => only(method, Method::GET, "GET", || Ok(Route::Feed)),
        _ => Err(unknown()),
    }
}

fn actors<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    const NAMES: [&str; 4] = ["actor type", "actor id", "command name", "query name"];
    if let Some(empty) = parts.iter().position(|part| part.is_empty()) {
        let what = NAMES.get(empty).unwrap_or(&"a path segment");
        return Err(Failure::malformed("MalformedName", format!("{what} is empty")).into());
    }
    let address = |type_name, id| Ok((decode(NAMES[0], type_name)?, decode(NAMES[1], id)?));
    match *parts {
        [type_name, id] => only(method, Method::GET, "GET", || {
            address(type_name, id).map(|(type_name, id)| Route::State { type_name, id })
        }),
        [type_name, id, "events"] if method == Method::GET => {
            let (type_name, id) = address(type_name, id)?;
            Ok(Route::Events { type_name, id })
        }
        [type_name, id, "query", query] => only(method, Method::GET, "GET", || {
            let (type_name, id) = address(type_name, id)?;
            Ok(Route::Query { type_name, id, query: decode(NAMES[3], query)? })
        }),
        [type_name, id, command] => only(method, Method::POST, "POST", || {
            let (type_name, id) = address(type_name, id)?;
            Ok(Route::Execute { type_name, id, command: decode(NAMES[2], command)? })
        }),
        _ => Err(unknown()),
    }
}

fn dead<'a>(method: &Method, parts: &[&'a str]) -> Result<Route<'a>, NoRoute> {
    match *parts {
        [] => only(method, Method::GET, "GET", || Ok(Route::DeadLetters)),
        [at] if method == Method::DELETE => Ok(Route::DropDeadLetter { at: decode("position", at)? }),
        [at] => {
            only(method, Method::GET, "GET, DELETE", || Ok(Route::DeadLetter { at: decode("position", at)? }))
        }
        [at, "replay"] => {
            only(method, Method::POST, "POST", || Ok(Route::ReplayDeadLetter { at: decode("position", at)? }))
        }
        _ => Err(unknown()),
    }
}

fn only<'a>(
    method: &Method,
    wanted: Method,
    allow: &'static str,
    route: impl FnOnce() -> Result<Route<'a>, Failure>,
) -> Result<Route<'a>, NoRoute> {
    if method == wanted { Ok(route()?) } else { Err(NoRoute::Method(allow)) }
}

fn unknown() -> NoRoute {
    Failure::not_found("UnknownRoute", "there is no such path; GET / lists what there is").into()
}

fn decode<'a>(what: &str, segment: &'a str) -> Result<Text<'a>, Failure> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Failure::malformed("MalformedName", format!("{what} is not UTF-8 once percent-decoded")))
}

/// The parameters of a request, decoded once.
#[derive(Debug)]
pub(super) struct Parameters<'a>(SmallVec<[(Text<'a>, Text<'a>); 4]>);

impl<'a> Parameters<'a> {
    /// Reads `query`, the raw text after the question mark; `allowed` are the names there may be.
    pub fn parse(query: &'a str, allowed: &[&str]) -> Result<Self, Failure> {
        let mut read: SmallVec<[(Text, Text); 4]> = SmallVec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = form_decode("a parameter's name", name)?;
            if !allowed.contains(&&*name) {
                return Err(unknown_parameter(&name, allowed));
            }
            if read.iter().any(|(known, _)| *known == name) {
                return Err(parameter(format!("{name} is given twice")));
            }
            let value = form_decode(&name, value)?;
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// The value of `name`, if given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The value of `name` as a whole number, if given.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let parse = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| parameter(format!("{name} is {text:?}; it is a whole number")))
        };
        self.get(name).map(parse).transpose()
    }

    /// The value of `name` as a duration, if given.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        self.get(name).map(|text| duration(name, text)).transpose()
    }
}

fn unknown_parameter(name: &str, allowed: &[&str]) -> Failure {
    let known = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
    let message = format!("there is no parameter {name:?} here; known are: {known}");
    Failure::not_applied(Class::Malformed, "UnknownParameter", message)
}

fn form_decode<'a>(what: &str, text: &'a str) -> Result<Text<'a>, Failure> {
    let not_text = |_| parameter(format!("{what} is not UTF-8 once percent-decoded"));
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().map_err(not_text)?;
        return Ok(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().map_err(not_text)
}

/// A duration as people write it: `250ms`, `10s`, `2m`; a bare number is seconds.
pub(super) fn duration(what: &str, text: &str) -> Result<Duration, Failure> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let milliseconds = unit_ms.and_then(|unit_ms| number.parse::<u64>().ok()?.checked_mul(unit_ms));
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| parameter(format!("{what} is {text:?}; write for example 250ms, 10s or 2m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(method: Method, path: &str) -> Failure {
        match route(&method, path) {
            Err(NoRoute::Failed(failure)) => failure,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn segments_are_split_raw_and_decoded_once() {
        let execute = |path| match route(&Method::POST, path) {
            Ok(Route::Execute { type_name, id, command }) => format!("{type_name}|{id}|{command}"),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(execute("/v1/actors/Order/o-1/place"), "Order|o-1|place");
        assert_eq!(execute("/v1/actors/Order/a%2Fb/place"), "Order|a/b|place");
        assert_eq!(execute("/v1/actors/Order/a%252Fb/place"), "Order|a%2Fb|place");
        assert_eq!(execute("/v1/actors/Order/%2e%2E/place"), "Order|..|place");
        assert_eq!(execute("/v1/actors/Order/../place"), "Order|..|place");
        assert_eq!(execute("/v1/actors/Order/o-1/events"), "Order|o-1|events");
    }

    #[test]
    fn empty_segments_are_named() {
        for (path, part) in [
            ("/v1/actors/", "actor type is empty"),
            ("/v1/actors//o-1", "actor type is empty"),
            ("/v1/actors/Order/", "actor id is empty"),
            ("/v1/actors/Order//place", "actor id is empty"),
            ("/v1/actors/Order/o-1/", "command name is empty"),
            ("/v1/actors/Order/o-1/query/", "query name is empty"),
        ] {
            let failure = failure(Method::GET, path);
            assert_eq!((failure.class, failure.message.as_str()), (Class::Malformed, part), "{path}");
        }
        assert!(failure(Method::POST, "/v1/actors/Order/%FF/place").message.contains("actor id"));
    }

    #[test]
    fn what_does_not_exist_is_not_found_and_what_does_has_its_methods() {
        for path in ["/v1", "/v2/actors/a/b", "//v1/feed", "/v1/%66eed", "/v1/actors/a/b/c/d", "/v1/dead/a/b"]
        {
            assert_eq!(failure(Method::GET, path).code, "UnknownRoute", "{path}");
        }
        for (method, path, allow) in [
            (Method::POST, "/", "GET"),
            (Method::PUT, "/v1/actors/a/b", "GET"),
            (Method::GET, "/v1/actors/a/b/place", "POST"),
            (Method::POST, "/v1/actors/a/b/query/c", "GET"),
            (Method::POST, "/v1/dead/x", "GET, DELETE"),
            (Method::GET, "/v1/dead/x/replay", "POST"),
            (Method::DELETE, "/v1/dead", "GET"),
        ] {
            assert_eq!(route(&method, path), Err(NoRoute::Method(allow)), "{method} {path}");
        }
    }

    #[test]
    fn parameters_are_known_single_and_decoded() {
        let parsed =
            Parameters::parse("args=%7B%22a%22%3A%22b+%2B%22%7D&from=", &["args", "from"]).expect("valid");
        assert_eq!((parsed.get("args"), parsed.get("from")), (Some("{\"a\":\"b +\"}"), Some("")));
        assert!(parsed.number("from").expect_err("empty").message.contains("from"));
        let unknown = Parameters::parse("form=1", &["from", "limit"]).expect_err("unknown");
        assert_eq!(unknown.code, "UnknownParameter");
        assert!(unknown.message.contains("\"form\"") && unknown.message.contains("from, limit"));
        assert!(Parameters::parse("from=1&from=2", &["from"]).is_err());
        assert!(Parameters::parse("from=+1", &["from"]).expect("read").number("from").is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("wait", "250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("wait", "10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("wait", "7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "1h", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615m"] {
            assert!(duration("wait", bad).expect_err(bad).message.contains("wait"), "{bad}");
        }
    }
}
