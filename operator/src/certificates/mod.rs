//! A shard's own authority, and the certificate its cells show each other and the operator.
//!
//! Guarantees: a certificate is renewed before two thirds of its life are over; when the authority
//! changes, the new one is trusted everywhere for [`Policy::settle`] before anything is signed by it,
//! and the old one is trusted until what it signed is gone. So no connection is refused because of a
//! renewal, and no cell restarts: cells read the files again when they change.
//!
//! [`turn`] is a function of what there is and the time. It makes keys, so its results differ, but
//! whether it makes any depends on its arguments alone.

mod inspect;
mod issue;
mod ring;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub use inspect::Facts;
pub use issue::{Pair, Purpose};
pub use ring::{Leaf, Ring};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key or certificate could not be made or read.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// A time is outside what certificates can say.
    #[error("the validity of a certificate is out of range")]
    Validity,
}

/// How long things live.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Life of an authority.
    pub authority_life: Duration,
    /// Life of the cells' certificate.
    pub leaf_life: Duration,
    /// How long it takes until every cell surely has what was written into its Secret.
    pub settle: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            authority_life: Duration::from_secs(5 * 365 * DAY),
            leaf_life: Duration::from_secs(30 * DAY),
            settle: Duration::from_secs(600),
        }
    }
}

/// What should be in the shard's Secrets now.
#[derive(Clone, Debug)]
pub struct Turned {
    /// The authority.
    pub ring: Ring,
    /// The cells' certificate and key.
    pub leaf: Leaf,
    /// Whether either differs from what was given.
    pub changed: bool,
    /// When to look again.
    pub next: Timestamp,
}

/// Brings authority and certificate up to date.
///
/// # Errors
/// A key or certificate cannot be made.
pub fn turn(
    ring: Option<&Ring>,
    leaf: Option<&Leaf>,
    names: &[String],
    now: Timestamp,
    policy: &Policy,
) -> Result<Turned, CertificateError> {
    let before = ring;
    let mut ring = match ring.filter(|ring| ring.usable(now)) {
        Some(ring) => ring.clone(),
        None => Ring::new(now, policy, before)?,
    };
    ring.announce(now, policy)?;
    ring.promote(now, policy);
    let (leaf, leaf_changed) = match leaf.filter(|leaf| ring.vouches_for(leaf, names, now)) {
        Some(leaf) => (leaf.clone(), false),
        None => (Leaf::signed_by(&ring, names, now, policy)?, true),
    };
    ring.retire(&leaf, now, policy);
    let next = ring.next_change(&leaf, policy);
    let changed = leaf_changed || before != Some(&ring);
    Ok(Turned { ring, leaf, changed, next })
}

/// When something valid for this long is renewed: after three fifths of its life.
fn due(facts: &Facts) -> Timestamp {
    let life = facts.not_after.duration_since(facts.not_before);
    later(facts.not_before, life * 3 / 5)
}

/// Time plus span; the end of time where that is beyond it.
fn later(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// A span as time arithmetic takes it; the longest one where it does not fit.
fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
