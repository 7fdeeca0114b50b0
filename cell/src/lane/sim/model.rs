//! Accounts as plain sequential code: what every history is compared with. Written apart from the
//! behavior, and without events, so that one does not repeat the other's mistakes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::account::{Account, Args, CURSED_AMOUNT};

/// What a command must do in a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// It applies.
    Applied(Effect),
    /// The behavior says no.
    Refused { code: String, message: String },
    /// The script throws.
    Threw(String),
}

/// What an applied command leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effect {
    /// Names and amounts.
    pub events: Vec<(String, i64)>,
    /// The reply.
    pub reply: Value,
    /// Targets and amounts.
    pub messages: Vec<(String, i64)>,
    /// Names, due times (0: cancelled) and amounts.
    pub timers: Vec<(String, u64, i64)>,
    /// The account is gone.
    pub destroyed: bool,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Offset of the record that set it.
    pub generation: u64,
    /// When it is due, in milliseconds since the epoch.
    pub due_ms: u64,
    /// What it carries.
    pub amount: i64,
}

/// One account and what the platform keeps for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelAccount {
    /// What the behavior sees.
    pub state: Account,
    /// Events so far.
    pub seq: u64,
    /// A client asking for it finds it.
    pub exists: bool,
    /// Timers by name.
    pub timers: BTreeMap<String, Pending>,
}

impl ModelAccount {
    /// What a command must do here.
    pub fn expect(&self, command: &str, args: &Args, now_ms: u64) -> Expected {
        let Account { open, balance, .. } = self.state;
        let refused = |code: &str, message: String| Expected::Refused { code: code.to_owned(), message };
        let insufficient = || refused("Insufficient", format!("the balance is {balance}"));
        let simple = |event: &str, after: i64| {
            Expected::Applied(Effect {
                events: vec![(event.to_owned(), args.amount)],
                reply: json!(after),
                ..Effect::default()
            })
        };
        match command {
            "open" if open => refused("AlreadyOpen", format!("the balance is {balance}")),
            "open" => simple("Opened", args.amount),
            "boom" => Expected::Threw(format!("the balance is {balance}")),
            "note" => Expected::Applied(Effect { reply: json!(balance), ..Effect::default() }),
            _ if !open => refused("NotOpen", "the account is not open".to_owned()),
            "deposit" => simple("Deposited", balance + args.amount),
            "withdraw" if balance < args.amount => insufficient(),
            "withdraw" => simple("Withdrawn", balance - args.amount),
            "transfer" => {
                let parts = usize::try_from(args.parts.max(1)).expect("few");
                let after = balance - args.amount * i64::try_from(parts).expect("few");
                if after < 0 {
                    return insufficient();
                }
                Expected::Applied(Effect {
                    events: vec![("Sent".to_owned(), args.amount); parts],
                    reply: json!(after),
                    messages: vec![(args.to.clone(), args.amount); parts],
                    ..Effect::default()
                })
            }
            "schedule" => Expected::Applied(Effect {
                reply: json!(balance),
                timers: vec![(args.name.clone(), now_ms + args.after, args.amount)],
                ..Effect::default()
            }),
            "cancel" => Expected::Applied(Effect {
                reply: json!(balance),
                timers: vec![(args.name.clone(), 0, 0)],
                ..Effect::default()
            }),
            "close" => Expected::Applied(Effect {
                events: vec![("Closed".to_owned(), balance)],
                reply: json!(0),
                destroyed: true,
                ..Effect::default()
            }),
            "credit" if args.amount == CURSED_AMOUNT => Expected::Threw("the amount is cursed".to_owned()),
            "credit" => simple("Credited", balance + args.amount),
            "refund" => simple("Refunded", balance + args.amount),
            "tick" => simple("Ticked", balance),
            other => panic!("no command {other}"),
        }
    }

    /// Does what `expect` said.
    pub fn apply(&mut self, offset: u64, effect: &Effect) {
        for (name, amount) in &effect.events {
            self.seq += 1;
            self.exists = true;
            match name.as_str() {
                "Opened" => self.state = Account { open: true, balance: *amount, ticks: 0 },
                "Withdrawn" | "Sent" => self.state.balance -= amount,
                "Ticked" => self.state.ticks += amount,
                "Closed" => {}
                _ => self.state.balance += amount,
            }
        }
        for (name, due_ms, amount) in &effect.timers {
            if *due_ms == 0 {
                self.timers.remove(name);
            } else {
                let timer = Pending { generation: offset, due_ms: *due_ms, amount: *amount };
                self.timers.insert(name.clone(), timer);
            }
        }
        if effect.destroyed {
            self.state = Account::default();
            self.exists = false;
            self.timers.clear();
        }
    }
}
