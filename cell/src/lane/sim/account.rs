//! The behavior that simulations run: accounts that send each other money. Quick, and every answer
//! shows the balance, so a wrong state cannot hide.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::behavior::{
    BehaviorSource, Call, CallError, Engine, Interface, NewEvent, NewMessage, PastEvent, ScriptError,
    ScriptErrorKind, ScriptLimits, TimerChange, Turn, VersionKey,
};
use crate::ids::TypeId;

/// A credit of this amount throws at its target, always.
pub const CURSED_AMOUNT: i64 = 13;

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// It was opened, and not closed since.
    pub open: bool,
    /// What it holds.
    pub balance: i64,
    /// How many timers fired.
    pub ticks: i64,
}

/// What commands and events carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Args {
    /// Money.
    pub amount: i64,
    /// The other account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// A timer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When it is due, from now, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub after: u64,
    /// How many messages carry the amount, each all of it; 0 is 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub parts: u64,
    /// Nobody hears of a refusal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deaf: bool,
}

/// What a sender's `onRefused` command gets.
#[derive(Deserialize)]
pub struct RefusalArgs {
    /// The refused message's payload.
    pub payload: Args,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// JSON of anything small.
pub fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("plain data is JSON").into()
}

/// The source every lane of a simulation loads.
pub fn source() -> Arc<BehaviorSource> {
    Arc::new(BehaviorSource {
        key: VersionKey { type_id: TypeId(0), ordinal: 1 },
        type_name: "Account".into(),
        file: "account.rs".into(),
        source: "".into(),
        schema: None,
        limits: ScriptLimits { command_ms: 50, state_bytes: 1_000 },
        known_types: ["Account".into()].into(),
    })
}

/// Runs accounts.
#[derive(Debug, Default)]
pub struct AccountEngine;

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| (*name).into()).collect()
}

fn script_error(message: String) -> ScriptError {
    ScriptError { kind: ScriptErrorKind::Threw, file: "account.rs".into(), line: 1, message }
}

fn apply(state: &mut Account, event: &str, amount: i64) {
    match event {
        "Opened" => *state = Account { open: true, balance: amount, ticks: 0 },
        "Deposited" | "Credited" | "Refunded" => state.balance += amount,
        "Withdrawn" | "Sent" => state.balance -= amount,
        "Ticked" => state.ticks += amount,
        "Closed" => *state = Account::default(),
        other => panic!("no event {other}"),
    }
}

fn reject(code: &str, message: String) -> CallError {
    CallError::Rejected { code: code.into(), message }
}

impl Engine for AccountEngine {
    type State = Account;

    fn load(&mut self, _: &BehaviorSource) -> Result<Interface, ScriptError> {
        Ok(Interface {
            commands: names(&[
                "open", "deposit", "withdraw", "transfer", "note", "schedule", "cancel", "close", "boom",
            ]),
            internal: names(&["credit", "refund", "tick"]),
            events: names(&[
                "Opened",
                "Deposited",
                "Credited",
                "Refunded",
                "Withdrawn",
                "Sent",
                "Ticked",
                "Closed",
            ]),
            queries: names(&["balance"]),
            upcasts: Vec::new(),
            state_version: 1,
            migrates: false,
        })
    }

    fn unload(&mut self, _: VersionKey) {}

    fn initial(&mut self, _: VersionKey) -> Result<Account, ScriptError> {
        Ok(Account::default())
    }

    fn thaw(&mut self, _: VersionKey, state: &[u8], _: u32) -> Result<Account, ScriptError> {
        serde_json::from_slice(state).map_err(|error| script_error(error.to_string()))
    }

    fn freeze(&mut self, _: VersionKey, state: &Account) -> Result<Bytes, ScriptError> {
        Ok(json(state))
    }

