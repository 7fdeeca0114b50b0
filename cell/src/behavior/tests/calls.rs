//! What a handler can do, as documented for users.

use super::*;

const ORDER: &str = r#"
export default {
  initial: { status: "none" },
  commands: {
    place(order, { userId, productId, quantity, unitPriceCents }, ctx) {
      if (order.status !== "none") ctx.reject("AlreadyPlaced", "this order was placed before");
      ctx.emit("OrderPlaced", { userId, productId, quantity,
                                totalCents: quantity * unitPriceCents, placedAt: ctx.now });
      ctx.tell(`Inventory/${productId}`, "reserve", { orderId: ctx.id, quantity },
               { onRefused: "cancelForStock" });
      ctx.schedule("expire", { after: "30m" });
      return { orderId: ctx.id, status: ctx.state.status, was: order.status };
    },
    pay(order, _, ctx) {
      ctx.cancel("expire");
      ctx.emit("OrderPaid");
      ctx.emit("OrderNoted", { note: undefined, by: ctx.type });
    },
    discard(order, _, ctx) { ctx.destroy(); },
    chance(order, _, ctx) { return [ctx.random(), Math.random(), ctx.uuid(), Date.now(), new Date().toISOString()]; },
    whoami(order, _, ctx) { return { sub: ctx.session.sub ?? null, same: ctx.session === ctx.session }; },
    timers(order, _, ctx) {
      ctx.schedule("a", { at: 5, command: "expire", payload: { n: 1 } });
      ctx.schedule("expire", { after: 1500, name: "b" });
    },
    echo: (order, payload) => payload,
    nothing() {},
  },
  internal: {
    expire(order, _, ctx) { if (order.status === "placed") ctx.emit("OrderExpired", {}); },
    cancelForStock(order, _, ctx) {},
  },
  events: {
    OrderPlaced: (order, e) => ({ ...order, ...e, status: "placed" }),
    OrderExpired: (order) => ({ ...order, status: "expired" }),
    OrderPaid: (order) => ({ ...order, status: "paid" }),
    OrderNoted: (order, e) => ({ ...order, ...e }),
  },
  queries: {
    summary: (order, args, ctx) => ({ status: order.status, args, now: ctx.now, id: ctx.id }),
    volatile: (order, args, ctx) => [Date.now() === ctx.now, ctx.random() !== Math.random(), ctx.state === order],
    refuses: (order, args, ctx) => ctx.reject("Hidden", "not for you"),
    emits: (order, args, ctx) => ctx.emit("OrderPaid"),
  },
};
"#;

const PLACE: &str = r#"{"userId":"u7","productId":"p1","quantity":2,"unitPriceCents":350}"#;
const PLACED: &str = r#"{"status":"placed","userId":"u7","productId":"p1","quantity":2,"totalCents":700,"placedAt":1700000000000}"#;

