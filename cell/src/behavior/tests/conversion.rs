//! JSON to JavaScript and back.

use proptest::prelude::*;

use super::*;
use crate::json::tests::any_json;

const KEEP: &str = "export default { initial: null, \
    commands: { set(s, p, ctx) { ctx.emit('Set', p); return p; }, numbers: () => [0, -0, 1e21, 1e-7, 2 ** 53, -(2 ** 53), 2 ** 53 + 2, 0.1, 1.5e300, 123456789012] }, \
    events: { Set: (s, e) => e }, \
    queries: { text: (s) => JSON.stringify(s), order: () => ({ b: 1, 10: 2, a: 3, 2: 4, [Symbol('s')]: 5 }), \
               odd: () => ({ 'a\\u0000b': 1, '\\u007f\\ud83d\\ude00\"\\\\\\n': '\\u0001\\u2028' }) } }";

fn equal(a: &str, b: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    floats(parse(a)) == floats(parse(b))
}

/// Numbers compare by value: serde tells 1 from 1.0.
fn floats(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value::{Array, Number, Object};
    match value {
        Number(number) => serde_json::json!(number.as_f64().unwrap_or(f64::NAN) + 0.0),
        Array(items) => items.into_iter().map(floats).collect(),
        Object(fields) => Object(fields.into_iter().map(|(key, value)| (key, floats(value))).collect()),
        other => other,
    }
}

#[test]
fn numbers_are_short_and_read_back_the_same() {
    let reply = text(Bench::new(KEEP).apply("numbers", "null").reply);
    assert_eq!(
        reply,
        "[0,0,1e+21,1e-7,9007199254740992,-9007199254740992,9007199254740994.0,0.1,1.5e+300,123456789012]"
    );
    assert_eq!(crate::json::check(reply.as_bytes()), Ok(()));
}

#[test]
fn keys_are_in_the_order_of_javascript() {
    let mut bench = Bench::new(KEEP);
    assert_eq!(bench.query("order", "null").expect("a result"), r#"{"2":4,"10":2,"b":1,"a":3}"#);
    let odd = bench.query("odd", "null").expect("a result");
    assert_eq!(crate::json::check(odd.as_bytes()), Ok(()));
    let value: serde_json::Value = serde_json::from_str(&odd).expect("JSON");
    assert_eq!(value["a\0b"], 1);
    assert_eq!(value["\u{7f}😀\"\\\n"], "\u{1}\u{2028}");
}

#[test]
fn long_maps_outgrow_the_memory_of_keys() {
    let mut bench = Bench::new(
        "export default { initial: 0, queries: { many: (s, n) => Object.fromEntries(Array.from({ length: n }, (_, i) => ['k' + i, i])) } }",
    );
    let many = bench.query("many", "9000").expect("a result");
    let value: serde_json::Value = serde_json::from_str(&many).expect("JSON");
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(9_000));
    assert!((0..9_000).all(|i| value[format!("k{i}")] == i));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What the border accepts is the same value to serde, to QuickJS, and after a round trip.
    #[test]
    fn accepted_json_is_one_value_to_all(value in any_json()) {
        thread_local!(static BENCH: std::cell::RefCell<Bench> = {
            let mut source = source(KEEP);
            source.limits.state_bytes = 1 << 20;
            std::cell::RefCell::new(Bench::of(&source))
        });
        let text_ = value.to_string();
        prop_assert_eq!(crate::json::check(text_.as_bytes()), Ok(()));
        BENCH.with_borrow_mut(|bench| {
            let turn = bench.apply("set", &text_);
            let (event, reply) = (text(turn.events[0].payload.clone()), text(turn.reply));
            prop_assert!(equal(&event, &text_), "{} became {}", text_, event);
            prop_assert_eq!(&event, &reply);
            prop_assert_eq!(crate::json::check(event.as_bytes()), Ok(()));
            let seen: String = serde_json::from_str(&bench.query("text", "null").expect("a result")).expect("a string");
            prop_assert!(equal(&seen, &text_), "{} is seen as {}", text_, seen);
            let frozen = bench.json();
            prop_assert_eq!(&frozen, &event);
            let thawed = bench.engine.thaw(KEY, frozen.as_bytes(), 1).expect("thaws");
            prop_assert_eq!(text(bench.engine.freeze(KEY, &thawed).expect("freezes")), frozen);
            Ok(())
        })?;
    }
}