    fn fold(
        &mut self,
        _: VersionKey,
        mut state: Account,
        events: &[PastEvent<'_>],
    ) -> Result<Account, ScriptError> {
        for event in events {
            let args: Args =
                serde_json::from_slice(event.payload).map_err(|error| script_error(error.to_string()))?;
            apply(&mut state, event.name, args.amount);
        }
        Ok(state)
    }

    fn command(
        &mut self,
        _: VersionKey,
        state: &Account,
        call: &Call<'_>,
    ) -> Result<Turn<Account>, CallError> {
        let internal = ["credit", "refund", "tick"].contains(&call.command);
        if internal && !call.internal {
            return Err(CallError::Unknown);
        }
        let bad = |error: serde_json::Error| CallError::BadPayload(error.to_string());
        let args = if call.command == "refund" {
            serde_json::from_slice::<RefusalArgs>(call.payload).map_err(bad)?.payload
        } else {
            serde_json::from_slice::<Args>(call.payload).map_err(bad)?
        };
        run(state, call.command, &args, call.context.now_ms)
    }

    fn query(&mut self, _: VersionKey, state: &Account, call: &Call<'_>) -> Result<Bytes, CallError> {
        match call.command {
            "balance" => Ok(json(&state.balance)),
            _ => Err(CallError::Unknown),
        }
    }

    fn collect_garbage(&mut self) {}

    fn heap_bytes(&self) -> usize {
        0
    }
}

fn run(state: &Account, command: &str, args: &Args, now_ms: u64) -> Result<Turn<Account>, CallError> {
    let mut turn = Turn {
        state: state.clone(),
        reply: Bytes::new(),
        events: Vec::new(),
        messages: Vec::new(),
        timers: Vec::new(),
        destroy: false,
    };
    let balance = state.balance;
    if !state.open && !["open", "note", "boom"].contains(&command) {
        return Err(reject("NotOpen", "the account is not open".into()));
    }
    let total = if command == "transfer" { args.amount * args.parts.max(1) as i64 } else { args.amount };
    if ["withdraw", "transfer"].contains(&command) && balance < total {
        return Err(reject("Insufficient", format!("the balance is {balance}")));
    }
    let mut emit = |name: &str, amount: i64| {
        apply(&mut turn.state, name, amount);
        let payload = json(&Args { amount, ..Args::default() });
        turn.events.push(NewEvent { name: name.into(), payload });
    };
    match command {
        "open" if state.open => return Err(reject("AlreadyOpen", format!("the balance is {balance}"))),
        "open" => emit("Opened", args.amount),
        "deposit" => emit("Deposited", args.amount),
        "withdraw" => emit("Withdrawn", args.amount),
        "transfer" => {
            for _ in 0..args.parts.max(1) {
                emit("Sent", args.amount);
            }
        }
        "close" => emit("Closed", balance),
        "credit" if args.amount == CURSED_AMOUNT => {
            return Err(CallError::Script(script_error("the amount is cursed".into())));
        }
        "credit" => emit("Credited", args.amount),
        "refund" => emit("Refunded", args.amount),
        "tick" => emit("Ticked", args.amount),
        "boom" => return Err(CallError::Script(script_error(format!("the balance is {balance}")))),
        _ => {}
    }
    match command {
        "transfer" => {
            let message = NewMessage {
                target_type: "Account".into(),
                target_id: args.to.as_str().into(),
                command: "credit".into(),
                payload: json(&Args { amount: args.amount, ..Args::default() }),
                on_refused: (!args.deaf).then(|| "refund".into()),
            };
            turn.messages = vec![message; args.parts.max(1) as usize];
        }
        "schedule" => turn.timers.push(TimerChange::Set {
            name: args.name.as_str().into(),
            command: "tick".into(),
            due_ms: now_ms + args.after,
            payload: json(&Args { amount: args.amount, ..Args::default() }),
        }),
        "cancel" => turn.timers.push(TimerChange::Cancel { name: args.name.as_str().into() }),
        "close" => turn.destroy = true,
        _ => {}
    }
    turn.reply = json(&turn.state.balance);
    Ok(turn)
}
