//! Certificate, key and CA from files, and again whenever they change.
//!
//! Guarantees: what is used was read as a whole and fits together; TLS 1.3 only; a client must show a
//! certificate of the CA; nothing of a session is resumed, so every connection proves itself anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, client, crypto, version};

use super::OPERATOR_NAME;

/// How often the files are looked at.
pub const POLL: Duration = Duration::from_secs(1);
/// The folder's files: the certificate with its chain, its key, and the CA of those who may connect.
pub const FILES: [&str; 3] = ["tls.crt", "tls.key", "ca.crt"];

/// What a listener shows and demands, and the files it was made of.
#[derive(Clone)]
pub struct Identity {
    pub(super) config: Arc<ServerConfig>,
    files: Files,
}

/// The content of [`FILES`].
#[derive(Clone, PartialEq, Eq)]
struct Files([Vec<u8>; 3]);

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or cannot be read.
    #[error("cannot read {file:?}: {source}; --tls names a folder with tls.crt, tls.key and ca.crt")]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no PEM of its kind.
    #[error("{file:?} holds no {what} in PEM: {reason}")]
    Pem {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// They do not fit together.
    #[error(
        "{folder:?} cannot be used for TLS: {reason}; tls.key must be the key of the first certificate in tls.crt"
    )]
    Unfit {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Identity {
    /// Reads certificate, key and CA.
    ///
    /// # Errors
    /// A file is missing or malformed, or they do not fit together.
    pub fn read(folder: &Path) -> Result<Self, TlsError> {
        Files::read(folder)?.identity(folder)
    }
}

impl Files {
    fn read(folder: &Path) -> Result<Self, TlsError> {
        // Behind the link that Kubernetes swaps, so that all are of one rotation.
        let current = fs::canonicalize(folder.join("..data")).unwrap_or_else(|_| folder.to_owned());
        let mut files = Self(Default::default());
        for (content, name) in files.0.iter_mut().zip(FILES) {
            let read = fs::read(current.join(name));
            *content = read.map_err(|source| TlsError::Read { file: folder.join(name), source })?;
        }
        Ok(files)
    }

    fn identity(self, folder: &Path) -> Result<Identity, TlsError> {
        let Self([certificate, key, authority]) = &self;
        let unfit = |error: &dyn std::fmt::Display| TlsError::Unfit {
            folder: folder.to_owned(),
            reason: error.to_string(),
        };
        let chain = certificates(folder, FILES[0], certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| pem(folder, FILES[1], "private key", &error))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(folder, FILES[2], authority)? {
            roots.add(authority).map_err(|error| pem(folder, FILES[2], "certificate", &error))?;
        }
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = verifier.build().map_err(|error| unfit(&error))?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| unfit(&error))?;
        let built = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = built.map_err(|error| unfit(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity { config: Arc::new(config), files: self })
    }
}

fn certificates(folder: &Path, name: &str, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let read = read.map_err(|error| pem(folder, name, "certificate", &error))?;
    if read.is_empty() {
        return Err(pem(folder, name, "certificate", &"there is none"));
    }
    Ok(read)
}

fn pem(folder: &Path, name: &str, what: &'static str, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::Pem { file: folder.join(name), what, reason: reason.to_string() }
}

/// Gives out a new config whenever the files have changed and fit together. Never ends.
pub(super) async fn follow(folder: PathBuf, identity: Identity, configs: watch::Sender<Arc<ServerConfig>>) {
    let mut seen = identity.files;
    let mut unreadable = false;
    loop {
        tokio::time::sleep(POLL).await;
        let files = match Files::read(&folder) {
            Ok(files) => files,
            Err(error) => {
                // Once: it is missing for a moment while Kubernetes swaps the folder, or for long.
                if !std::mem::replace(&mut unreadable, true) {
                    tracing::warn!(%error, "certificates cannot be read; those in use go on");
                }
                continue;
            }
        };
        unreadable = false;
        if files == seen {
            continue;
        }
        seen = files.clone();
        match files.identity(&folder) {
            Ok(identity) => {
                tracing::info!("certificates were replaced");
                configs.send_replace(identity.config);
            }
            Err(error) => tracing::error!(%error, "new certificates are refused; those in use go on"),
        }
    }
}

/// Whether a certificate that was verified is the operator's.
pub(super) fn is_operator(chain: Option<&[CertificateDer<'_>]>) -> bool {
    let Some(certificate) = chain.and_then(<[_]>::first) else { return false };
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
    let Ok(name) = DnsName::try_from(OPERATOR_NAME) else { return false };
    client::verify_server_name(&parsed, &ServerName::DnsName(name)).is_ok()
}

/// What a failed handshake is logged as: the reason, never what was sent.
pub(super) fn reason(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| error.to_string(), ToString::to_string)
}
