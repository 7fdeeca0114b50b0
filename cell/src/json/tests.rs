use proptest::prelude::*;

use super::*;

fn problem(text: &str) -> JsonProblem {
    check(text.as_bytes()).expect_err(text).problem
}

fn path(text: &str) -> String {
    check(text.as_bytes()).expect_err(text).path
}

#[test]
fn one_value_of_any_kind_is_accepted() {
    for text in ["null", " true ", "-0", "1e3", "0.1", r#""\ud83d\ude00""#, "[]", r#"{"a":[{"b":{}}]}"#] {
        assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn what_is_not_one_value_is_refused_with_its_place() {
    for text in ["", "{", "1 2", "nul", "[1,]", "{'a':1}", "NaN", "01", r#""\ud800""#, "\"a\nb\"", "// x\n1"]
    {
        assert!(matches!(problem(text), JsonProblem::Syntax(_)), "{text}");
    }
    let error = check(b"{\n  \"a\": tru }").expect_err("no value");
    assert_eq!((error.path.as_str(), error.line), ("a", 2));
    let error = check(b"[1,\n \"\xff\"]").expect_err("not utf-8");
    assert_eq!(error, JsonError { path: String::new(), line: 2, column: 3, problem: JsonProblem::NotUtf8 });
}

#[test]
fn a_key_may_appear_once() {
    assert_eq!(problem(r#"{"a":1,"b":{"c":1,"\u0063":2}}"#), JsonProblem::DuplicateKey);
    assert_eq!(path(r#"{"a":1,"b":{"c":1,"\u0063":2}}"#), "b.c");
    assert_eq!(check(br#"{"a":{"a":{"a":1}},"b":{"a":1}}"#), Ok(()));
    let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
    assert_eq!(check(format!("{{{}}}", many.join(",")).as_bytes()), Ok(()));
    assert_eq!(problem(&format!("{{{},\"k77\":1}}", many.join(","))), JsonProblem::DuplicateKey);
    assert_eq!(problem(&format!("{{{},\"k7\":1}}", many.join(","))), JsonProblem::DuplicateKey);
}

#[test]
fn proto_is_no_key() {
    assert_eq!(problem(r#"{"a":[{"__proto__":{"admin":true}}]}"#), JsonProblem::ProtoKey);
    assert_eq!(path(r#"{"a":[{"__proto__":{"admin":true}}]}"#), "a[0].__proto__");
    assert_eq!(problem(r#"{"__pr\u006fto__":1}"#), JsonProblem::ProtoKey);
    assert_eq!(check(br#"{"constructor":1,"prototype":2,"x":"__proto__"}"#), Ok(()));
}

#[test]
fn a_number_is_what_a_float_holds() {
    for exact in
        ["9007199254740992", "-9007199254740992", "18446744073709551616", "100000000000000000000", "-0"]
    {
        assert_eq!(check(exact.as_bytes()), Ok(()), "{exact}");
    }
    for inexact in ["9007199254740993", "-9007199254740993", "18446744073709551615", "100000000000000000001"]
    {
        assert_eq!(problem(inexact), JsonProblem::Inexact(inexact.to_owned()));
    }
    assert_eq!(check(b"1.7976931348623157e308"), Ok(()));
    assert_eq!(check(b"[1e300, 12345678901234567e10]"), Ok(()));
    for beyond in ["1e400", "-1e400"] {
        assert_eq!(problem(beyond), JsonProblem::OutOfRange, "{beyond}");
    }
    let text = r#"{"note":"7 \" 8","items":[{"price":1e300},{"price":1},{"price":100000000000000000001}]}"#;
    assert_eq!(path(text), "items[2].price");
    assert_eq!(problem(text), JsonProblem::Inexact("100000000000000000001".to_owned()));
    let huge = format!("[{}1]", "1e300,".repeat(100_000));
    assert_eq!(check(huge.as_bytes()), Ok(()));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(nested(JSON_DEPTH_MAX).as_bytes()), Ok(()));
    assert_eq!(problem(&nested(JSON_DEPTH_MAX + 1)), JsonProblem::TooDeep);
    assert_eq!(problem(&nested(100_000)), JsonProblem::TooDeep);
}

#[test]
fn an_error_is_a_sentence_with_field_place_and_fix() {
    let error = check(br#"{"items":[{"price":9007199254740993}]}"#).expect_err("inexact");
    assert_eq!(
        error.to_string(),
        "items[0].price is 9007199254740993, which a 64-bit float cannot hold exactly; send it as a string \
         (line 1, column 35)"
    );
    let error = check(br#"{"odd key":{"":1e999}}"#).expect_err("beyond");
    assert_eq!(error.path, r#"["odd key"][""]"#);
}

/// Any JSON value, with keys that may collide and numbers near every edge.
pub(crate) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_992i64..=9_007_199_254_740_992).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| json!(x)),
        ".{0,12}".prop_map(Value::from),
        prop::collection::vec(any::<char>(), 0..6).prop_map(|chars| Value::from(String::from_iter(chars))),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let key = prop_oneof!["[a-e]", "[0-9]{1,3}", ".{0,6}", Just("constructor".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
    }

    #[test]
    fn near_json_never_panics_and_is_never_laxer_than_serde(text in r#"[\[\]{}:,"0-9eE.+\-a\\u nulltrefs]{0,60}"#) {
        if check(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn every_value_serde_writes_within_the_rules_is_accepted(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(check(text.as_bytes()), Ok(()));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("parses"), value);
    }
}