#[test]
fn a_command_gives_its_reply_events_messages_and_timers() {
    let mut bench = Bench::new(ORDER);
    let turn = bench.apply("place", PLACE);
    assert_eq!(text(turn.reply), r#"{"orderId":"o-1","status":"placed","was":"none"}"#);
    assert_eq!(turn.events.len(), 1);
    assert_eq!(&*turn.events[0].name, "OrderPlaced");
    assert_eq!(
        text(turn.events[0].payload.clone()),
        r#"{"userId":"u7","productId":"p1","quantity":2,"totalCents":700,"placedAt":1700000000000}"#
    );
    let told = NewMessage {
        target_type: "Inventory".into(),
        target_id: "p1".into(),
        command: "reserve".into(),
        payload: Bytes::from_static(br#"{"orderId":"o-1","quantity":2}"#),
        on_refused: Some("cancelForStock".into()),
    };
    assert_eq!(turn.messages, [told]);
    let due_ms = NOW_MS + 30 * 60_000;
    let payload = Bytes::from_static(b"null");
    let set = TimerChange::Set { name: "expire".into(), command: "expire".into(), due_ms, payload };
    assert_eq!(turn.timers, [set]);
    assert!(!turn.destroy);
    assert_eq!(bench.json(), PLACED);
}

#[test]
fn a_rejection_carries_code_and_message_and_changes_nothing() {
    let mut bench = Bench::new(ORDER);
    bench.apply("place", PLACE);
    let rejected = bench.command("place", PLACE).expect_err("placed before");
    let expected =
        CallError::Rejected { code: "AlreadyPlaced".into(), message: "this order was placed before".into() };
    assert_eq!(rejected, expected);
    assert_eq!(bench.json(), PLACED);
}

#[test]
fn later_lines_and_events_see_earlier_events() {
    let mut bench = Bench::new(ORDER);
    bench.apply("place", PLACE);
    let turn = bench.apply("pay", "null");
    assert_eq!(turn.events.iter().map(|e| &*e.name).collect::<Vec<_>>(), ["OrderPaid", "OrderNoted"]);
    assert_eq!(text(turn.events[0].payload.clone()), "null");
    assert_eq!(text(turn.events[1].payload.clone()), r#"{"by":"Order"}"#);
    assert_eq!(turn.timers, [TimerChange::Cancel { name: "expire".into() }]);
    assert_eq!(bench.json(), PLACED.replace("placed\"", "paid\"").replace('}', r#","by":"Order"}"#));
}

#[test]
fn without_events_the_state_is_the_same_object() {
    let mut bench = Bench::new(ORDER);
    let turn = bench.command("nothing", "null").expect("applied");
    assert!(turn.state.held.value == bench.state.held.value);
    assert_eq!(text(turn.reply), "null");
    assert!(bench.apply("discard", "null").destroy);
    let timers = bench.apply("timers", "null").timers;
    let TimerChange::Set { name, command, due_ms, payload } = &timers[0] else { panic!("a timer") };
    assert_eq!((&**name, &**command, *due_ms, &payload[..]), ("a", "expire", 5, &br#"{"n":1}"#[..]));
    let TimerChange::Set { name, command, due_ms, .. } = &timers[1] else { panic!("a timer") };
    assert_eq!((&**name, &**command, *due_ms), ("b", "expire", NOW_MS + 1_500));
}

#[test]
fn chance_and_time_are_of_the_call() {
    let mut bench = Bench::new(ORDER);
    let first = text(bench.apply("chance", "null").reply);
    assert_eq!(first, text(bench.apply("chance", "null").reply), "equal seeds, equal streams");
    let values: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    assert_ne!(values[0], values[1]);
    assert_eq!(values[2].as_str().map(str::len), Some(36));
    assert_eq!(values[3], NOW_MS);
    assert_eq!(values[4], "2023-11-14T22:13:20.000Z");
    let call = Call {
        command: "chance",
        internal: false,
        payload: b"null",
        context: CallContext { seed: 8, ..context("o-1") },
    };
    let other = bench.engine.command(KEY, &bench.state, &call).expect("applied");
    assert_ne!(first, text(other.reply));
}

#[test]
fn the_session_is_the_callers_claims() {
    let mut bench = Bench::new(ORDER);
    assert_eq!(text(bench.apply("whoami", "null").reply), r#"{"sub":null,"same":true}"#);
    let context = CallContext { claims: Some(br#"{"sub":"u7"}"#), ..context("o-1") };
    let call = Call { command: "whoami", internal: false, payload: b"null", context };
    let turn = bench.engine.command(KEY, &bench.state, &call).expect("applied");
    assert_eq!(text(turn.reply), r#"{"sub":"u7","same":true}"#);
    assert_eq!(text(bench.apply("whoami", "null").reply), r#"{"sub":null,"same":true}"#);
}

#[test]
fn internal_commands_are_not_for_clients() {
    let mut bench = Bench::new(ORDER);
    let call = Call { command: "expire", internal: false, payload: b"null", context: context("o-1") };
    assert_eq!(bench.engine.command(KEY, &bench.state, &call).expect_err("hidden"), CallError::Unknown);
    assert_eq!(bench.command("nobody", "null").expect_err("no such"), CallError::Unknown);
    assert_eq!(bench.command("toString", "null").expect_err("inherited"), CallError::Unknown);
    assert!(bench.command("expire", "null").is_ok());
}

#[test]
fn a_query_reads_and_cannot_emit() {
    let mut bench = Bench::new(ORDER);
    bench.apply("place", PLACE);
    let summary = bench.query("summary", r#"{"x":1}"#).expect("a result");
    assert_eq!(summary, r#"{"status":"placed","args":{"x":1},"now":1700000000000,"id":"o-1"}"#);
    assert_eq!(bench.query("volatile", "null").expect("a result"), "[true,true,true]");
    let rejected = CallError::Rejected { code: "Hidden".into(), message: "not for you".into() };
    assert_eq!(bench.query("refuses", "null"), Err(rejected));
    let Err(CallError::Script(error)) = bench.query("emits", "null") else { panic!("must fail") };
    assert!(error.message.contains("queries, which only read"), "{error}");
    assert_eq!(bench.query("place", "null"), Err(CallError::Unknown));
}

#[test]
fn replay_gives_what_live_folding_gave() {
    let mut bench = Bench::new(ORDER);
    let mut events = bench.apply("place", PLACE).events;
    events.extend(bench.apply("pay", "null").events);
    let live = bench.json();
    let past: Vec<PastEvent<'_>> =
        events.iter().map(|e| PastEvent { name: &e.name, payload: &e.payload, state_version: 1 }).collect();
    let fresh = bench.engine.initial(KEY).expect("initial");
    let replayed = bench.engine.fold(KEY, fresh, &past).expect("folds");
    assert_eq!(text(bench.engine.freeze(KEY, &replayed).expect("freezes")), live);
    let thawed = bench.engine.thaw(KEY, live.as_bytes(), 1).expect("thaws");
    assert_eq!(text(bench.engine.freeze(KEY, &thawed).expect("freezes")), live);
}

#[test]
fn a_state_may_outlive_its_engine() {
    let Bench { engine, state } = Bench::new(ORDER);
    drop(engine);
    drop(state);
}

#[test]
fn the_heap_is_known_roughly() {
    let mut bench = Bench::new(ORDER);
    let states: Vec<State> =
        (0..1_000).map(|_| bench.engine.thaw(KEY, PLACED.as_bytes(), 1).expect("thaws")).collect();
    bench.engine.collect_garbage();
    let full = bench.engine.heap_bytes();
    drop(states);
    let empty = bench.engine.heap_bytes();
    assert!(full - empty > 200_000 && full - empty < 2_500_000, "{full} - {empty}");
}
