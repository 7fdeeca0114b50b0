//! Rules taken out from outside the lane: its transactions lose checks, its operations are performed
//! as somebody careless would.

use corallite_proto::store as rec;

use super::faults::Rule;
use crate::behavior::Engine;
use crate::lane::input::Resolution;
use crate::lane::io::{Performed, StoreIo};
use crate::lane::output::{Output, ResolveBucket};
use crate::lane::work::Work;
use crate::lane::{Input, Lane, Reply};
use crate::request::Applied;
use crate::router::owner::Session;
use crate::store::key::Keys;
use crate::store::{Check, StoreError, Write, record};

/// Takes out what a rule needs of an operation before it is performed.
pub fn rewrite(rule: Rule, keys: &Keys, output: &mut Output) {
    match (rule, output) {
        (Rule::HeadUnchecked, Output::Commit { tx, .. }) => {
            let heads: Vec<_> =
                (0..super::process::BUCKETS).map(|b| keys.head(crate::ids::Bucket(b))).collect();
            tx.checks.retain(|check| !matches!(check, Check::Value { key, .. } if heads.contains(key)));
        }
        (Rule::HistoryUnchecked, Output::ReadHistory(read)) => read.fenced = false,
        (Rule::OwnerUnchecked, Output::Commit { tx, .. }) => tx.checks.clear(),
        (Rule::InboxForgotten, Output::Checkpoint { tx, .. }) => {
            let inbox =
                |write: &Write| matches!(write, Write::Set { key, .. } if keys.parse_inbox(key).is_ok());
            tx.writes.retain(|write| !inbox(write));
        }
        (Rule::CheckpointUnchecked, Output::Checkpoint { tx, .. }) => tx.checks.truncate(1),
        _ => {}
    }
}

/// Performs an operation without the rule.
pub async fn perform(rule: Rule, io: &StoreIo, output: Output) -> Performed {
    match (rule, output) {
        (Rule::SessionUnchecked, Output::CheckSession { check }) => {
            Performed::Input(Input::SessionChecked { check, result: Ok(true) })
        }
        (Rule::ResolveReadsOnly, Output::Resolve { batch, id, buckets }) => {
            let mark = id.0.to_be_bytes();
            Performed::Input(Input::Resolved { batch, result: look(io, &mark, &buckets).await })
        }
        (Rule::DoubtIsFailure, output @ Output::Commit { .. }) => {
            match io.perform(output).await.expect("the store's business") {
                Performed::Input(Input::Committed { batch, result: Err(StoreError::Unknown { reason }) }) => {
                    Performed::Input(Input::Committed {
                        batch,
                        result: Err(StoreError::Unavailable { reason }),
                    })
                }
                performed => performed,
            }
        }
        (_, output) => io.perform(output).await.expect("the store's business"),
    }
}

async fn look(
    io: &StoreIo,
    mark: &[u8],
    buckets: &[ResolveBucket],
) -> Result<Vec<(crate::ids::Bucket, Resolution)>, StoreError> {
    let snapshot = io.store.snapshot().await?;
    let mut found = Vec::new();
    for ResolveBucket { bucket, owner, .. } in buckets {
        let owner_now = snapshot.get(&io.keys.owner(*bucket)).await?;
        let head = snapshot.get(&io.keys.head(*bucket)).await?.unwrap_or_default();
        let decoded: rec::Head = record::decode(&head)?;
        let resolution = if owner_now.as_ref() != Some(owner) {
            Resolution::Lost { landed: decoded.last_batch == mark }
        } else if decoded.last_batch == mark {
            Resolution::Landed
        } else {
            Resolution::NotLanded { head }
        };
        found.push((*bucket, resolution));
    }
    Ok(found)
}

/// A session that takes whatever session is stored for its own.
pub async fn current_session(session: Session) -> Result<Session, StoreError> {
    let snapshot = session.store.snapshot().await?;
    let value = snapshot.get(&session.keys.session(&session.cell)).await?;
    Ok(Session { value: value.unwrap_or_default(), ..session })
}

impl<E: Engine> Lane<E> {
    /// Forgets a message as if its acknowledgement were in the log.
    pub(crate) fn drop_unlogged(&mut self, bucket: crate::ids::Bucket, (offset, n): (u64, u32)) {
        self.next_of_pair(bucket, (offset, n));
        if let Some(owned) = self.buckets.get_mut(&bucket) {
            let ack = rec::Ack { offset, n };
            let record = rec::Record { acks: vec![ack], ..rec::Record::default() };
            crate::lane::land::fold_acks(&mut owned.derived, &record);
        }
    }

    /// Replies at once if the rule that forbids it is taken out.
    pub(crate) fn answer_early(&mut self, work: &Work, applied: Option<Applied>) -> Option<Applied> {
        match (work.token(), applied) {
            (Some(token), Some(applied)) if self.sabotage.reply_early => {
                self.reply(token, Reply::Command(Ok(applied)));
                None
            }
            (_, applied) => applied,
        }
    }
}
