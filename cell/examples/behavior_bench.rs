//! Prints what the script engine costs: `cargo run --release -p corallite-cell --example behavior_bench`.
//!
//! Medians of several rounds on one thread, in CPU time, which holds on a busy machine; the name of a
//! measurement as argument runs only that. The shape is that of the running example: commands of
//! about 150 bytes, states of about 320 bytes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use corallite_cell::behavior::{
    BehaviorSource, Call, CallContext, Engine, PastEvent, QuickJsEngine, ScriptLimits, State, VersionKey,
};
use corallite_cell::ids::TypeId;

const SOURCE: &str = r#"
export default {
  initial: { status: "none" },
  commands: {
    place(order, { userId, productId, quantity, unitPriceCents, note }, ctx) {
      if (quantity <= 0) ctx.reject("BadQuantity", "order at least one");
      ctx.emit("OrderPlaced", { userId, productId, quantity, unitPriceCents, note,
                                totalCents: quantity * unitPriceCents, placedAt: ctx.now });
      return { orderId: ctx.id };
    },
    nothing() {},
    loop() { for (;;) {} },
    work() { const list = []; for (;;) { list.length = 0; for (let i = 0; i < 99; i++) list.push({ i }); } },
    text() { let n = 0; for (;;) n += JSON.stringify({ a: [1, 2, 3], n }).length; },
  },
  events: {
    OrderPlaced: (order, e) => ({ ...order, ...e, status: "placed" }),
  },
  queries: { summary: (order) => ({ status: order.status, totalCents: order.totalCents }) },
};
"#;

const COMMAND: &[u8] = br#"{"userId":"u-0000007","productId":"p-000123","quantity":3,"unitPriceCents":1999,"note":"leave it at the door of the neighbour, please, thanks"}"#;

const STATE: &[u8] = br#"{"status":"placed","userId":"u-0000007","productId":"p-000123","quantity":3,"unitPriceCents":1999,"note":"leave it at the door of the neighbour, please, thanks","totalCents":5997,"placedAt":1700000000000,"address":"12 Long Street, 1234 Townsville","email":"someone@example.org","couponCode":"SPRING-2024","channel":"web","locale":"en"}"#;

const COMMAND_MS: u32 = 50;
const KEY: VersionKey = VersionKey { type_id: TypeId(1), ordinal: 1 };

fn main() {
    let mut engine = QuickJsEngine::new().expect("an engine");
    engine.load(&source(1)).expect("the behavior loads");
    println!("command {} B, state {} B", COMMAND.len(), STATE.len());
    let mut state = engine.thaw(KEY, STATE, 1).expect("thaws");
    let turn = engine.command(KEY, &state, &call("place", COMMAND)).expect("applied");
    let event = turn.events[0].payload.clone();

    measure("json::check of the command", 20_000, || {
        black_box(corallite_cell::json::check(black_box(COMMAND))).expect("strict");
    });
    measure("command that does nothing", 20_000, || {
        black_box(engine.command(KEY, &state, &call("nothing", b"null")).expect("applied"));
    });
    measure("command, event and fold on a hot state", 20_000, || {
        state = engine.command(KEY, &state, &call("place", COMMAND)).expect("applied").state;
    });
    measure("query", 20_000, || {
        black_box(engine.query(KEY, &state, &call("summary", b"null")).expect("a result"));
    });
    measure("freeze", 20_000, || {
        black_box(engine.freeze(KEY, &state).expect("freezes"));
    });
    measure("thaw", 20_000, || {
        black_box(engine.thaw(KEY, STATE, 1).expect("thaws"));
    });
    let past = [PastEvent { name: "OrderPlaced", payload: &event, state_version: 1 }; 100];
    let per_hundred = measure("100 folded events", 200, || {
        let start = engine.initial(KEY).expect("initial");
        black_box(engine.fold(KEY, start, &past).expect("folds"));
    });
    println!("{:<42} {:>9.2} µs", "  each", per_hundred / 100.0);

    for runaway in ["loop", "work", "text"] {
        overshoot(&mut engine, &state, runaway);
    }
    states(&mut engine);
    versions(&mut engine);
}

