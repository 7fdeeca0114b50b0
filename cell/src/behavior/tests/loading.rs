//! Which modules load, what the others are told, and how versions follow each other.

use super::*;
use crate::behavior::sandbox::REALM_MODULES_MAX;

#[track_caller]
fn refused(text: &str, line: u32, message: &str) {
    let error = load_error(&source(text));
    assert_eq!(error.kind, ScriptErrorKind::Load, "{error}");
    assert!(error.message.contains(message), "{text}: {error}");
    assert_eq!((&*error.file, error.line), ("order.js", line), "{text}: {error}");
}

#[test]
fn a_module_that_is_no_behavior_is_told_why() {
    refused("export default {\n  initial: 0,\n  commands: { f( }\n}", 3, "SyntaxError: ");
    refused("export default { initial: 0 ", 1, "SyntaxError: ");
    refused(
        "\nimport fs from 'fs';\nexport default { initial: 0 }",
        0,
        "import of 'fs' is not available; a behavior is one module",
    );
    refused("\nthrow new Error('at once');", 2, "at once");
    refused("await 1; export default { initial: 0 }", 0, "top-level await");
    refused("await new Promise(() => {}); export default { initial: 0 }", 0, "top-level await");
    refused("export const x = 1;", 0, "no default export object");
    refused("export default 7;", 0, "no default export object");
    refused("export default () => 1;", 0, "no default export object");
    refused("export default { initial: 0, comands: {} }", 0, "unknown member comands; known are initial");
    refused("export default { commands: {} }", 0, "no initial");
    refused("export default { initial: 0, commands: 7 }", 0, "commands is not an object of functions");
    refused("export default { initial: 0, commands: { f: 7 } }", 0, "commands.f is not a function");
    refused(
        "export default { initial: 0, commands: { async f() {} } }",
        0,
        "commands.f is async or a generator",
    );
    refused("export default { initial: 0, events: { *E() {} } }", 0, "events.E is async or a generator");
    refused(
        "export default { initial: 0, commands: { 'a b': () => 1 } }",
        0,
        "commands: name has the character ' '",
    );
    refused("export default { initial: 0, commands: { f() {} }, internal: { f() {} } }", 0, "f is in both");
    refused("export default { initial: 0, migrate: {} }", 0, "migrate is not a function");
    refused("export default { initial: 0, stateVersion: 1.5 }", 0, "stateVersion is not a whole number");
    refused("export default { initial: 0, stateVersion: 0 }", 0, "stateVersion is not a whole number");
    refused(
        "const now = Date.now();\nexport default { initial: { now } }",
        1,
        "the time is not available here",
    );
}

#[test]
fn an_initial_state_must_be_one() {
    for initial in ["{ f() {} }", "1n", "() => new Date(0)", "'x'.repeat(5000)"] {
        let error = load_error(&source(&format!("export default {{ initial: {initial} }}")));
        assert_eq!(error.kind, ScriptErrorKind::BadState, "{initial}: {error}");
    }
    assert_eq!(Bench::new("export default { initial: () => ({ a: 1 }) }").json(), r#"{"a":1}"#);
    assert_eq!(Bench::new("export default { initial: null }").json(), "null");
    let endless = load_error(&source("for (;;) {}"));
    assert_eq!((endless.kind, endless.line), (ScriptErrorKind::TimeLimit, 1));
}

#[test]
fn the_interface_is_what_was_exported() {
    let mut engine = QuickJsEngine::new().expect("an engine");
    let interface = engine
        .load(&source(
            "export default { initial: 0, stateVersion: 3, commands: { b() {}, a() {} }, internal: { i() {} }, \
             events: { E() {} }, queries: { q() {} }, upcast: { Old() {} }, migrate() {} }",
        ))
        .expect("loads");
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    let expected = Interface {
        commands: names(&["a", "b"]),
        internal: names(&["i"]),
        events: names(&["E"]),
        queries: names(&["q"]),
        upcasts: names(&["Old"]),
        state_version: 3,
        migrates: true,
    };
    assert_eq!(interface, expected);
}

const SECOND: &str = r#"export default {
  initial: { total: 0 },
  stateVersion: 2,
  events: { Added: (s, e) => ({ total: s.total + e.cents }), Renamed: (s) => ({ ...s, renamed: true }) },
  upcast: { Added: (e, from) => ({ cents: e.euros * 100 * from }), Old: (e) => ["Renamed", e] },
  migrate: (s, from) => ({ total: s.sum * 100, from }),
}"#;

