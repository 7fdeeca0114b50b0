//! Takes up the caller's trace: a `traceparent` header becomes a span around the request.
//!
//! Only a request that carries one pays for a span. A malformed header is ignored, as the W3C trace
//! context asks; nothing is sampled or exported here.

use tracing::Span;

/// The header, in HTTP and in gRPC metadata.
pub(super) const TRACEPARENT: &str = "traceparent";

/// The span of one request.
pub(super) fn span(traceparent: Option<&str>, operation: &'static str) -> Span {
    match traceparent.and_then(parse) {
        Some((trace_id, parent_id)) => tracing::info_span!("request", operation, trace_id, parent_id),
        None => Span::none(),
    }
}

/// Splits `version-traceid-parentid-flags`; later versions may have more parts.
fn parse(header: &str) -> Option<(&str, &str)> {
    let mut parts = header.split('-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let named = |text: &str| text.bytes().any(|b| b != b'0');
    let well_formed = hex(version, 2) && hex(trace_id, 32) && hex(parent_id, 16) && hex(flags, 2);
    let known = version != "ff" && (version != "00" || parts.next().is_none());
    (well_formed && known && named(trace_id) && named(parent_id)).then_some((trace_id, parent_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_up_only_if_well_formed() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        assert_eq!(parse(&format!("00-{trace}-{parent}-01")), Some((trace, parent)));
        assert_eq!(parse(&format!("01-{trace}-{parent}-01-later")), Some((trace, parent)));
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            format!("00-{trace}-{parent}"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-01-more"),
            format!("00-{zeros}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
