//! Errors of the peer transport.
use http::StatusCode;

use super::codec::DecodeError;
use super::tls::TlsError;

/// Why something was not sent, received or set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A URL that is not one of a peer.
    #[error("{url:?} is no peer URL: {what}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No URL at all.
    #[error("there is no URL to reach the member at")]
    NoUrls,
    /// The version this member declares is not a semantic version. (Told to a real member, such a
    /// version makes it panic.)
    #[error("{0:?} is no version: expected MAJOR.MINOR.PATCH")]
    Version(String),
    /// No connection.
    #[error("cannot connect to {url}: {source}")]
    Dial {
        /// The URL.
        url: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// An https URL, and no TLS.
    #[error("{url} needs TLS, and none is configured")]
    NoTls {
        /// The URL.
        url: String,
    },
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The exchange on a connection failed.
    #[error("{url}: {source}")]
    Http {
        /// The URL.
        url: String,
        /// What hyper met.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{url}: no answer within {seconds} s")]
    Timeout {
        /// The URL.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The peer refuses our version.
    #[error("incompatible version")]
    IncompatibleVersion,
    /// The peer belongs to another cluster.
    #[error("cluster ID mismatch")]
    ClusterIdMismatch,
    /// The peer says that this member was removed.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// The peer's release has no such stream.
    #[error("unsupported stream type")]
    UnsupportedStream,
    /// The peer does not know this member (yet).
    #[error("peer {peer:x} failed to find local node {local:x}")]
    NotFound {
        /// The peer.
        peer: u64,
        /// This member.
        local: u64,
    },
    /// Any other answer.
    #[error("unexpected answer {status} of {url}: {body:?}")]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// What was said.
        body: String,
    },
    /// The stream's bytes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The stream ended.
    #[error("the peer ended the stream")]
    Ended,
}