#[test]
fn older_states_migrate_and_older_events_are_upcast() {
    let mut bench = Bench::new(SECOND);
    bench.state = bench.engine.thaw(KEY, br#"{"sum":3}"#, 1).expect("migrates");
    assert_eq!(bench.json(), r#"{"total":300,"from":1}"#);
    let initial = bench.engine.initial(KEY).expect("initial");
    let old = |name, payload| PastEvent { name, payload, state_version: 1 };
    let events = [
        old("Added", &br#"{"euros":2}"#[..]),
        PastEvent { name: "Added", payload: br#"{"cents":5}"#, state_version: 2 },
        old("Old", b"{}"),
    ];
    bench.state = bench.engine.fold(KEY, initial, &events).expect("folds");
    assert_eq!(bench.json(), r#"{"total":205,"renamed":true}"#);
}

#[test]
fn what_a_version_cannot_read_is_refused() {
    let mut bench = Bench::new(SECOND);
    let newer = bench.engine.thaw(KEY, b"{}", 3).expect_err("newer");
    assert!(newer.message.contains("stateVersion 3, this behavior only 2"), "{newer}");
    let mut fold = |name: &str, state_version| {
        let initial = bench.engine.initial(KEY).expect("initial");
        bench.engine.fold(KEY, initial, &[PastEvent { name, payload: b"{}", state_version }])
    };
    let gone = fold("Gone", 1).expect_err("not declared");
    assert_eq!(gone.kind, ScriptErrorKind::UndeclaredEvent);
    assert!(gone.message.contains("Gone cannot be folded; add it to events or upcast"), "{gone}");
    assert!(fold("Old", 2).is_err(), "upcast is for older versions");
    assert_eq!(fold("Renamed", 3).expect_err("newer").kind, ScriptErrorKind::BadState);
    assert_eq!(fold("Added", 2).expect_err("NaN").kind, ScriptErrorKind::BadState);
    let plain = "export default { initial: 0, stateVersion: 2 }";
    let error = Bench::new(plain).engine.thaw(KEY, b"{}", 1).expect_err("no migrate");
    assert!(error.message.contains("add migrate(state, from)"), "{error}");
}

#[test]
fn a_lowered_limit_loses_nothing() {
    let mut source = source(
        "export default { initial: '', commands: { add(s, p, ctx) { ctx.emit('Added', p); } }, \
         events: { Added: (s, e) => e } }",
    );
    source.limits.state_bytes = 10;
    let mut bench = Bench::of(&source);
    let large = format!("\"{}\"", "x".repeat(20));
    let event = PastEvent { name: "Added", payload: large.as_bytes(), state_version: 1 };
    let initial = bench.engine.initial(KEY).expect("initial");
    for state in [bench.engine.thaw(KEY, large.as_bytes(), 1), bench.engine.fold(KEY, initial, &[event])] {
        bench.state = state.expect("read though over the limit");
        assert_eq!(bench.json(), large);
        assert_eq!(bench.fails("add", &large).kind, ScriptErrorKind::BadState);
    }
    bench.apply("add", "\"less\"");
    assert_eq!(bench.json(), "\"less\"");
}

#[test]
fn a_refused_version_leaves_the_old_one() {
    let mut bench = Bench::new("export default { initial: 1, commands: { f: () => 1 } }");
    let next = BehaviorSource { key: VersionKey { ordinal: 2, ..KEY }, ..source("export default {") };
    assert!(bench.engine.load(&next).is_err());
    assert_eq!(text(bench.apply("f", "null").reply), "1");
    bench.engine.unload(KEY);
    assert!(matches!(bench.command("f", "null"), Err(CallError::Script(_))));
}

#[test]
fn many_versions_do_not_pile_up() {
    let mut engine = QuickJsEngine::new().expect("an engine");
    let mut used = Vec::new();
    for ordinal in 1..=REALM_MODULES_MAX * 4 {
        let key = VersionKey { ordinal, ..KEY };
        engine.load(&BehaviorSource { key, ..source(SECOND) }).expect("loads");
        engine.unload(key);
        if ordinal % REALM_MODULES_MAX == 0 {
            engine.collect_garbage();
            used.push(engine.heap_bytes());
        }
    }
    // The interpreter keeps its first realm; after that there is one at a time.
    assert!(used[3] < used[1] + used[1] / 10, "{used:?}");
}

#[test]
fn schemas_are_checked_where_given() {
    let number = |field: &str| {
        format!(
            r#"{{"type":"object","required":["{field}"],"properties":{{"{field}":{{"type":"number"}}}}}}"#
        )
    };
    let schema = Schema {
        commands: vec![("add".into(), number("by"))],
        events: vec![("Added".into(), number("by")), ("Broken".into(), "{}".into())],
        state: Some(number("n")),
    };
    let text_ = "export default { initial: { n: 0 }, commands: { \
        add(s, p, ctx) { ctx.emit('Added', p); }, bad(s, p, ctx) { ctx.emit('Added', { by: 'x' }); }, \
        unlisted(s, p, ctx) { ctx.emit('Other', p); }, broken(s, p, ctx) { ctx.emit('Broken', p); } }, \
        events: { Added: (s, e) => ({ n: s.n + e.by }), Other: (s) => s, Broken: () => ({ n: 'x' }) } }";
    let with = |schema| BehaviorSource { schema: Some(Arc::new(schema)), ..source(text_) };
    let mut bench = Bench::of(&with(schema.clone()));
    bench.apply("add", r#"{"by":2}"#);
    let Err(CallError::BadPayload(sentence)) = bench.command("add", r#"{"by":"2"}"#) else { panic!("bad") };
    assert!(sentence.contains("the payload at /by"), "{sentence}");
    let error = bench.fails("bad", "null");
    assert_eq!(error.kind, ScriptErrorKind::Schema);
    assert!(error.message.contains("Added: the payload at /by"), "{error}");
    assert!(bench.fails("unlisted", "null").message.contains("has no schema"));
    assert!(bench.fails("broken", "null").message.contains("the state at /n"));
    assert_eq!(bench.json(), r#"{"n":2}"#);
    let not_schema = Schema { state: Some(r#"{"type":7}"#.into()), ..schema.clone() };
    assert!(load_error(&with(not_schema)).message.contains("schema.state is not a JSON Schema"));
    let remote = Schema { state: Some(r#"{"$ref":"https://example.com/s.json"}"#.into()), ..schema };
    assert!(load_error(&with(remote)).message.contains("schema.state"));
}
