//! Making keys and certificates: ECDSA on P-256, valid from a little before now.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::{CertificateError, signed};

/// How far clocks of nodes may be behind ours.
pub(super) const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and its key, both as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

// A key must not get into a log.
impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A cell: it is dialled by its peers and the operator, and dials its peers.
    Cell,
    /// The operator: it only dials.
    Operator,
}

/// An authority that signs its own certificate.
pub(super) fn authority(now: Timestamp, life: Duration) -> Result<Pair, CertificateError> {
    let mut params = params(Vec::new(), now, later(now, life))?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Two authorities overlap. Distinct names let a verifier pick the right one.
    params
        .distinguished_name
        .push(DnType::CommonName, format!("corallite shard authority {}", now.as_second()));
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// A certificate for `names`, signed by an authority. It ends no later than `not_after_max`.
pub(super) fn leaf(
    authority: &Pair,
    names: &[String],
    purpose: Purpose,
    now: Timestamp,
    life: Duration,
    not_after_max: Timestamp,
) -> Result<Pair, CertificateError> {
    let mut params = params(names.to_vec(), now, later(now, life).min(not_after_max))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match purpose {
        Purpose::Cell => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Purpose::Operator => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, names.first().cloned().unwrap_or_default());
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    Ok(Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

/// The public key of a private key, as DER.
pub(super) fn public_key(key: &str) -> Option<Vec<u8>> {
    use rcgen::PublicKeyData;
    Some(KeyPair::from_pem(key).ok()?.subject_public_key_info())
}

fn params(
    names: Vec<String>,
    now: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date(super::later(now, -BACKDATE))?;
    params.not_after = date(not_after)?;
    Ok(params)
}

fn later(now: Timestamp, life: Duration) -> Timestamp {
    super::later(now, signed(life))
}

fn date(time: Timestamp) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(time.as_second()).map_err(|_| CertificateError::Validity)
}
