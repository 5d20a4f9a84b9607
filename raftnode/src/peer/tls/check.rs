//! What a certificate must say beyond being signed by an authority we trust.
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::der::{self, Identity};
use super::error::TlsError;
use super::files;

/// Whose certificates are taken; with both lists empty, anybody's.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) cns: Vec<String>,
    pub(super) hostnames: Vec<String>,
}

impl Allowed {
    pub(super) fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        if self.cns.is_empty() && self.hostnames.is_empty() {
            return Ok(());
        }
        let first = chain.first().ok_or(TlsError::NotAllowed)?;
        let identity = der::identity(first).ok_or(TlsError::Certificate)?;
        let by_name = identity
            .common_name
            .as_ref()
            .is_some_and(|name| self.cns.contains(name));
        if by_name
            || self
                .hostnames
                .iter()
                .any(|host| identity.is_valid_for(host))
        {
            Ok(())
        } else {
            Err(TlsError::NotAllowed)
        }
    }
}

/// What a listener asks of a client's certificate.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) allowed: Allowed,
    pub(super) crl: Option<PathBuf>,
    pub(super) compare_address: bool,
}

impl Checks {
    /// Checks the chain of a client that connected from `remote`; without a chain there is only the
    /// list of who is allowed.
    pub(super) async fn check(
        &self,
        chain: &[CertificateDer<'_>],
        remote: Option<IpAddr>,
    ) -> Result<(), TlsError> {
        self.allowed.check(chain)?;
        if let Some(crl) = &self.crl {
            check_revoked(crl, chain)?;
        }
        let (Some(first), Some(remote), true) = (chain.first(), remote, self.compare_address)
        else {
            return Ok(());
        };
        let identity = der::identity(first).ok_or(TlsError::Certificate)?;
        check_address(&identity, remote).await
    }
}

/// Whether one of the certificates is on the list (by serial number alone, as etcd has it).
fn check_revoked(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    let no_list = |reason: &str| TlsError::Content {
        path: path.to_path_buf(),
        what: "revocation list",
        reason: reason.to_owned(),
    };
    let bytes = files::read(path)?;
    let list = match CertificateRevocationListDer::from_pem_slice(&bytes) {
        Ok(list) => list.to_vec(),
        Err(_) => bytes,
    };
    let revoked = der::revoked(&list).ok_or_else(|| no_list("it is neither PEM nor DER"))?;
    for certificate in chain {
        let identity = der::identity(certificate).ok_or(TlsError::Certificate)?;
        if revoked.contains(&identity.serial) {
            let serial = hex(&identity.serial);
            return Err(TlsError::Revoked { serial });
        }
    }
    Ok(())
}

/// A certificate without names is good for any address; one with addresses for those; one with names for
/// the addresses they resolve to. (etcd also looks up the names of the address, which is the only way for
/// a wildcard; this member does not.)
async fn check_address(identity: &Identity, remote: IpAddr) -> Result<(), TlsError> {
    let remote = remote.to_canonical();
    if identity.addresses.is_empty() && identity.names.is_empty()
        || identity.addresses.contains(&remote)
    {
        return Ok(());
    }
    for name in identity.names.iter().filter(|n| !n.starts_with("*.")) {
        if let Ok(mut found) = tokio::net::lookup_host((name.as_str(), 0)).await
            && found.any(|address| address.ip().to_canonical() == remote)
        {
            return Ok(());
        }
    }
    Err(TlsError::WrongAddress {
        remote: remote.to_string(),
        names: identity.names.clone(),
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes
        .iter()
        .flat_map(|&b| [digit(b >> 4), digit(b & 15)])
        .collect()
}
