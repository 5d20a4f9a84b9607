//! What can go wrong, one type for the crate.

use bytes::Bytes;

/// Shorthand for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of the store. The texts of the request errors are etcd's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision asked for is older than the last compaction.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// The revision asked for has not happened yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// A pair needs a key.
    #[error("key is not provided")]
    EmptyKey,
    /// A pair is larger than any engine stores.
    #[error("a pair of {len} bytes is larger than {limit}")]
    TooLarge {
        /// Bytes of key and value, and of the numbers stored with them.
        len: usize,
        /// The most there can be.
        limit: usize,
    },
    /// No such lease, or it has expired.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease id is in use.
    #[error("lease already exists")]
    LeaseExists,
    /// The time to live is above [`MAX_LEASE_TTL_SECONDS`](crate::MAX_LEASE_TTL_SECONDS).
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// Only the leader's lessor keeps time.
    #[error("not a primary lessor")]
    NotPrimary,
    /// A key of the `key` bucket is not a revision.
    #[error("row {key:?} of bucket key: {what}")]
    BadRowKey {
        /// The stored key.
        key: Bytes,
        /// What was expected, and where.
        what: &'static str,
    },
    /// A stored message cannot be read.
    #[error("{message} at {row} of bucket {bucket}: byte {offset}: {what}")]
    BadRecord {
        /// Bucket of the row.
        bucket: &'static str,
        /// Row, in the bucket's own notation.
        row: String,
        /// Name of the message that was expected.
        message: &'static str,
        /// Offset of the first byte that does not fit.
        offset: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// A number in the `meta` bucket cannot be read.
    #[error("{key} of bucket meta: expected {expected}, found {value:?}")]
    BadMeta {
        /// Name of the key.
        key: &'static str,
        /// What the value should be.
        expected: &'static str,
        /// What it is.
        value: Bytes,
    },
    /// The index names a revision whose row is not in the backend: the database is damaged.
    #[error("revision {revision} is in the index but not in the backend")]
    MissingRow {
        /// The revision.
        revision: crate::Revision,
    },
    /// The revision counter stands at its maximum.
    #[error("the store has used up its revisions")]
    RevisionsExhausted,
    /// The background thread could not be started.
    #[error("starting the background thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The storage engine failed; it refuses all further writes until it is reopened.
    #[error(transparent)]
    Backend(#[from] varve_backend::Error),
}

impl Error {
    /// Whether stored bytes are damaged, as opposed to a request being wrong.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::BadRowKey { .. }
                | Self::BadRecord { .. }
                | Self::BadMeta { .. }
                | Self::MissingRow { .. }
        )
    }
}
