//! Internal turns: messages, timers and refusals.
//!
//! Every one ends in a record at its actor: applied, refused, or dead after the last try. A try that
//! fails records nothing and comes again.

use std::sync::Arc;

use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

use super::Lane;
use super::actor::ActorIx;
use super::input::{Delivery, DeliveryOutcome};
use super::turn::{actor_name, script_code};
use super::work::{Refusal, TimerFire, Work, WorkKind};
use crate::behavior::{CallError, Engine};
use crate::limits;
use crate::outcome::Failure;

/// What became of an internal turn that did not apply.
enum Internal {
    /// The behavior, or the lane on its behalf, said no: recorded.
    Refused { code: String, message: String },
    /// It failed; another try may succeed.
    Failed { code: &'static str, message: String },
}

/// What an internal turn is about.
struct InternalCall {
    command: Arc<str>,
    payload: bytes::Bytes,
    hops: u32,
    cause: Cause,
    acks: Vec<rec::Ack>,
}

impl<E: Engine> Lane<E> {
    pub(super) fn run_message(&mut self, ix: ActorIx, work: Work, delivery: &Delivery) {
        let source = (delivery.source_bucket.0, delivery.offset, delivery.n);
        let bucket = self.actors[ix].bucket;
        let Some(owned) = self.buckets.get(&bucket) else { return };
        let known = owned.derived.outcome(source.0, source.1, source.2);
        #[cfg(test)]
        let known = known.filter(|_| !self.sabotage.answered_anew);
        if let Some(known) = known {
            let outcome = super::message::outcome_of(known);
            return self.answer(delivery, outcome);
        }
        if owned.speculative_inbox.contains(&source) {
            return;
        }
        let call = message_call(delivery);
        let dead_letter = delivery.message.on_refused.is_empty();
        match self.run_internal(ix, &work, &call) {
            Ok(()) => {}
            Err(Internal::Refused { code, message }) => {
                self.append_refused(ix, work, call, rec::Refused { code, message, dead_letter });
            }
            Err(Internal::Failed { code, message }) if delivery.last => {
                self.append_dead(ix, work, call, code, message, delivery.attempt + 1);
            }
            Err(Internal::Failed { .. }) => self.answer(delivery, DeliveryOutcome::Failed),
        }
    }

    pub(super) fn run_timer(&mut self, ix: ActorIx, work: Work, fire: &TimerFire) {
        let Some(call) = self.timer_call(ix, fire) else { return };
        match self.run_internal(ix, &work, &call) {
            Ok(()) => {}
            Err(Internal::Refused { code, message }) => {
                self.append_refused(ix, work, call, rec::Refused { code, message, dead_letter: true });
            }
            Err(Internal::Failed { code, message }) => {
                self.retry_or_bury(ix, work, call, code, message, fire.attempts);
            }
        }
    }

    pub(super) fn run_refusal(&mut self, ix: ActorIx, work: Work, refusal: &Refusal) {
        let bucket = self.actors[ix].bucket;
        let open = self
            .buckets
            .get(&bucket)
            .is_some_and(|b| b.derived.outbox.contains_key(&(refusal.offset, refusal.n)));
        if !open {
            return;
        }
        let call = refusal_call(refusal);
        match self.run_internal(ix, &work, &call) {
            Ok(()) => {}
            Err(Internal::Refused { code, message }) => {
                self.append_refused(ix, work, call, rec::Refused { code, message, dead_letter: true });
            }
            Err(Internal::Failed { code, message }) => {
                self.retry_or_bury(ix, work, call, code, message, refusal.attempts);
            }
        }
    }

    fn retry_or_bury(
        &mut self,
        ix: ActorIx,
        work: Work,
        call: InternalCall,
        code: &'static str,
        message: String,
        attempts: u32,
    ) {
        if attempts + 1 >= self.config.deliveries.attempts_max {
            self.append_dead(ix, work, call, code, message, attempts + 1);
        } else {
            self.retry_later(ix, work, attempts);
        }
    }

    /// Runs an internal command; on success its record has joined the batch.
    fn run_internal(&mut self, ix: ActorIx, work: &Work, call: &InternalCall) -> Result<(), Internal> {
        if call.hops > limits::MESSAGE_HOPS_MAX {
            return Err(Internal::Refused {
                code: "TooManyHops".into(),
                message: format!("more than {} messages caused one another", limits::MESSAGE_HOPS_MAX),
            });
        }
        if self.check_room_to_tell(ix).is_err() {
            return Err(Internal::Failed { code: "Overloaded", message: "the outbox is full".into() });
        }
        let (turn, now_ms) =
            self.call(ix, &call.command, true, &call.payload, None).map_err(|error| match error {
                CallError::Rejected { code, message } => Internal::Refused { code, message },
                CallError::Unknown => Internal::Refused {
                    code: "UnknownCommand".into(),
                    message: format!("the behavior has no command {}", call.command),
                },
                CallError::BadPayload(message) => Internal::Refused { code: "BadPayload".into(), message },
                CallError::Script(error) => {
                    Internal::Failed { code: script_code(&error), message: error.to_string() }
                }
            })?;
        let mut record = self
            .record_of(ix, &call.command, call.cause.clone(), &turn, now_ms, call.hops)
            .map_err(|failure| Internal::Refused { code: failure.code, message: failure.message })?;
        record.acks.clone_from(&call.acks);
        self.append(ix, work.clone(), record, None, Some(turn.state));
        Ok(())
    }

