//! Equal inputs give equal outputs, whatever ran before and wherever it runs.

use super::*;

#[test]
fn dates_know_no_time_zone() {
    let mut bench = Bench::new(
        r#"export default { initial: 0, queries: { all: () => {
          const d = new Date(2024, 0, 15, 12, 30);
          return [d.toISOString(), d.getHours(), d.getTimezoneOffset(), String(d), d.toLocaleDateString(),
                  Date.parse("2024-01-15T12:30"), Date.parse("2024-01-15"), Date.parse("2024-01-15T12:30+02:00"),
                  Number.isNaN(Date.parse("Jan 15 2024")), new Date(0).getTime(), new Date(new Date(5)).getTime(),
                  d instanceof Date, new (class D extends Date {})(7).getTime(), String(new Date(NaN)), Date(),
                  new Date(0).setHours(1), `${new Date(0).toJSON()}`, d.constructor === Date, Date.name];
        } } }"#,
    );
    let expected = r#"["2024-01-15T12:30:00.000Z",12,0,"2024-01-15T12:30:00.000Z","2024-01-15",1705321800000,1705276800000,1705314600000,true,0,5,true,7,"Invalid Date","2023-11-14T22:13:20.000Z",3600000,"1970-01-01T00:00:00.000Z",true,"Date"]"#;
    assert_eq!(bench.query("all", "null").expect("a result"), expected);
}

#[test]
fn a_live_state_is_the_one_its_bytes_give() {
    let mut bench = Bench::new(
        r#"export default {
          initial: {},
          commands: { run(s, p, ctx) { ctx.emit("E", { a: undefined, z: -0, list: [-0], o: { u: undefined } }); } },
          events: { E: (s, e) => ({ ...e, own: undefined, keys: Object.keys(e), minus: -0, by: Object.groupBy([1], () => "k") }) },
          queries: { look: (s) => [Object.keys(s), 1 / s.z, 1 / s.minus, "own" in s, "u" in s.o, 1 / s.list[0] > 0,
                                   Object.isFrozen(s.list), Object.getPrototypeOf(s.by) === Object.prototype].map(String) },
        }"#,
    );
    bench.apply("run", "null");
    let json = bench.json();
    assert_eq!(json, r#"{"z":0,"list":[0],"o":{},"keys":["z","list","o"],"minus":0,"by":{"k":[1]}}"#);
    let live = bench.query("look", "null").expect("a result");
    bench.state = bench.engine.thaw(KEY, json.as_bytes(), 1).expect("thaws");
    assert_eq!(bench.query("look", "null").expect("a result"), live);
    assert_eq!(
        live,
        r#"["z,list,o,keys,minus,by","Infinity","Infinity","false","false","true","true","true"]"#
    );
}

#[test]
fn freezing_by_a_script_does_not_hide_bad_values() {
    let mut bench = Bench::new(
        r#"const LIST = Object.freeze([{ deep: [1] }]);
        const BAD = Object.freeze({ f: () => 1 });
        export default {
          initial: {},
          commands: { good(s, p, ctx) { ctx.emit("E", 1); return Object.isFrozen(LIST[0].deep); },
                      bad(s, p, ctx) { ctx.emit("B"); } },
          events: { E: (s, e) => ({ list: LIST }), B: () => ({ bad: BAD }) },
        }"#,
    );
    assert_eq!(text(bench.apply("good", "null").reply), "true");
    assert_eq!(bench.json(), r#"{"list":[{"deep":[1]}]}"#);
    let error = bench.fails("bad", "null");
    assert!(error.message.contains("events.B.bad.f is a function"), "{error}");
}

#[test]
fn behaviors_in_one_realm_do_not_meet() {
    let mut engine = QuickJsEngine::new().expect("an engine");
    let first = source(
        "globalThis.x === undefined; var mine = 1; export default { initial: 1, queries: { q: () => mine } }",
    );
    engine.load(&first).expect("loads");
    let key = VersionKey { ordinal: 2, ..KEY };
    let second =
        BehaviorSource { key, ..source("export default { initial: 2, queries: { q: () => typeof mine } }") };
    engine.load(&second).expect("loads");
    let state = engine.initial(key).expect("initial");
    let call = Call { command: "q", internal: false, payload: b"null", context: context("o-1") };
    assert_eq!(text(engine.query(key, &state, &call).expect("a result")), r#""undefined""#);
    let stolen = BehaviorSource {
        key: VersionKey { ordinal: 3, ..KEY },
        ..source("import other from 'order.js'; export default { initial: other }")
    };
    assert!(engine.load(&stolen).is_err());
}
