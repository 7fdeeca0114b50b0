//! What clients know of their commands, all answers put together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::client::{Answer, Applied, Command, Sent};

/// Commands and what is known of them, in the order first sent.
#[derive(Default)]
pub struct Ledger {
    commands: Vec<(Arc<Command>, Answer)>,
    by_id: HashMap<String, usize>,
}

impl Ledger {
    /// Takes in answers. Two answers *applied* to one id must be the same one.
    ///
    /// A copy that was refused or not applied says nothing of another copy; a copy in doubt does.
    pub fn take(&mut self, sent: Vec<Sent>) {
        for Sent { command, answer } in sent {
            let Some(&at) = self.by_id.get(&command.id) else {
                self.by_id.insert(command.id.clone(), self.commands.len());
                self.commands.push((command, answer));
                continue;
            };
            let (first, known) = &mut self.commands[at];
            assert_eq!(*first, command, "one id, one command");
            match (&*known, answer) {
                (Answer::Applied(before), Answer::Applied(now)) => {
                    assert_eq!(*before, now, "two answers to {}", command.id);
                }
                (Answer::Applied(_), _) => {}
                (_, applied @ Answer::Applied(_)) => *known = applied,
                (Answer::Unknown(_), _) => {}
                (_, now) => *known = now,
            }
        }
    }

    /// Takes in answers to commands that were sent again when no other copy could be under way: they
    /// are the truth. Those still not known are left as they are.
    pub fn resolve(&mut self, sent: Vec<Sent>) {
        for Sent { command, answer } in sent {
            let (_, known) = &mut self.commands[self.by_id[&command.id]];
            match (&*known, &answer) {
                (Answer::Applied(before), now) => {
                    assert_eq!(&Answer::Applied(before.clone()), now, "a repeated {}", command.id);
                }
                (_, Answer::Unknown(_)) => {}
                _ => *known = answer,
            }
        }
    }

    /// Commands whose outcome is not known, in the order sent.
    pub fn unknown(&self) -> Vec<Arc<Command>> {
        let unknown = |(_, answer): &&(_, Answer)| matches!(answer, Answer::Unknown(_));
        self.commands.iter().filter(unknown).map(|(command, _)| command.clone()).collect()
    }

    /// Commands that were applied, in the order sent.
    pub fn applied(&self) -> impl DoubleEndedIterator<Item = (&Arc<Command>, &Applied)> {
        self.commands.iter().filter_map(|(command, answer)| match answer {
            Answer::Applied(applied) => Some((command, applied)),
            _ => None,
        })
    }

    /// Commands that surely left nothing behind, with the code of their answer.
    pub fn left_nothing(&self) -> impl Iterator<Item = (&Arc<Command>, &str)> {
        self.commands.iter().filter_map(|(command, answer)| match answer {
            Answer::Refused(code) | Answer::NotApplied(code) => Some((command, &**code)),
            _ => None,
        })
    }

    /// How many commands had which answer.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, answer) in &self.commands {
            let word = match answer {
                Answer::Applied(_) => "applied".to_owned(),
                Answer::Refused(code) => format!("refused {code}"),
                Answer::NotApplied(code) => format!("notApplied {code}"),
                Answer::Unknown(code) => format!("unknown {code}"),
            };
            *counts.entry(word).or_default() += 1;
        }
        counts
    }
}

/// Commands of one stream to one actor run in the order sent: so their records are in that order.
pub fn check_stream_order(sent: &[Sent]) {
    let mut seen = HashMap::new();
    let mut last: HashMap<&str, (u64, &str)> = HashMap::new();
    for Sent { command, answer } in sent {
        let Answer::Applied(applied) = answer else { continue };
        // A copy has the place of the first.
        if seen.insert(&command.id, ()).is_some() {
            continue;
        }
        let now = (applied.position.1, &*command.id);
        let before = last.insert(&command.actor, now);
        assert!(before.is_none_or(|before| before.0 < now.0), "{before:?} was sent before {now:?}");
    }
}
