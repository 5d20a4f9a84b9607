//! Certificates, keys and authorities from files.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::error::TlsError;

/// Where systems keep the authorities they trust (Go looks there too).
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn content(path: &Path, what: &'static str, reason: impl ToString) -> TlsError {
    TlsError::Content {
        path: path.to_path_buf(),
        what,
        reason: reason.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificates";
    let bytes = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| content(path, WHAT, e))?;
    if chain.is_empty() {
        return Err(content(path, WHAT, "there is none in PEM"));
    }
    Ok(chain)
}

/// The authorities in `file`, or the system's.
pub(super) fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|e| content(file, "authorities", e))?;
        }
        return Ok(roots);
    }
    let system = SYSTEM_ROOTS
        .iter()
        .map(Path::new)
        .find(|path| path.exists());
    let system = system.ok_or(TlsError::NoRoots)?;
    // Some of what systems trust rustls does not take; the others are no worse for it.
    let (_added, _ignored) = roots.add_parsable_certificates(certificates(system)?);
    Ok(roots)
}

/// A chain and its key, read again for every handshake.
#[derive(Debug)]
pub(super) struct CertifiedFiles {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl CertifiedFiles {
    /// Reads both once to see that they fit.
    pub(super) fn new(
        cert: &Path,
        key: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let files = Self {
            cert: cert.to_path_buf(),
            key: key.to_path_buf(),
            provider: Arc::clone(provider),
        };
        files.load()?;
        Ok(files)
    }

    fn load(&self) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|e| content(&self.key, "private key", e))?;
        CertifiedKey::from_der(chain, key, &self.provider)
            .map_err(|e| content(&self.key, "key of the certificate", e))
    }

    fn load_or_warn(&self) -> Option<Arc<CertifiedKey>> {
        match self.load() {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                tracing::warn!(
                    cert_file = %self.cert.display(),
                    key_file = %self.key.display(),
                    %error,
                    "failed to create peer certificate"
                );
                None
            }
        }
    }
}

impl ResolvesServerCert for CertifiedFiles {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.load_or_warn()
    }
}

impl ResolvesClientCert for CertifiedFiles {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.load_or_warn()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
