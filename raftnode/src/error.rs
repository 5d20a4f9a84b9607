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
    /// The log belongs to a member that the initial cluster does not have.
    #[error(
        "{}: the log belongs to member {node_id:x} of cluster {cluster_id:x}, which is not in the initial \
         cluster",
        dir.display()
    )]
    NotInitialMember {
        /// The log's directory.
        dir: PathBuf,
        /// The member's id, in the log's metadata.
        node_id: u64,
        /// The cluster's id, in the log's metadata.
        cluster_id: u64,
    },
    /// A conf change in the log does not decode.
    #[error("{}: the conf change in entry {index} does not decode: {source}", dir.display())]
    ConfChange {
        /// The log's directory.
        dir: PathBuf,
        /// The entry's index.
        index: u64,
        /// What the decoder says.
        source: varve_proto::prost::DecodeError,
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
    /// No leader is known.
    #[error("no leader")]
    NoLeader,
    /// The member that should take over is no voter, or there is none that could.
    #[error("no member can take over")]
    NoTransferee,
    /// The other member did not take over in time; this one goes on leading.
    #[error("leadership was not handed over in time")]
    TransferTimedOut,
    /// The change was refused by the consensus core (one is in progress already).
    #[error("proposal dropped")]
    Dropped,
}

/// Result of starting a member.
pub type Result<T, E = Error> = std::result::Result<T, E>;
