//! The cluster's certificates and the files that hold credentials.
//!
//! One authority signs everything and its key is never written down. All of it is made anew at
//! every start and thrown away at its end, so certificates live for a few days only.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::error::{Context, Error};

/// The authority of one cluster, and the folder its files are in.
pub(crate) struct Pki {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Makes an authority and writes its certificate.
    pub(crate) fn new(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).context(|| format!("creating {}", dir.display()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "corallite-e2e");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, key()?).map_err(failed)?;
        let this = Self { dir: dir.to_owned(), authority };
        this.write("ca.crt", &this.authority.pem())?;
        Ok(this)
    }

    /// The path of a file of this folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Writes `<name>.crt` and `<name>.key`, for a server reached by these names and addresses.
    pub(crate) fn server(&self, name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<(), Error> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, params)
    }

    /// Writes `<name>.crt` and `<name>.key`, for a client that is this user and in this group.
    pub(crate) fn client(&self, name: &str, user: &str, group: &str) -> Result<(), Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, params)
    }

    /// As [`client`](Self::client), and `<name>.kubeconfig` that uses it at `server`.
    pub(crate) fn kubeconfig(
        &self,
        name: &str,
        user: &str,
        group: &str,
        server: &str,
    ) -> Result<PathBuf, Error> {
        self.client(name, user, group)?;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "contexts": [{ "name": "e2e", "context": { "cluster": "e2e", "user": name } }],
            "clusters": [{ "name": "e2e", "cluster": {
                "server": server,
                "certificate-authority": self.path("ca.crt"),
            }}],
            "users": [{ "name": name, "user": {
                "client-certificate": self.path(&format!("{name}.crt")),
                "client-key": self.path(&format!("{name}.key")),
            }}],
        });
        let file = format!("{name}.kubeconfig");
        // JSON is YAML.
        self.write(&file, &config.to_string())?;
        Ok(self.path(&file))
    }

    /// Writes `<name>.key` and `<name>.pub`: a bare key pair, as tokens are signed with.
    pub(crate) fn bare_key(&self, name: &str) -> Result<(), Error> {
        let key = key()?;
        self.write(&format!("{name}.key"), &key.serialize_pem())?;
        self.write(&format!("{name}.pub"), &key.public_key_pem())
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Result<(), Error> {
        let key = key()?;
        let certificate = params.signed_by(&key, &self.authority).map_err(failed)?;
        self.write(&format!("{name}.crt"), &certificate.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.path(file);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))
    }
}

fn key() -> Result<KeyPair, Error> {
    KeyPair::generate().map_err(failed)
}

fn failed(error: rcgen::Error) -> Error {
    Error::Other(format!("making a certificate: {error}"))
}
