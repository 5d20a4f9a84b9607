//! What can go wrong with TLS.
use std::io;
use std::path::PathBuf;

/// Why TLS could not be set up, or a connection was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{} holds no {what}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Neither a file of authorities was named, nor has the system one.
    #[error("the system has no file of trusted authorities; name one")]
    NoRoots,
    /// Common names and host names were both given.
    #[error("AllowedCNs and AllowedHostnames are mutually exclusive")]
    BothAllowed,
    /// rustls refused the configuration.
    #[error("cannot set up TLS: {0}")]
    Setup(#[source] rustls::Error),
    /// rustls refused the authorities.
    #[error("cannot set up the verification of clients: {0}")]
    Verifier(String),
    /// The handshake failed.
    #[error("TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The certificate is of somebody who is not allowed.
    #[error("client certificate authentication failed")]
    NotAllowed,
    /// The certificate was revoked.
    #[error("certificate serial {serial} revoked")]
    Revoked {
        /// Its serial number, hexadecimal.
        serial: String,
    },
    /// The certificate is for other addresses than the one it came from.
    #[error("tls: {remote:?} does not match any of DNSNames {names:?}")]
    WrongAddress {
        /// Where the connection came from.
        remote: String,
        /// What the certificate is for.
        names: Vec<String>,
    },
    /// A certificate whose inside cannot be read.
    #[error("a certificate of the client cannot be read")]
    Certificate,
}
