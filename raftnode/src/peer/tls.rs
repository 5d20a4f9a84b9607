//! TLS between members, from certificate files and the `--peer-*` flags that name them.
//!
//! [`PeerTls`] is used where this member dials; [`ServerTls`] by the server's peer listener. Certificates
//! and keys are read again for every handshake, so that they can be renewed while the member runs; the
//! trusted authorities are read once.
//!
//! # Not here
//! `--peer-auto-tls` (making certificates), cipher suites.
mod check;
mod der;
mod error;
mod files;
mod skip;

pub use error::TlsError;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use check::{Allowed, Checks};
use files::CertifiedFiles;
use skip::SkipVerification;

/// The files and rules of one side of a member (`--peer-cert-file` and so on).
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Chain and key to dial with, if they differ.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Authorities, PEM; `None`: the system's.
    pub trusted_ca: Option<PathBuf>,
    /// Demand a certificate of whoever connects. So does `trusted_ca`.
    pub client_cert_auth: bool,
    /// Revoked certificates, PEM or DER, read again for every connection.
    pub crl: Option<PathBuf>,
    /// Common names that may connect; empty: any.
    pub allowed_cns: Vec<String>,
    /// Host names of which a certificate must be valid for one; empty: any. Not together with
    /// `allowed_cns`.
    pub allowed_hostnames: Vec<String>,
    /// Do not compare the addresses in a client's certificate with where it connects from.
    pub skip_client_san_verification: bool,
    /// Accept any server certificate: for certificates that members made themselves.
    pub skip_server_verification: bool,
}

impl TlsFiles {
    /// How to dial. Reads every file once, so that mistakes show at the start.
    pub fn client(&self) -> Result<PeerTls, TlsError> {
        let provider = provider();
        let allowed = self.allowed()?;
        let (cert, key) = self
            .client
            .as_ref()
            .map_or((&self.cert, &self.key), |c| (&c.0, &c.1));
        let certificate = CertifiedFiles::new(cert, key, &provider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = if self.skip_server_verification {
            let verifier = SkipVerification::new(&provider);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            builder.with_root_certificates(files::roots(self.trusted_ca.as_deref())?)
        };
        let config = builder.with_client_cert_resolver(Arc::new(certificate));
        Ok(PeerTls {
            config: Arc::new(config),
            allowed: Arc::new(allowed),
        })
    }

    /// How to be dialled.
    pub fn server(&self) -> Result<ServerTls, TlsError> {
        let provider = provider();
        let checks = Checks {
            allowed: self.allowed()?,
            crl: self.crl.clone(),
            compare_address: !self.skip_client_san_verification,
        };
        let certificate = CertifiedFiles::new(&self.cert, &self.key, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = if self.trusted_ca.is_some() || self.client_cert_auth {
            let roots = Arc::new(files::roots(self.trusted_ca.as_deref())?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|e| TlsError::Verifier(e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        // No ALPN: members speak HTTP/1.1, and those of etcd offer no protocol when they dial.
        let config = builder.with_cert_resolver(Arc::new(certificate));
        Ok(ServerTls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            checks: Arc::new(checks),
        })
    }

    fn allowed(&self) -> Result<Allowed, TlsError> {
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            return Err(TlsError::BothAllowed);
        }
        Ok(Allowed {
            cns: self.allowed_cns.clone(),
            hostnames: self.allowed_hostnames.clone(),
        })
    }
}

/// aws-lc: unlike ring it has P-521, which etcd's self-made certificates use.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS for connections that this member makes.
#[derive(Clone)]
pub struct PeerTls {
    config: Arc<ClientConfig>,
    allowed: Arc<Allowed>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").finish_non_exhaustive()
    }
}

impl PeerTls {
    /// Makes a connection to `host` (a name or an address) secure.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        self.allowed.check(chain).map_err(io::Error::other)?;
        Ok(stream)
    }
}

/// TLS for connections that others make to this member.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    checks: Arc<Checks>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Makes a connection that came from `remote` secure, or says why it is rejected. The caller limits
    /// how long that may take (etcd: 10 s) and logs a rejection.
    pub async fn accept<S>(
        &self,
        stream: S,
        remote: Option<IpAddr>,
    ) -> Result<server::TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self
            .acceptor
            .accept(stream)
            .await
            .map_err(TlsError::Handshake)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        self.checks.check(chain, remote).await?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests;
