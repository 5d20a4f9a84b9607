//! Errors of this crate.
use std::path::PathBuf;

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log could not be read or written.
    #[error(transparent)]
    Wal(#[from] varve_wal::Error),
    /// A snapshot could not be read or written.
    #[error(transparent)]
    Snap(#[from] varve_snap::Error),
    /// The consensus core refused its configuration or the state found on disk.
    #[error("raft refused the state on disk: {0}")]
    Raft(String),
    /// The metadata record of the log is not what etcd writes.
    #[error("{}: the metadata record does not decode: {source}", dir.display())]
    Metadata {
        /// The log's directory.
        dir: PathBuf,
        /// What the decoder says.
        source: varve_proto::prost::DecodeError,
    },
    /// The state says that entries were committed which the log does not hold.
    #[error(
        "{}: the log ends at index {last}, but its state record says that {commit} was committed",
        dir.display()
    )]
    CommitPastEnd {
        /// The log's directory.
        dir: PathBuf,
        /// Committed index of the last state record.
        commit: u64,
        /// Last index in the log.
        last: u64,
    },
    /// A log exists where a new one was to be made.
    #[error("{}: a write-ahead log exists already", dir.display())]
    LogExists {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a request to the raft thread was not taken or not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Too much waits already.
    #[error("too many requests")]
    TooMany,
    /// The member stops.
    #[error("the member is stopped")]
    Stopped,
    /// The leader changed, or there is none, before the request was served.
    #[error("leader changed")]
    LeaderChanged,
    /// The change was refused by the consensus core (one is in progress already).
    #[error("proposal dropped")]
    Dropped,
}

/// Result of starting a member.
pub type Result<T, E = Error> = std::result::Result<T, E>;