/// How long after its deadline a runaway script is stopped.
fn overshoot(engine: &mut QuickJsEngine, state: &State, command: &str) {
    let longest = (0..10)
        .map(|_| {
            let started = Instant::now();
            engine.command(KEY, state, &call(command, b"null")).expect_err("must be stopped");
            started.elapsed().as_secs_f64() * 1e3 - f64::from(COMMAND_MS)
        })
        .fold(0.0, f64::max);
    println!("{:<42} {longest:>9.2} ms", format!("runaway {command}, longest after its deadline"));
}

fn states(engine: &mut QuickJsEngine) {
    const COUNT: usize = 20_000;
    engine.collect_garbage();
    let before = rss_bytes();
    let started = cpu_us();
    let mut states: Vec<State> = (0..COUNT)
        .map(|n| {
            let text = String::from_utf8_lossy(STATE).replace("0000007", &format!("{n:07}"));
            engine.thaw(KEY, text.as_bytes(), 1).expect("thaws")
        })
        .collect();
    println!("{:<42} {:>9.0} B", "hot state (process)", (rss_bytes() - before) / COUNT as f64);
    for state in &mut states {
        *state = engine.command(KEY, state, &call("place", COMMAND)).expect("applied").state;
    }
    println!(
        "{:<42} {:>9.0} B",
        "hot state after a command (process)",
        (rss_bytes() - before) / COUNT as f64
    );
    let made = cpu_us() - started;
    let started = cpu_us();
    engine.collect_garbage();
    println!(
        "{:<42} {:>9.2} ms",
        format!("garbage collection with {COUNT} states"),
        (cpu_us() - started) / 1e3
    );
    println!("{:<42} {:>9.2} ms", format!("making {COUNT} states"), made / 1e3);
    println!("{:<42} {:>9} B", "heap as the engine tells", engine.heap_bytes());
}

fn versions(engine: &mut QuickJsEngine) {
    const COUNT: u32 = 320;
    engine.collect_garbage();
    let before = rss_bytes();
    let mut times: Vec<f64> = (2..2 + COUNT)
        .map(|ordinal| {
            let started = Instant::now();
            engine.load(&source(ordinal)).expect("loads");
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let mean = times.iter().sum::<f64>() / f64::from(COUNT);
    println!(
        "{:<42} {:>9.2} µs median, {mean:.2} mean, {:.2} max",
        "load",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    println!(
        "{:<42} {:>9.0} B",
        "loaded version, its realm shared",
        (rss_bytes() - before) / f64::from(COUNT)
    );
}

fn source(ordinal: u32) -> BehaviorSource {
    BehaviorSource {
        key: VersionKey { ordinal, ..KEY },
        type_name: "Order".into(),
        file: "order.js".into(),
        source: SOURCE.into(),
        schema: None,
        limits: ScriptLimits { command_ms: COMMAND_MS, state_bytes: 1 << 20 },
        known_types: Arc::from([Arc::from("Order")]),
    }
}

fn call<'a>(command: &'a str, payload: &'a [u8]) -> Call<'a> {
    let context = CallContext { id: "o-1001", now_ms: 1_700_000_000_000, seed: 7, claims: None };
    Call { command, internal: false, payload, context }
}

/// Prints and gives the median µs of `run` over several rounds of `times`.
fn measure(what: &str, times: u32, mut run: impl FnMut()) -> f64 {
    if std::env::args().nth(1).is_some_and(|only| !what.contains(&only)) {
        return 0.0;
    }
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let started = cpu_us();
            (0..times).for_each(|_| run());
            (cpu_us() - started) / f64::from(times)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<42} {:>9.2} µs", rounds[rounds.len() / 2]);
    rounds[rounds.len() / 2]
}

/// CPU time of this thread in µs; wall time where `/proc` is missing.
fn cpu_us() -> f64 {
    static STARTED: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = status.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    nanoseconds.map_or_else(|| STARTED.elapsed().as_secs_f64() * 1e6, |ns| ns / 1e3)
}

/// Resident memory of the process in bytes; 0 where `/proc` is missing.
fn rss_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}
