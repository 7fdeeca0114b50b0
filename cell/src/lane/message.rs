//! Messages between actors: sent from the outbox, taken once by their target, acknowledged.
//!
//! - Order: of the messages from one actor to another only the oldest is on its way. The next is sent
//!   when the outcome of the one before is known, so they are taken in the order told; a message in
//!   backoff holds back its own pair only.
//! - Exactly once: the target's record is the outcome; the inbox remembers it until the source has
//!   logged that it knows, and has said so by its low-water mark.
//! - An acknowledgement is truth once a record carries it; until then the message would be sent
//!   again after a crash, and answered from the inbox.

use std::sync::Arc;

use corallite_proto::store as rec;

use super::actor::ActorIx;
use super::alarm::Alarm;
use super::input::{Delivery, DeliveryAnswer, DeliveryOutcome, LowWaterNotice};
use super::turn::actor_key;
use super::work::{Refusal, Work, WorkKind};
use super::{Lane, Output};
use crate::behavior::Engine;
use crate::ids::Bucket;
use crate::limits;
use crate::router::BucketSpace;

/// The bucket a message goes to.
pub(crate) fn target_bucket(space: BucketSpace, message: &rec::MessageEntry) -> Bucket {
    space.bucket_of(message.target.as_ref().map_or("", |target| &target.id))
}

/// Names the pair of actors of a message.
pub(crate) fn pair_hash(source: &rec::ActorName, message: &rec::MessageEntry) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for name in [Some(source), message.target.as_ref()].into_iter().flatten() {
        hasher.update(&name.r#type.to_be_bytes());
        hasher.update(name.id.as_bytes());
        hasher.update(&[0]);
    }
    hasher.digest128()
}

/// What a source is told of a known outcome; `None` was settled long ago.
pub(crate) fn outcome_of(known: Option<&rec::InboxEntry>) -> DeliveryOutcome {
    match known.and_then(|entry| entry.outcome.as_ref()) {
        Some(rec::inbox_entry::Outcome::Refused(refused)) if !refused.dead_letter => {
            DeliveryOutcome::Refused { code: refused.code.clone(), message: refused.message.clone() }
        }
        _ => DeliveryOutcome::Settled,
    }
}

impl<E: Engine> Lane<E> {
    pub(super) fn take_delivery(&mut self, delivery: Delivery) {
        let source = delivery.source_bucket;
        let bucket = delivery.target_bucket;
        if self.check_serving(bucket).is_err() {
            return self.answer(&delivery, DeliveryOutcome::Failed);
        }
        self.note_low_water(bucket, source, delivery.low_water);
        let Some(key) = delivery.message.target.as_ref().map(actor_key) else { return };
        if key.type_id.0 as usize >= self.types.len() {
            return self.answer(&delivery, DeliveryOutcome::Failed);
        }
        let work = self.new_work(WorkKind::Message(Arc::new(delivery)));
        self.enqueue(key, bucket, work);
    }

    pub(super) fn take_low_water(&mut self, notice: LowWaterNotice) {
        self.note_low_water(notice.target_bucket, notice.source_bucket, notice.below);
    }

    /// Remembers to log a low-water mark, if there is something to forget below it.
    fn note_low_water(&mut self, bucket: Bucket, source: Bucket, below: u64) {
        let now_ms = self.now_ms;
        let Some(owned) = self.bucket_of(bucket) else { return };
        let outcomes = owned.derived.inbox.get(&source.0);
        if outcomes.and_then(|o| o.first_key_value()).is_none_or(|((offset, _), _)| *offset >= below) {
            return;
        }
        let mark = owned.low_waters.entry(source.0).or_default();
        *mark = (*mark).max(below);
        if owned.unlogged_since_ms == 0 {
            owned.unlogged_since_ms = now_ms.max(1);
        }
    }

    pub(super) fn answer(&mut self, delivery: &Delivery, outcome: DeliveryOutcome) {
        self.out.push(Output::Answer(DeliveryAnswer {
            source_bucket: delivery.source_bucket,
            offset: delivery.offset,
            n: delivery.n,
            outcome,
        }));
    }

    /// Sends a message if it is the oldest of its pair.
    pub(super) fn send_if_first(&mut self, bucket: Bucket, id: (u64, u32)) {
        let Some(owned) = self.buckets.get(&bucket) else { return };
        let Some(outgoing) = owned.derived.outbox.get(&id) else { return };
        let first = owned.derived.pairs.get(&outgoing.pair).and_then(|queue| queue.front());
        let first = first == Some(&id);
        #[cfg(test)]
        let first = first || self.sabotage.pair_unordered;
        if first && !outgoing.answered {
            self.send(bucket, id);
        }
    }

