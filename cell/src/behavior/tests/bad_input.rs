//! Scripts that misbehave: each gives a clear error, changes nothing, and the engine goes on.

use super::*;

/// A behavior with one command, `run`, whose body this is.
fn command(body: &str) -> Bench {
    Bench::new(&format!(
        "export default {{\n  initial: {{ n: 0, items: [1, {{ a: 1 }}] }},\n  commands: {{\n    ok(s, p, ctx) {{ ctx.emit(\"Added\", {{ by: 1 }}); return ctx.state.n; }},\n    run(s, p, ctx) {{\n{body}\n    }},\n  }},\n  internal: {{ hear() {{}} }},\n  events: {{\n    Added: (s, e) => ({{ ...s, n: s.n + e.by }}),\n    Lost() {{}},\n    Kept: (s, e) => ({{ ...s, kept: e }}),\n    Timed: (s) => ({{ ...s, at: Date.now() }}),\n    Random: (s) => ({{ ...s, r: Math.random() }}),\n    Newed: (s) => ({{ ...s, at: new Date().getTime() }}),\n    Nan: (s) => ({{ ...s, n: NaN }}),\n    Threw() {{ throw new Error(\"no fold\"); }},\n    Grown: (s, e) => ({{ ...s, text: (s.text ?? \"\") + e.text }}),\n    Doubled: (s) => ({{ a: s, b: s }}),\n  }},\n}};\n"
    ))
}

/// The body of [`command`] begins on this line.
const LINE: u32 = 6;

