//! Answers that left no record: they wait for the batch they rest on, and for proof that the cell
//! still owned its buckets after the turn.
//!
//! The proof is one read of the session row, asked for at the end of the burst in which the turns
//! ran: buckets leave a cell only by its own release or after its session was given up.

use super::actor::ActorIx;
use super::work::Work;
use super::{Lane, Output, Reply};
use crate::behavior::Engine;
use crate::ids::Bucket;
use crate::limits;
use crate::outcome::{Class, Failure};
use crate::store::StoreError;

/// An answer that may not be given yet.
pub(crate) struct Held {
    pub actor: ActorIx,
    pub bucket: Bucket,
    /// Run again if the batch fails.
    pub work: Work,
    /// The answer; `None`: run the work again then, because it repeats a record that is not durable.
    pub reply: Option<Reply>,
    /// The batch it rests on; 0: none.
    pub batch: u64,
    /// The check that proves ownership; 0: none is needed.
    pub check: u64,
}

impl<E: Engine> Lane<E> {
    /// Gives an answer once it may be given.
    pub(super) fn hold(&mut self, ix: ActorIx, work: Work, reply: Reply, fenced: bool) {
        let actor = &self.actors[ix];
        let batch = actor.speculative().map_or(0, |s| s.batch);
        #[cfg(test)]
        let batch = if self.sabotage.refusal_early { 0 } else { batch };
        let check = if fenced { self.next_check } else { 0 };
        let held = Held { actor: ix, bucket: actor.bucket, work, reply: Some(reply), batch, check };
        if held.batch == 0 && held.check == 0 {
            self.give(held);
        } else {
            self.held.push(held);
        }
    }

    /// Runs work again once everything its actor recorded so far is durable.
    pub(super) fn hold_for_repeat(&mut self, ix: ActorIx, work: Work) {
        let actor = &self.actors[ix];
        let batch = actor.speculative().map_or(0, |s| s.batch);
        self.held.push(Held { actor: ix, bucket: actor.bucket, work, reply: None, batch, check: 0 });
    }

    fn give(&mut self, held: Held) {
        match (held.reply, held.work.token()) {
            (Some(reply), Some(token)) => {
                self.reply(token, reply);
                self.forget_if_blank(held.actor);
            }
            (Some(_), None) => {}
            (None, _) => self.requeue((held.actor, held.work)),
        }
    }

    /// Asks for the check that answers of this burst wait for.
    pub(super) fn ask_for_check(&mut self) {
        if self.held.iter().any(|held| held.check == self.next_check) {
            self.out.push(Output::CheckSession { check: self.next_check });
            self.next_check += 1;
        }
    }

    pub(super) fn session_checked(&mut self, check: u64, result: Result<bool, StoreError>) {
        match result {
            Ok(true) => self.release_where(|held| {
                if held.check <= check {
                    held.check = 0;
                }
            }),
            Ok(false) => {
                let buckets: Vec<Bucket> = self.buckets.keys().copied().collect();
                for bucket in buckets {
                    if !self.in_flight(bucket) {
                        self.drop_bucket(bucket, false);
                    }
                }
                self.fail_held(check, &super::moved(Bucket(0)));
            }
            Err(error) => {
                let failure = Failure::retryable(
                    Class::Unavailable,
                    "StoreUnavailable",
                    format!("the cell could not prove that it owns the actor: {error}"),
                    limits::STORE_RETRY_MS,
                );
                self.fail_held(check, &failure);
            }
        }
    }

    /// The batch is durable: what rested on it no longer waits for it.
    pub(super) fn release_held(&mut self, batch: u64) {
        self.release_where(|held| {
            if held.batch <= batch {
                held.batch = 0;
            }
        });
    }

    fn release_where(&mut self, mut change: impl FnMut(&mut Held)) {
        if self.held.is_empty() {
            return;
        }
        let mut waiting = Vec::with_capacity(self.held.len());
        for mut held in std::mem::take(&mut self.held) {
            change(&mut held);
            if held.batch == 0 && held.check == 0 {
                self.give(held);
            } else {
                waiting.push(held);
            }
        }
        self.held = waiting;
    }

    fn fail_held(&mut self, check: u64, failure: &Failure) {
        let (failed, waiting) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held: &Held| held.check != 0 && held.check <= check);
        self.held = waiting;
        let actors: Vec<_> = failed.iter().map(|held| held.actor).collect();
        for held in failed {
            self.work_failed((held.actor, held.work), failure);
        }
        self.forget_blanks(actors);
    }

    /// Takes back the answers that rest on records which were undone.
    pub(super) fn take_held_on_speculation(&mut self, works: &mut Vec<(ActorIx, Work)>) {
        let (undone, waiting) =
            std::mem::take(&mut self.held).into_iter().partition(|held: &Held| held.batch != 0);
        self.held = waiting;
        works.extend(undone.into_iter().map(|held| (held.actor, held.work)));
    }

    /// Takes out the answers of a bucket's actors.
    pub(super) fn take_held_of(&mut self, bucket: Bucket) -> Vec<Held> {
        let (gone, waiting) =
            std::mem::take(&mut self.held).into_iter().partition(|held: &Held| held.bucket == bucket);
        self.held = waiting;
        gone
    }
}