    /// Sends a message, and sends it again if no answer comes.
    pub(super) fn send(&mut self, bucket: Bucket, (offset, n): (u64, u32)) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let durable_next = owned.durable_next;
        let derived = &mut owned.derived;
        let Some(outgoing) = derived.outbox.get(&(offset, n)).filter(|o| !o.answered) else { return };
        let target_bucket = outgoing.target_bucket;
        let delivery = Delivery {
            source_bucket: bucket,
            offset,
            n,
            target_bucket,
            message: outgoing.message.clone(),
            source: outgoing.source.clone(),
            last: outgoing.attempts + 1 >= self.config.deliveries.attempts_max,
            attempt: outgoing.attempts,
            low_water: derived.low_water(target_bucket, durable_next),
        };
        derived.told_low_water.insert(target_bucket.0, delivery.low_water);
        let attempt = delivery.attempt;
        self.out.push(Output::Deliver(delivery));
        self.set_alarm(limits::DELIVERY_RESEND_MS, Alarm::Send { bucket, offset, n, attempt });
    }

    pub(super) fn take_answer(&mut self, answer: DeliveryAnswer) {
        let id = (answer.offset, answer.n);
        let bucket = answer.source_bucket;
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let Some(outgoing) = owned.derived.outbox.get_mut(&id).filter(|o| !o.answered) else { return };
        match answer.outcome {
            DeliveryOutcome::Failed => {
                outgoing.attempts += 1;
                let attempt = outgoing.attempts;
                let pause = self.config.deliveries.backoff_ms(attempt);
                self.set_alarm(pause, Alarm::Send { bucket, offset: id.0, n: id.1, attempt });
            }
            DeliveryOutcome::Refused { code, message } if !outgoing.message.on_refused.is_empty() => {
                outgoing.answered = true;
                let told = outgoing.message.clone();
                let source = actor_key(&outgoing.source);
                let refusal = Refusal {
                    offset: id.0,
                    n: id.1,
                    command: told.on_refused.as_str().into(),
                    payload: self.refusal_payload(&told, &code, &message),
                    hops: told.hops + 1,
                    attempts: 0,
                };
                let work = self.new_work(WorkKind::Refusal(Arc::new(refusal)));
                self.enqueue(source, bucket, work);
                self.next_of_pair(bucket, id);
            }
            DeliveryOutcome::Settled | DeliveryOutcome::Refused { .. } => {
                outgoing.answered = true;
                #[cfg(test)]
                if self.sabotage.ack_dropped {
                    return self.drop_unlogged(bucket, id);
                }
                owned.acks.push(rec::Ack { offset: id.0, n: id.1 });
                if owned.unlogged_since_ms == 0 {
                    owned.unlogged_since_ms = self.now_ms.max(1);
                }
                self.next_of_pair(bucket, id);
            }
        }
    }

    /// The outcome of a message is known: the next of its pair may go.
    pub(super) fn next_of_pair(&mut self, bucket: Bucket, id: (u64, u32)) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let Some(pair) = owned.derived.outbox.get(&id).map(|outgoing| outgoing.pair) else { return };
        let Some(queue) = owned.derived.pairs.get_mut(&pair) else { return };
        queue.retain(|waiting| *waiting != id);
        let next = queue.front().copied();
        if queue.is_empty() {
            owned.derived.pairs.remove(&pair);
        }
        if let Some(next) = next {
            self.send(bucket, next);
        }
    }

    fn refusal_payload(&self, told: &Arc<rec::MessageEntry>, code: &str, message: &str) -> bytes::Bytes {
        let target = told.target.clone().unwrap_or_default();
        let type_name = self.types.get(target.r#type as usize).map_or("", |kind| &kind.source.type_name);
        let payload =
            serde_json::value::RawValue::from_string(String::from_utf8_lossy(&told.payload).into_owned());
        let refusal = RefusalPayload {
            target: format!("{type_name}/{}", target.id),
            command: &told.command,
            payload: payload.ok(),
            code,
            message,
        };
        serde_json::to_vec(&refusal).unwrap_or_default().into()
    }

    /// Runs internal work again after a pause.
    pub(super) fn retry_later(&mut self, ix: ActorIx, mut work: Work, attempts: u32) {
        match &mut work.kind {
            WorkKind::Timer(fire) => Arc::make_mut(fire).attempts = attempts + 1,
            WorkKind::Refusal(refusal) => Arc::make_mut(refusal).attempts = attempts + 1,
            WorkKind::Command(_) | WorkKind::Read(_) | WorkKind::Message(_) => return,
        }
        let actor = &self.actors[ix];
        let alarm = Alarm::Retry { key: actor.key.clone(), bucket: actor.bucket, work: Box::new(work) };
        self.set_alarm(self.config.deliveries.backoff_ms(attempts + 1), alarm);
    }

    /// Tells targets of low-water marks that no message has carried.
    pub(super) fn tell_low_waters(&mut self, bucket: Bucket) {
        let Some(owned) = self.buckets.get_mut(&bucket) else { return };
        let durable_next = owned.durable_next;
        let derived = &mut owned.derived;
        let targets: Vec<u32> = derived.by_target.keys().copied().collect();
        for target in targets {
            let below = derived.low_water(Bucket(target), durable_next);
            let told = derived.told_low_water.entry(target).or_default();
            let settled = derived.by_target.get(&target).is_none_or(std::collections::BTreeSet::is_empty);
            if below > *told {
                *told = below;
                self.out.push(Output::LowWater(LowWaterNotice {
                    source_bucket: bucket,
                    target_bucket: Bucket(target),
                    below,
                }));
            }
            if settled {
                derived.by_target.remove(&target);
                derived.told_low_water.remove(&target);
            }
        }
    }
}

/// What a sender's `onRefused` command is given.
#[derive(serde::Serialize)]
struct RefusalPayload<'a> {
    target: String,
    command: &'a str,
    payload: Option<Box<serde_json::value::RawValue>>,
    code: &'a str,
    message: &'a str,
}
