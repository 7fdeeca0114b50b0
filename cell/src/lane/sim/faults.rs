//! What goes wrong in a simulated history, and the rules that can be taken out of it on purpose.
//!
//! A rule is taken out around the lane where that is possible: its outputs are rewritten before they
//! are performed, or what was performed before it is handed back. Only what happens inside the lane is
//! a switch there ([`Sabotage`]).

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};

use crate::store::memory::{Fate, OpKind};

/// A rule of the design that a history does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rule {
    /// All hold.
    #[default]
    Kept,
    /// A commit whose result is not known is taken for one that failed.
    DoubtIsFailure,
    /// A doubtful commit is looked into by reading only.
    ResolveReadsOnly,
    /// A commit does not compare the heads it overwrites.
    HeadUnchecked,
    /// A commit compares neither owners nor heads.
    OwnerUnchecked,
    /// A cell claims without comparing its own session.
    ClaimUnchecked,
    /// Refusals and reads do not wait for the batch they rest on.
    RefusalEarly,
    /// Refusals and reads do not wait for proof of ownership.
    SessionUnchecked,
    /// Pages of history do not wait for proof of ownership.
    HistoryUnchecked,
    /// Replies do not wait for the commit.
    ReplyEarly,
    /// Outcomes of messages are not kept in the checkpoint.
    InboxForgotten,
    /// The low-water mark covers messages that have no logged acknowledgement.
    LowWaterTooHigh,
    /// A checkpoint overwrites whatever checkpoint is there.
    CheckpointUnchecked,
    /// A checkpoint takes rows that are not durable yet.
    CheckpointSpeculates,
    /// A message that comes again is run again.
    AnsweredAnew,
    /// A message leaves the outbox before a record carries its acknowledgement.
    AckDropped,
    /// All messages of a pair are on their way at once.
    PairUnordered,
    /// A timer fires whatever its generation.
    GenerationIgnored,
    /// A command id that was applied before runs again.
    IdForgotten,
    /// A load drops the snapshot that is newer than the store's.
    OverlayDropped,
}

/// What a lane itself leaves out, for a history that shows why it must not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sabotage {
    pub refusal_early: bool,
    pub reply_early: bool,
    pub checkpoint_speculates: bool,
    pub answered_anew: bool,
    pub ack_dropped: bool,
    pub pair_unordered: bool,
    pub generation_ignored: bool,
    pub id_forgotten: bool,
    pub overlay_dropped: bool,
}

impl Rule {
    /// The switches of the lane for this rule.
    pub fn sabotage(self) -> Sabotage {
        Sabotage {
            refusal_early: self == Self::RefusalEarly,
            reply_early: self == Self::ReplyEarly,
            checkpoint_speculates: self == Self::CheckpointSpeculates,
            answered_anew: self == Self::AnsweredAnew,
            ack_dropped: self == Self::AckDropped,
            pair_unordered: self == Self::PairUnordered,
            generation_ignored: self == Self::GenerationIgnored,
            id_forgotten: self == Self::IdForgotten,
            overlay_dropped: self == Self::OverlayDropped,
        }
    }
}

/// How unkind a history is; probabilities per thousand.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Steps before it is let come to rest.
    pub steps: u32,
    /// Lanes of a process.
    pub lanes: usize,
    /// Accounts that are used.
    pub accounts: usize,
    /// Commits that meet a fault.
    pub commit_fault: u32,
    /// Reads that meet a fault.
    pub read_fault: u32,
    /// Weight of crashes among steps.
    pub crash: u32,
    /// Weight of restarts that leave the old process alive.
    pub zombie: u32,
    /// Weight of releases of a bucket.
    pub release: u32,
    /// Packets that come twice.
    pub duplicate: u32,
    /// Packets that never come.
    pub lose: u32,
    /// Live states a lane keeps.
    pub hot_actors_max: usize,
    /// Bytes of memory a lane keeps to.
    pub memory_bytes_max: usize,
}

impl Profile {
    /// Half of all histories are moderate, a few calm, the rest rough.
    pub fn of(rng: &mut SmallRng) -> Self {
        let pick = |rng: &mut SmallRng, from: &[u32]| from[rng.random_range(0..from.len())];
        let calm = rng.random_ratio(1, 10);
        let some = |rng: &mut SmallRng, from: &[u32]| if calm { 0 } else { pick(rng, from) };
        Self {
            steps: 300,
            lanes: rng.random_range(1..=2),
            accounts: rng.random_range(2..=6),
            commit_fault: some(rng, &[0, 50, 150, 350]),
            read_fault: some(rng, &[0, 0, 20, 80]),
            crash: some(rng, &[0, 2, 5, 12]),
            zombie: some(rng, &[0, 2, 5, 10]),
            release: some(rng, &[0, 4, 15, 60]),
            duplicate: some(rng, &[0, 100, 300]),
            lose: some(rng, &[0, 20, 100]),
            hot_actors_max: if rng.random_ratio(1, 2) { 1 } else { 100 },
            memory_bytes_max: if rng.random_ratio(1, 2) { 1 } else { 1 << 20 },
        }
    }

    /// More of what makes a rule matter.
    pub fn suited_to(mut self, rule: Rule) -> Self {
        match rule {
            Rule::ClaimUnchecked => (self.zombie, self.crash, self.steps) = (25, 0, 400),
            Rule::SessionUnchecked | Rule::HistoryUnchecked => (self.zombie, self.crash) = (20, 0),
            Rule::ResolveReadsOnly => (self.commit_fault, self.crash, self.zombie) = (350, 0, 0),
            _ => {}
        }
        self
    }

    /// Nothing goes wrong.
    pub fn is_calm(&self) -> bool {
        self.commit_fault + self.read_fault + self.crash + self.zombie + self.release + self.lose == 0
    }

    /// What becomes of an operation of the store.
    pub fn fate(&self, rng: &mut SmallRng, kind: &OpKind) -> Fate {
        let roll = rng.random_range(0..1_000);
        match kind {
            OpKind::Commit(_) if roll < self.commit_fault => match rng.random_range(0..20) {
                0..=3 => Fate::UnknownApplied,
                4..=6 => Fate::UnknownNotApplied,
                7..=13 => Fate::UnknownLandsLater,
                14..=15 => Fate::Conflict,
                16..=18 => Fate::Unavailable,
                _ => Fate::TooLarge,
            },
            OpKind::Get(_) | OpKind::Range(_) if roll < self.read_fault => {
                if rng.next_u32().is_multiple_of(2) { Fate::TooOld } else { Fate::Unavailable }
            }
            OpKind::Snapshot if roll < self.read_fault => Fate::Unavailable,
            _ => Fate::Proceed,
        }
    }
}