    /// The call of a timer that is still set as it was when it came due.
    fn timer_call(&self, ix: ActorIx, fire: &TimerFire) -> Option<InternalCall> {
        let timer = self.actors[ix].view().and_then(|row| row.timer(&fire.name));
        let current = |timer: &&rec::Timer| timer.generation == fire.generation;
        #[cfg(test)]
        let current = |timer: &&rec::Timer| current(timer) || self.sabotage.generation_ignored;
        let timer = timer.filter(current)?.clone();
        Some(InternalCall {
            command: timer.command.as_str().into(),
            payload: timer.payload,
            hops: 0,
            cause: Cause::Timer(rec::TimerCause {
                name: timer.name,
                generation: timer.generation,
                payload: bytes::Bytes::new(),
            }),
            acks: Vec::new(),
        })
    }

    /// Records internal work as dead whose own record no batch can hold.
    pub(super) fn bury(&mut self, ix: ActorIx, work: Work, failure: &Failure) {
        let (call, attempts) = match &work.kind {
            WorkKind::Message(delivery) => (Some(message_call(delivery)), delivery.attempt),
            WorkKind::Timer(fire) => (self.timer_call(ix, fire), fire.attempts),
            WorkKind::Refusal(refusal) => (Some(refusal_call(refusal)), refusal.attempts),
            WorkKind::Command(_) | WorkKind::Read(_) => return self.work_failed((ix, work), failure),
        };
        if let Some(call) = call {
            self.append_dead(ix, work, call, &failure.code, failure.message.clone(), attempts + 1);
        }
    }

    fn append_refused(&mut self, ix: ActorIx, work: Work, call: InternalCall, refused: rec::Refused) {
        let mut record = self.outcome_record(ix, call, refused.dead_letter);
        record.refused = Some(refused);
        self.append(ix, work, record, None, None);
    }

    fn append_dead(
        &mut self,
        ix: ActorIx,
        work: Work,
        call: InternalCall,
        code: &str,
        message: String,
        attempts: u32,
    ) {
        let mut record = self.outcome_record(ix, call, true);
        record.dead = Some(rec::Dead { code: code.to_owned(), message, attempts });
        self.append(ix, work, record, None, None);
    }

    fn outcome_record(&self, ix: ActorIx, call: InternalCall, keep_payload: bool) -> rec::Record {
        let actor = &self.actors[ix];
        let kind = self.type_state(actor.key.type_id);
        let mut cause = call.cause;
        if keep_payload {
            match &mut cause {
                Cause::Message(message) => message.payload = call.payload,
                Cause::Timer(timer) => timer.payload = call.payload,
                Cause::Refusal(refusal) => refusal.payload = call.payload,
                Cause::Client(_) | Cause::Replay(_) => {}
            }
        }
        rec::Record {
            actor: Some(actor_name(&actor.key)),
            seq: actor.view().map_or(0, |row| row.seq),
            behavior: kind.source.key.ordinal,
            state_version: kind.interface.state_version,
            time_ms: self.time_in(actor.bucket),
            command: call.command.to_string(),
            cause: Some(cause),
            acks: call.acks,
            ..rec::Record::default()
        }
    }
}

fn message_call(delivery: &Delivery) -> InternalCall {
    let message = &delivery.message;
    let cause = rec::MessageCause {
        bucket: delivery.source_bucket.0,
        offset: delivery.offset,
        n: delivery.n,
        source: Some(delivery.source.clone()),
        hops: message.hops,
        payload: bytes::Bytes::new(),
    };
    InternalCall {
        command: message.command.as_str().into(),
        payload: message.payload.clone(),
        hops: message.hops,
        cause: Cause::Message(cause),
        acks: Vec::new(),
    }
}

fn refusal_call(refusal: &Refusal) -> InternalCall {
    InternalCall {
        command: refusal.command.clone(),
        payload: refusal.payload.clone(),
        hops: refusal.hops,
        cause: Cause::Refusal(rec::RefusalCause {
            offset: refusal.offset,
            n: refusal.n,
            hops: refusal.hops,
            payload: bytes::Bytes::new(),
        }),
        acks: vec![rec::Ack { offset: refusal.offset, n: refusal.n }],
    }
}