/// Runs `body`, which must fail, and checks that the engine still works.
fn failure(body: &str) -> ScriptError {
    println!("{body}");
    let mut bench = command(body);
    let error = bench.fails("run", r#"{"deep":{"n":1}}"#);
    assert_eq!(text(bench.apply("ok", "null").reply), "1", "the engine is alive after: {body}");
    assert_eq!(&*error.file, "order.js");
    error
}

#[track_caller]
fn assert_failure(body: &str, kind: ScriptErrorKind, line: u32, message: &str) {
    let error = failure(body);
    assert!(error.message.contains(message), "{body}: {error}");
    assert_eq!((error.kind, error.line), (kind, line), "{body}: {error}");
}

#[test]
fn a_handler_that_throws() {
    use ScriptErrorKind::Threw;
    assert_failure("\n  throw new Error('boom');", Threw, LINE + 1, "boom");
    assert_failure("p.missing.field;", Threw, LINE, "TypeError: ");
    assert_failure("nowhere;", Threw, LINE, "ReferenceError: ");
    assert_failure("throw { code: 1 };", Threw, 0, "threw [object Object]");
    assert_failure("throw 'text';", Threw, 0, "threw text");
    assert_failure(
        "class E extends Error { constructor() { super('own'); this.name = 'Own'; } }\n throw new E();",
        Threw,
        LINE,
        "Own: own",
    );
    assert_failure("ctx.emit('Added', { by: 1 });\n throw new Error('after');", Threw, LINE + 1, "after");
}

#[test]
fn a_handler_that_loops_forever_is_stopped_at_its_deadline() {
    let mut bench = command("for (;;) {}");
    let started = std::time::Instant::now();
    let error = bench.fails("run", "null");
    let took = started.elapsed();
    assert_eq!(error.kind, ScriptErrorKind::TimeLimit);
    assert!(error.message.contains("50 ms"), "{error}");
    assert!((LINE - 1..=LINE).contains(&error.line), "{error}");
    assert!(took.as_millis() >= 50, "{took:?}");
    // Uncatchable, so neither catch nor finally goes on.
    assert_eq!(
        failure("try { for (;;) {} } catch { for (;;) {} } finally { for (;;) {} }").kind,
        ScriptErrorKind::TimeLimit
    );
    assert_eq!(failure("/(a+)+$/.test('a'.repeat(40) + 'b')").kind, ScriptErrorKind::TimeLimit);
}

#[test]
fn a_handler_that_allocates_without_end() {
    for body in [
        "const all = []; for (;;) all.push('x'.repeat(1e6) + all.length);",
        "let s = 'x'; for (;;) s = s + s + 'y';",
        "const all = []; for (;;) all.push(new Array(100000).fill(0));",
    ] {
        let mut source = source("");
        source.source = "export default { initial: 0, commands: { run() { BODY }, ok() { return 1; } } }"
            .replace("BODY", body)
            .into();
        source.limits.command_ms = 10_000;
        let mut engine = QuickJsEngine::with_heap(16 << 20).expect("an engine");
        engine.load(&source).expect("loads");
        let state = engine.initial(KEY).expect("initial");
        let mut bench = Bench { engine, state };
        for _ in 0..3 {
            let error = bench.fails("run", "null");
            assert!(
                matches!(error.kind, ScriptErrorKind::MemoryLimit | ScriptErrorKind::Threw),
                "{body}: {error}"
            );
            assert_eq!(text(bench.apply("ok", "null").reply), "1");
        }
    }
}

#[test]
fn a_handler_that_recurses_without_end() {
    assert_failure("const f = () => f() + 1; f();", ScriptErrorKind::StackLimit, LINE, "recursed deeper");
    assert_failure(
        "const o = { get x() { return this.x; } }; return o;",
        ScriptErrorKind::StackLimit,
        LINE,
        "recursed",
    );
}

#[test]
fn a_reply_that_is_not_json() {
    use ScriptErrorKind::BadValue;
    assert_failure("return { a: [1, 2n] };", BadValue, 0, "a[1] is a BigInt");
    assert_failure("return () => 1;", BadValue, 0, "is a function");
    assert_failure("return { f() {} };", BadValue, 0, "f is a function");
    assert_failure("const o = { x: {} }; o.x.o = o; return o;", BadValue, 0, "contains itself");
    assert_failure("return [1, undefined];", BadValue, 0, "[1] is undefined");
    assert_failure("return new Array(1e9);", BadValue, 0, "[0] is undefined");
    assert_failure("return { a: { b: NaN } };", BadValue, 0, "a.b is NaN");
    assert_failure("return 1 / 0;", BadValue, 0, "is inf");
    assert_failure("return { at: new Date() };", BadValue, 0, "at is a Date; use its getTime()");
    assert_failure("return new Map();", BadValue, 0, "is a Map");
    assert_failure("return Symbol();", BadValue, 0, "is a symbol");
    assert_failure("return '\\ud800';", BadValue, 0, "half of a surrogate pair");
    assert_failure("return { ['__proto__']: 1 };", BadValue, 0, "__proto__");
    assert_failure(
        "let o = 1; for (let i = 0; i < 70; i++) o = [o]; return o;",
        BadValue,
        0,
        "nested deeper",
    );
    assert_failure(
        "let o = ['x'.repeat(1000)]; for (let i = 0; i < 40; i++) o = [o, o]; return o;",
        BadValue,
        0,
        "larger than 1048576 bytes",
    );
}

#[test]
fn an_event_or_message_that_is_not_json() {
    use ScriptErrorKind::BadValue;
    assert_failure("\nctx.emit('Added', { by: { x: 2n } });", BadValue, LINE + 1, "by.x is a BigInt");
    assert_failure("ctx.emit('Added', { by: () => 1 });", BadValue, LINE, "by is a function");
    assert_failure(
        "ctx.tell('Order/x', 'c', { list: [undefined] });",
        BadValue,
        LINE,
        "list[0] is undefined",
    );
    assert_failure("ctx.schedule('hear', { after: 1, payload: { n: NaN } });", BadValue, LINE, "n is NaN");
    assert_failure(
        "ctx.emit('Added', { by: 'x'.repeat(2000000) });",
        BadValue,
        LINE,
        "larger than 1048576 bytes",
    );
}

#[test]
fn an_undeclared_event() {
    let kind = ScriptErrorKind::UndeclaredEvent;
    assert_failure(
        "ctx.emit('Nope', {});",
        kind,
        LINE,
        "the event Nope is not declared; add it to events (declared: Added",
    );
    assert_failure("ctx.emit('toString', {});", kind, LINE, "toString");
    // Catching the exception does not undo the mistake.
    assert_failure("try { ctx.emit('Nope', {}); } catch {} return 1;", kind, LINE, "Nope");
    assert_failure("ctx.emit();", ScriptErrorKind::BadValue, LINE, "needs the event's name");
}

#[test]
fn a_fold_without_a_usable_state() {
    use ScriptErrorKind::{BadState, Threw};
    assert_failure("ctx.emit('Lost');", BadState, LINE, "events.Lost gave undefined; return the state");
    assert_failure("ctx.emit('Nan');", BadState, LINE, "events.Nan.n is NaN");
    assert_failure("ctx.emit('Threw');", Threw, 18, "no fold");
    assert_failure("try { ctx.emit('Threw'); } catch {}", Threw, 18, "no fold");
    assert_failure(
        "ctx.emit('Grown', { text: 'x'.repeat(5000) });",
        BadState,
        LINE,
        "larger than 4096 bytes",
    );
    assert_failure(
        "for (let i = 0; i < 100; i++) ctx.emit('Grown', { text: 'x'.repeat(99) });",
        BadState,
        LINE,
        "stateBytes",
    );
    assert_failure(
        "for (let i = 0; i < 33; i++) ctx.emit('Doubled');",
        BadState,
        LINE,
        "larger than 4096 bytes",
    );
}

#[test]
fn changing_the_state_in_place() {
    use ScriptErrorKind::Threw;
    assert_failure("s.n = 1;", Threw, LINE, "read-only");
    assert_failure("\ns.items.push(2);", Threw, LINE + 1, "TypeError");
    assert_failure("s.items[1].a = 2;", Threw, LINE, "read-only");
    assert_failure("s.extra = 1;", Threw, LINE, "not extensible");
    assert_failure("delete s.n;", Threw, LINE, "TypeError");
    assert_failure("s.items.reverse();", Threw, LINE, "TypeError");
    assert_failure("Object.assign(s, { n: 5 });", Threw, LINE, "read-only");
    assert_failure("ctx.emit('Kept', p);\n p.deep.n = 2;", Threw, LINE + 1, "read-only");
    assert_failure("ctx.emit('Added', { by: 1 });\n ctx.state.n = 7;", Threw, LINE + 1, "read-only");
    assert_failure("Object.setPrototypeOf(s, null);", Threw, LINE, "TypeError");
}

#[test]
fn time_and_chance_in_a_fold() {
    use ScriptErrorKind::BadValue;
    assert_failure("ctx.emit('Timed');", BadValue, 14, "the time is not available here");
    assert_failure("ctx.emit('Newed');", BadValue, 16, "the time is not available here");
    assert_failure("ctx.emit('Random');", BadValue, 15, "Math.random() is not available here");
}

#[test]
fn prototypes_and_globals_cannot_be_changed() {
    use ScriptErrorKind::Threw;
    for body in [
        "Object.prototype.polluted = 1;",
        "p.__proto__.polluted = 1;",
        "p.constructor.prototype.polluted = 1;",
        "Array.prototype.map = () => 'mine';",
        "Array.prototype.map.cache = 1;",
        "(function* () {})().__proto__.__proto__.next = 1;",
        "globalThis.shared = 1;",
        "Math.random = () => 4;",
        "Date.prototype.getTime = () => 4;",
        "ctx.mine = 1;",
        "ctx.emit = () => 1;",
        "Object.getPrototypeOf(ctx).id = 1;",
        "Object.defineProperty(globalThis, 'x', { value: 1 });",
        "Error.stackTraceLimit = 0;",
        "console.log = null;",
        "leak = 1;",
    ] {
        assert_eq!(failure(body).kind, Threw, "{body}");
    }
}

#[test]
fn code_from_strings_modules_and_timers_are_not_there() {
    use ScriptErrorKind::Threw;
    assert_failure("eval('1');", Threw, LINE, "eval is not available");
    assert_failure("new Function('return 1')();", Threw, LINE, "write the function into the module");
    assert_failure(
        "(() => {}).constructor('return 1')();",
        Threw,
        LINE,
        "write the function into the module",
    );
    assert_failure(
        "(async () => {}).constructor('return 1')();",
        Threw,
        LINE,
        "write the function into the module",
    );
    assert_failure("setTimeout(() => {}, 1);", Threw, LINE, "use ctx.schedule");
    assert_failure("fetch('http://x');", Threw, LINE, "use ctx.tell");
    assert_failure("require('fs');", Threw, LINE, "one module");
    for name in ["Proxy", "WeakRef", "performance", "queueMicrotask", "process", "std", "os"] {
        assert_failure(&format!("{name};"), Threw, LINE, "is not defined");
    }
}

#[test]
fn asynchronous_work() {
    use ScriptErrorKind::BadValue;
    assert_failure("return (async () => 1)();", BadValue, 0, "is a Promise; behaviors are synchronous");
    assert_failure(
        "Promise.resolve().then(() => ctx.emit('Added', { by: 1 })); return 1;",
        BadValue,
        0,
        "left asynchronous work behind",
    );
    assert_failure(
        "const again = () => Promise.resolve().then(again); again(); return 1;",
        BadValue,
        0,
        "asynchronous",
    );
    assert_failure("import('./other.js'); return 1;", BadValue, 0, "asynchronous");
}

#[test]
fn misuse_of_ctx_names_the_fix() {
    use ScriptErrorKind::BadValue;
    assert_failure(
        "ctx.tell('Nobody/1', 'c');",
        BadValue,
        LINE,
        "no actor type Nobody (it has Inventory, Order)",
    );
    assert_failure("ctx.tell('Order', 'c');", BadValue, LINE, "write Type/id");
    assert_failure("ctx.tell('Order/a b', 'c');", BadValue, LINE, "' ' at byte 1");
    assert_failure("ctx.tell('Order/a', 'c d');", BadValue, LINE, "command has the character");
    assert_failure("ctx.tell('Order/a');", BadValue, LINE, "needs a target and a command");
    assert_failure(
        "ctx.tell('Order/a', 'c', {}, { onRefused: 'gone' });",
        BadValue,
        LINE,
        "onRefused is \"gone\", which is no command",
    );
    assert_failure(
        "ctx.tell('Order/a', 'c', {}, { onrefused: 'hear' });",
        BadValue,
        LINE,
        "has no option onrefused",
    );
    assert_failure("ctx.schedule('gone', { after: 1 });", BadValue, LINE, "the command is \"gone\"");
    assert_failure("ctx.schedule('hear', {});", BadValue, LINE, "either after");
    assert_failure("ctx.schedule('hear', { after: 1, at: 1 });", BadValue, LINE, "either after");
    assert_failure("ctx.schedule('hear', { after: 'soon' });", BadValue, LINE, "write after: \"1h30m\"");
    assert_failure("ctx.schedule('hear', { after: -1 });", BadValue, LINE, "the time is not one");
    assert_failure("ctx.schedule('hear', { at: Infinity });", BadValue, LINE, "the time is not one");
    assert_failure("ctx.cancel();", BadValue, LINE, "ctx.cancel needs");
    assert_failure("ctx.reject();", BadValue, LINE, "needs a code");
    assert_failure(
        "for (let i = 0; i < 1001; i++) ctx.emit('Added', { by: 1 });",
        BadValue,
        LINE,
        "more than 1000 events",
    );
    assert_failure(
        "for (let i = 0; i < 1001; i++) ctx.tell('Order/a', 'c');",
        BadValue,
        LINE,
        "more than 1000 messages",
    );
    assert_failure(
        "for (let i = 0; i < 1001; i++) ctx.cancel('t');",
        BadValue,
        LINE,
        "more than 1000 timer changes",
    );
}

#[test]
fn payloads_that_fit_alone_but_not_together() {
    let body = "for (let i = 0; i < 5; i++) ctx.tell('Order/a', 'c', 'x'.repeat(1e6));";
    assert_failure(body, ScriptErrorKind::BadValue, LINE, "larger than 4000000 bytes together");
}

#[test]
fn a_rejection_cannot_be_swallowed() {
    let mut bench =
        command("try { ctx.reject('No', 'never'); } catch {} ctx.emit('Added', { by: 1 }); return 1;");
    let rejected = bench.command("run", "null").expect_err("rejected");
    assert_eq!(rejected, CallError::Rejected { code: "No".into(), message: "never".into() });
}

#[test]
fn a_kept_ctx_is_of_no_use_outside_its_call() {
    let mut bench = Bench::new(
        "let kept; export default { initial: 0, commands: { keep(s, p, ctx) { kept = ctx; } }, \
         events: { E: () => { kept.emit('E'); return 1; } } }",
    );
    bench.apply("keep", "null");
    let event = PastEvent { name: "E", payload: b"null", state_version: 1 };
    let state = bench.engine.initial(KEY).expect("initial");
    let error = bench.engine.fold(KEY, state, &[event]).expect_err("emits in a fold");
    assert!(error.message.contains("ctx.emit is not for events"), "{error}");
}
