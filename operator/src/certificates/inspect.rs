//! Reading certificates: how long they live, for which names, and who signed them.

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

/// What matters of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// DNS names, sorted.
    pub names: Vec<String>,
    /// The public key, as DER.
    pub public_key: Vec<u8>,
}

/// Reads the first certificate of a PEM text. `None` when there is none that can be read.
pub(super) fn facts(pem: &str) -> Option<Facts> {
    with(pem, |certificate| {
        let validity = certificate.validity();
        let mut names: Vec<String> = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .into_iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
            .collect();
        names.sort();
        Some(Facts {
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            names,
            public_key: certificate.public_key().raw.to_vec(),
        })
    })
}

/// Whether the first certificate of `pem` was signed with the key of the first one of `authority`.
pub(super) fn signed_by(pem: &str, authority: &str) -> bool {
    with(authority, |authority| {
        with(pem, |certificate| certificate.verify_signature(Some(authority.public_key())).ok())
    })
    .is_some()
}

fn with<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> Option<T>) -> Option<T> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = block.parse_x509().ok()?;
    read(&certificate)
}
