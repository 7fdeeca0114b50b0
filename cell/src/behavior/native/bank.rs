//! Behaviors for simulations: accounts, whose money can be counted, and a counter.
//!
//! `account` starts closed with nothing. Clients `open`, `deposit`, `withdraw` and `transfer` it; a
//! transfer takes the money at once and tells the other account to `credit` it, which a closed account
//! refuses, so that the sender gets it back by `refund`. `schedule` sets the timer `accrue`. `close` destroys.
//! `boom` fails as a script does; `noop` does nothing.

use serde_json::{Value, json};

use super::{Behavior, Fold, Handler, NativeCtx, Stop};

type Answer = Result<Value, Stop>;

/// The account.
#[must_use]
pub fn account() -> Behavior {
    let commands: [(&str, Handler); 9] = [
        ("open", open),
        ("deposit", deposit),
        ("withdraw", withdraw),
        ("transfer", transfer),
        ("schedule", schedule),
        ("cancelTimer", |_, _, ctx| ctx.cancel("accrue").map(|()| Value::Null)),
        ("close", close),
        ("boom", |_, _, _| Err(Stop::throw("boom"))),
        ("noop", |_, _, _| Ok(Value::Null)),
    ];
    let internal: [(&str, Handler); 3] = [
        ("credit", |state, payload, ctx| add(state, payload, ctx, "Credited", "Closed")),
        ("accrue", |state, payload, ctx| add(state, payload, ctx, "Accrued", "Closed")),
        ("refund", refund),
    ];
    let events: [(&str, Fold); 8] = [
        ("Opened", |state, _| with(state, "open", json!(true))),
        ("Closed", |state, _| with(state, "open", json!(false))),
        ("Deposited", |state, event| moved(state, event, 1)),
        ("Withdrawn", |state, event| moved(state, event, -1)),
        ("Credited", |state, event| moved(state, event, 1)),
        ("Refunded", |state, event| moved(state, event, 1)),
        ("Accrued", |state, event| moved(state, event, 1)),
        ("Noted", |state, event| with(state, "note", event["note"].clone())),
    ];
    let balance: Handler = |state, _, _| Ok(json!({ "balance": state["balance"] }));
    Behavior {
        commands: commands.into(),
        internal: internal.into(),
        events: events.into(),
        queries: [("balance", balance)].into(),
        ..Behavior::new(json!({ "open": false, "balance": 0 }))
    }
}

/// A later version of the account: `stateVersion` 2, whose states name their currency.
#[must_use]
pub fn account_in_euros() -> Behavior {
    Behavior {
        initial: json!({ "open": false, "balance": 0, "currency": "EUR" }),
        state_version: 2,
        migrate: Some(|state, _| with(&state, "currency", json!("EUR"))),
        ..account()
    }
}

/// A counter: `add {by}`, `many {times}` with one event each, and `explode`, which fails after an event.
#[must_use]
pub fn counter() -> Behavior {
    let commands: [(&str, Handler); 3] = [
        ("add", |_, payload, ctx| {
            ctx.emit("Added", json!({ "by": amount_of(payload, "by")? }))?;
            Ok(ctx.state.clone().into_owned())
        }),
        ("many", |_, payload, ctx| {
            for _ in 0..amount_of(payload, "times")? {
                ctx.emit("Added", json!({ "by": 1 }))?;
            }
            Ok(ctx.state.clone().into_owned())
        }),
        ("explode", |_, _, ctx| {
            ctx.emit("Added", json!({ "by": 1 }))?;
            Err(Stop::throw("exploded"))
        }),
    ];
    let added: Fold = |state, event| with(state, "n", json!(number(&state["n"]) + number(&event["by"])));
    let value: Handler = |state, _, _| Ok(state["n"].clone());
    Behavior {
        commands: commands.into(),
        events: [("Added", added)].into(),
        queries: [("value", value)].into(),
        ..Behavior::new(json!({ "n": 0 }))
    }
}

fn open(state: &Value, _: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    if is_open(state) {
        return Err(Stop::reject("AlreadyOpen", "the account is open"));
    }
    ctx.emit("Opened", json!({}))?;
    balance(ctx)
}

fn deposit(state: &Value, payload: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    add(state, payload, ctx, "Deposited", "NotOpen")
}

fn withdraw(state: &Value, payload: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    let amount = covered(state, payload)?;
    ctx.emit("Withdrawn", json!({ "amount": amount }))?;
    balance(ctx)
}

fn transfer(state: &Value, payload: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    let amount = covered(state, payload)?;
    let to = payload["to"].as_str().ok_or_else(|| Stop::throw("to is not an account id"))?;
    ctx.emit("Withdrawn", json!({ "amount": amount, "to": to }))?;
    let message = json!({ "amount": amount, "from": ctx.id });
    ctx.tell(&format!("Account/{to}"), "credit", &message, Some("refund"))?;
    balance(ctx)
}

fn schedule(_: &Value, payload: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    let after_ms =
        u64::try_from(amount_of(payload, "afterMs")?).map_err(|_| Stop::throw("afterMs is negative"))?;
    let due_ms = ctx.now_ms + after_ms;
    ctx.schedule("accrue", "accrue", due_ms, &json!({ "amount": amount_of(payload, "amount")? }))?;
    Ok(json!({ "dueMs": due_ms }))
}

fn close(state: &Value, _: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    if !is_open(state) {
        return Err(Stop::reject("NotOpen", "the account is not open"));
    }
    ctx.emit("Closed", json!({}))?;
    ctx.destroy()?;
    Ok(json!({ "paidOut": state["balance"] }))
}

/// The money of a refused transfer; the amount stands in the refused message, or at the top.
fn refund(_: &Value, payload: &Value, ctx: &mut NativeCtx<'_>) -> Answer {
    let refused = payload.get("payload").filter(|inner| inner.get("amount").is_some()).unwrap_or(payload);
    ctx.emit("Refunded", json!({ "amount": amount_of(refused, "amount")? }))?;
    balance(ctx)
}

fn add(state: &Value, payload: &Value, ctx: &mut NativeCtx<'_>, event: &str, closed: &str) -> Answer {
    if !is_open(state) {
        return Err(Stop::reject(closed, "the account is not open"));
    }
    ctx.emit(event, json!({ "amount": amount_of(payload, "amount")? }))?;
    balance(ctx)
}

fn balance(ctx: &NativeCtx<'_>) -> Answer {
    Ok(json!({ "balance": ctx.state["balance"] }))
}

/// The amount, if the account is open and holds it.
fn covered(state: &Value, payload: &Value) -> Result<i64, Stop> {
    if !is_open(state) {
        return Err(Stop::reject("NotOpen", "the account is not open"));
    }
    let amount = amount_of(payload, "amount")?;
    if number(&state["balance"]) < amount {
        return Err(Stop::reject("Insufficient", "the account does not hold that much"));
    }
    Ok(amount)
}

fn amount_of(payload: &Value, field: &str) -> Result<i64, Stop> {
    let amount = payload[field].as_i64().filter(|amount| *amount >= 0);
    amount.ok_or_else(|| Stop::throw(format!("{field} is not a whole number from 0")))
}

fn is_open(state: &Value) -> bool {
    state["open"] == true
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn moved(state: &Value, event: &Value, sign: i64) -> Value {
    with(state, "balance", json!(number(&state["balance"]) + sign * number(&event["amount"])))
}

/// A copy of an object with one field set.
fn with(state: &Value, field: &str, value: Value) -> Value {
    let mut next = state.clone();
    next[field] = value;
    next
}
