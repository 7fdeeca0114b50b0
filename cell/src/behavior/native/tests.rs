use super::*;
use crate::behavior::{CallContext, NewMessage, ScriptLimits, TimerChange};
use crate::ids::TypeId;

const KEY: VersionKey = VersionKey { type_id: TypeId(1), ordinal: 1 };

fn source(name: &str) -> BehaviorSource {
    BehaviorSource {
        key: KEY,
        type_name: "Account".into(),
        file: "account.js".into(),
        source: name.into(),
        schema: None,
        limits: ScriptLimits { command_ms: 50, state_bytes: 1_024 },
        known_types: Arc::from([Arc::from("Account")]),
    }
}

fn engine(name: &str) -> NativeEngine {
    let mut engine = NativeEngine::bank();
    engine.load(&source(name)).expect("loads");
    engine
}

fn call<'a>(command: &'a str, payload: &'a str, internal: bool) -> Call<'a> {
    let context = CallContext { id: "a1", now_ms: 1_000, seed: 1, claims: None };
    Call { command, internal, payload: payload.as_bytes(), context }
}

fn apply(engine: &mut NativeEngine, state: &NativeState, command: &str, payload: &str) -> Turn<NativeState> {
    engine.command(KEY, state, &call(command, payload, true)).expect(command)
}

fn fails(engine: &mut NativeEngine, state: &NativeState, command: &str, payload: &str) -> CallError {
    engine.command(KEY, state, &call(command, payload, true)).expect_err(command)
}

fn code(error: CallError) -> String {
    match error {
        CallError::Rejected { code, .. } => code,
        other => panic!("not a rejection: {other:?}"),
    }
}

#[test]
fn money_moves_by_events_and_messages() {
    let mut engine = engine("account");
    let mut state = engine.initial(KEY).expect("initial");
    assert_eq!(code(fails(&mut engine, &state, "deposit", r#"{"amount":1}"#)), "NotOpen");
    assert_eq!(code(fails(&mut engine, &state, "credit", r#"{"amount":1}"#)), "Closed");
    state = apply(&mut engine, &state, "open", "null").state;
    state = apply(&mut engine, &state, "deposit", r#"{"amount":10}"#).state;
    assert_eq!(code(fails(&mut engine, &state, "withdraw", r#"{"amount":11}"#)), "Insufficient");
    let turn = apply(&mut engine, &state, "transfer", r#"{"to":"a2","amount":4}"#);
    let credit = NewMessage {
        target_type: "Account".into(),
        target_id: "a2".into(),
        command: "credit".into(),
        payload: Bytes::from_static(br#"{"amount":4,"from":"a1"}"#),
        on_refused: Some("refund".into()),
    };
    assert_eq!(turn.messages, [credit]);
    state = turn.state;
    assert_eq!(*engine.freeze(KEY, &state).expect("freezes"), *br#"{"balance":6,"open":true}"#);
    for refused in [r#"{"amount":4}"#, r#"{"payload":{"amount":4},"code":"Closed"}"#] {
        let back = apply(&mut engine, &state, "refund", refused);
        assert_eq!(
            *engine.query(KEY, &back.state, &call("balance", "", false)).expect("a result"),
            *br#"{"balance":10}"#
        );
    }
}

#[test]
fn timers_destruction_and_failures() {
    let mut engine = engine("account");
    let initial = engine.initial(KEY).expect("initial");
    let state = apply(&mut engine, &initial, "open", "null").state;
    let turn = apply(&mut engine, &state, "schedule", r#"{"afterMs":50,"amount":2}"#);
    let payload = Bytes::from_static(br#"{"amount":2}"#);
    let set = TimerChange::Set { name: "accrue".into(), command: "accrue".into(), due_ms: 1_050, payload };
    assert_eq!(turn.timers, [set]);
    assert!(turn.events.is_empty() && Arc::ptr_eq(&turn.state, &state));
    assert_eq!(
        apply(&mut engine, &state, "cancelTimer", "null").timers,
        [TimerChange::Cancel { name: "accrue".into() }]
    );
    assert!(apply(&mut engine, &state, "close", "null").destroy);
    let CallError::Script(boom) = fails(&mut engine, &state, "boom", "null") else {
        panic!("a script error")
    };
    assert_eq!(
        (boom.kind, boom.message.as_str(), &*boom.file),
        (ScriptErrorKind::Threw, "boom", "account.js")
    );
    assert!(matches!(fails(&mut engine, &state, "deposit", "{}"), CallError::Script(_)));
    assert_eq!(fails(&mut engine, &state, "nobody", "null"), CallError::Unknown);
    let hidden = engine.command(KEY, &state, &call("credit", r#"{"amount":1}"#, false));
    assert_eq!(hidden.expect_err("internal"), CallError::Unknown);
}

#[test]
fn replay_gives_what_live_folding_gave() {
    let mut engine = engine("counter");
    let initial = engine.initial(KEY).expect("initial");
    let turn = apply(&mut engine, &initial, "many", r#"{"times":5}"#);
    let past: Vec<PastEvent<'_>> = turn
        .events
        .iter()
        .map(|e| PastEvent { name: &e.name, payload: &e.payload, state_version: 1 })
        .collect();
    assert_eq!(engine.fold(KEY, initial.clone(), &past).expect("folds"), turn.state);
    assert!(matches!(fails(&mut engine, &initial, "explode", "null"), CallError::Script(_)));
    let unknown = [PastEvent { name: "Gone", payload: b"{}", state_version: 1 }];
    assert!(engine.fold(KEY, initial.clone(), &unknown).is_err());
    assert!(matches!(fails(&mut engine, &initial, "many", r#"{"times":1001}"#), CallError::Script(_)));
}

#[test]
fn versions_migrate_and_unknown_ones_do_not_load() {
    let mut engine = engine("account-in-euros");
    let state = engine.thaw(KEY, br#"{"open":true,"balance":3}"#, 1).expect("migrates");
    assert_eq!(state["currency"], "EUR");
    assert!(engine.thaw(KEY, b"{}", 3).is_err());
    let error = engine.load(&source("syntax error")).expect_err("no such behavior");
    assert_eq!(error.kind, ScriptErrorKind::Load);
    assert!(self::engine("account").thaw(KEY, b"{}", 2).is_err());
}
