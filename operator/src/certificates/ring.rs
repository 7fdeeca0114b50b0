//! The authorities of a shard, old, present and to come, and the certificate made by the present one.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::inspect::{self, Facts};
use super::issue::{self, BACKDATE, Pair, Purpose};
use super::{CertificateError, Policy, due, later, signed};

/// Key of the present authority's certificate in the Secret.
const CERTIFICATE: &str = "ca.crt";
/// Key of the present authority's private key.
const KEY: &str = "ca.key";
/// Key of the certificate that is announced and signs nothing yet; empty while there is none.
const NEXT_CERTIFICATE: &str = "next.crt";
/// Key of its private key.
const NEXT_KEY: &str = "next.key";
/// Key of the certificate that signs nothing any more; empty while there is none.
const OLD_CERTIFICATE: &str = "old.crt";

/// The authorities of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Signs.
    signing: Pair,
    /// Trusted already, will sign.
    next: Option<Pair>,
    /// Trusted still, signs nothing.
    old: Option<String>,
}

/// The certificate of a shard's cells, its key, and the authorities to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Certificate and key.
    pub pair: Pair,
}

impl Ring {
    /// Reads the data of a Secret. `None` when the present authority is missing.
    #[must_use]
    pub fn from_data(data: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key| data.get(key).filter(|text| !text.is_empty()).cloned();
        let pair = |certificate, key| Some(Pair { certificate: text(certificate)?, key: text(key)? });
        Some(Self {
            signing: pair(CERTIFICATE, KEY)?,
            next: pair(NEXT_CERTIFICATE, NEXT_KEY),
            old: text(OLD_CERTIFICATE),
        })
    }

    /// The data of the Secret. Always the same keys, so that none is left over.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        let next =
            self.next.clone().unwrap_or_else(|| Pair { certificate: String::new(), key: String::new() });
        [
            (CERTIFICATE, self.signing.certificate.clone()),
            (KEY, self.signing.key.clone()),
            (NEXT_CERTIFICATE, next.certificate),
            (NEXT_KEY, next.key),
            (OLD_CERTIFICATE, self.old.clone().unwrap_or_default()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Every authority to trust now, as one PEM text, the signing one first.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|pair| &pair.certificate);
        [Some(&self.signing.certificate), next, self.old.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// A certificate for the operator itself, signed by the present authority. It is kept nowhere.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn operator(&self, now: Timestamp) -> Result<Pair, CertificateError> {
        const LIFE: std::time::Duration = std::time::Duration::from_secs(3600);
        let names = [crate::names::OPERATOR_IDENTITY.to_owned()];
        issue::leaf(&self.signing, &names, Purpose::Operator, now, LIFE, Timestamp::MAX)
    }

    /// The first ring of a shard, or one for a shard whose authority is lost. What can be read of the
    /// lost one is still trusted, so that running cells are.
    pub(super) fn new(
        now: Timestamp,
        policy: &Policy,
        lost: Option<&Self>,
    ) -> Result<Self, CertificateError> {
        let alive = |pem: &&String| inspect::facts(pem).is_some_and(|facts| facts.not_after > now);
        let old = lost.map(|ring| &ring.signing.certificate).filter(alive).cloned();
        Ok(Self { signing: issue::authority(now, policy.authority_life)?, next: None, old })
    }

    /// Whether the present authority can sign.
    pub(super) fn usable(&self, now: Timestamp) -> bool {
        inspect::facts(&self.signing.certificate).is_some_and(|facts| {
            facts.not_after > now
                && issue::public_key(&self.signing.key).is_some_and(|key| key == facts.public_key)
        })
    }

    /// Makes the next authority when the present one is due.
    pub(super) fn announce(&mut self, now: Timestamp, policy: &Policy) -> Result<(), CertificateError> {
        if self.next.is_none() && facts(&self.signing).is_some_and(|facts| due(&facts) <= now) {
            self.next = Some(issue::authority(now, policy.authority_life)?);
        }
        Ok(())
    }

    /// Lets the next authority sign once every cell trusts it.
    pub(super) fn promote(&mut self, now: Timestamp, policy: &Policy) {
        if let Some(next) = self.next.take_if(|next| settled(next, policy).is_some_and(|time| time <= now)) {
            let old = std::mem::replace(&mut self.signing, next);
            self.old = Some(old.certificate);
        }
    }

    /// Trusts the old authority no longer once every cell has a certificate of the present one.
    pub(super) fn retire(&mut self, leaf: &Leaf, now: Timestamp, policy: &Policy) {
        self.old.take_if(|_| settled(&leaf.pair, policy).is_none_or(|time| time <= now));
    }

    /// Whether a certificate can stay: readable, for these names, by the present authority, not due.
    pub(super) fn vouches_for(&self, leaf: &Leaf, names: &[String], now: Timestamp) -> bool {
        let mut names = names.to_vec();
        names.sort();
        facts(&leaf.pair).is_some_and(|facts| {
            facts.names == names
                && due(&facts) > now
                && issue::public_key(&leaf.pair.key).is_some_and(|key| key == facts.public_key)
                && inspect::signed_by(&leaf.pair.certificate, &self.signing.certificate)
        })
    }

    /// When the first of these changes is to be made.
    pub(super) fn next_change(&self, leaf: &Leaf, policy: &Policy) -> Timestamp {
        let authority = match &self.next {
            Some(next) => settled(next, policy),
            None => facts(&self.signing).map(|facts| due(&facts)),
        };
        let retire = self.old.as_ref().and_then(|_| settled(&leaf.pair, policy));
        let renew = facts(&leaf.pair).map(|facts| due(&facts));
        [authority, retire, renew].into_iter().flatten().min().unwrap_or(Timestamp::MAX)
    }
}

impl Leaf {
    /// A new certificate by the present authority.
    pub(super) fn signed_by(
        ring: &Ring,
        names: &[String],
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Self, CertificateError> {
        let end = facts(&ring.signing).map_or(Timestamp::MAX, |facts| facts.not_after);
        issue::leaf(&ring.signing, names, Purpose::Cell, now, policy.leaf_life, end).map(|pair| Self { pair })
    }

    /// Reads the data of a TLS Secret.
    #[must_use]
    pub fn from_data(data: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key| data.get(key).cloned();
        Some(Self { pair: Pair { certificate: text("tls.crt")?, key: text("tls.key")? } })
    }

    /// The data of the TLS Secret, with the authorities to trust.
    #[must_use]
    pub fn data(&self, ring: &Ring) -> BTreeMap<String, String> {
        [
            ("tls.crt", self.pair.certificate.clone()),
            ("tls.key", self.pair.key.clone()),
            ("ca.crt", ring.bundle()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

fn facts(pair: &Pair) -> Option<Facts> {
    inspect::facts(&pair.certificate)
}

/// When everybody has surely seen a certificate: some time after it was made.
fn settled(pair: &Pair, policy: &Policy) -> Option<Timestamp> {
    let made = later(facts(pair)?.not_before, BACKDATE);
    Some(later(made, signed(policy.settle)))
}
