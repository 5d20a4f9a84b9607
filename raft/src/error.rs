//! What can go wrong in the core.

use std::fmt;

use varve_proto::raftpb::MessageType;

use crate::confchange::ConfChangeError;
use crate::storage::StorageError;

/// An error of the core.
///
/// No input makes the core panic; what a peer sends or storage answers ends up here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The proposal was not taken: no leader, a transfer of leadership under way, too much uncommitted,
    /// forwarding switched off, or the leader is no member any more. It will not appear in the log.
    ProposalDropped,
    /// A message of a kind that never comes from a peer.
    StepLocalMessage,
    /// A response from a node that is not in the configuration.
    StepPeerNotFound,
    /// A setting makes no sense.
    Config(&'static str),
    /// A message that no correct peer sends. It had no effect.
    Malformed {
        /// The message's type.
        kind: i32,
        /// Its sender, as it says.
        from: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The leader says that entries are committed which this node acknowledged and does not have.
    CommitOutOfRange {
        /// The commit index the leader told.
        commit: u64,
        /// Where this node's log ends.
        last_index: u64,
    },
    /// The leader sends an entry that contradicts one that is committed here.
    CommittedConflict {
        /// Index of the first entry that differs.
        index: u64,
        /// What is committed here.
        committed: u64,
    },
    /// The hard state says that entries are committed which the log does not have.
    HardStateOutOfRange {
        /// Commit index of the hard state.
        commit: u64,
        /// Where the log ends.
        last: u64,
    },
    /// Something was reported as applied that was not committed, or that was applied long ago.
    AppliedOutOfRange {
        /// What was reported.
        applied: u64,
        /// What was known as applied.
        previous: u64,
        /// What is committed.
        committed: u64,
    },
    /// The log already has entries; only an empty one can be bootstrapped.
    NotEmpty,
    /// A configuration change that cannot be carried out.
    ConfChange(ConfChangeError),
    /// Storage could not answer.
    Storage(StorageError),
    /// The node stopped at an earlier error and takes no further part.
    Stopped(Box<Error>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::ProposalDropped => f.write_str("raft proposal dropped"),
            Error::StepLocalMessage => f.write_str("raft: cannot step raft local message"),
            Error::StepPeerNotFound => f.write_str("raft: cannot step as peer not found"),
            Error::Config(what) => f.write_str(what),
            Error::Malformed { kind, from, what } => {
                write!(f, "malformed {} from {from:x}: {what}", kind_name(*kind))
            }
            Error::CommitOutOfRange { commit, last_index } => write!(
                f,
                "tocommit({commit}) is out of range [lastIndex({last_index})]. Was the raft log \
                 corrupted, truncated, or lost?"
            ),
            Error::CommittedConflict { index, committed } => write!(
                f,
                "entry {index} conflict with committed entry [committed({committed})]"
            ),
            Error::HardStateOutOfRange { commit, last } => write!(
                f,
                "state.commit {commit} is out of range: the log ends at {last}"
            ),
            Error::AppliedOutOfRange {
                applied,
                previous,
                committed,
            } => write!(
                f,
                "applied({applied}) is out of range [prevApplied({previous}), \
                 committed({committed})]"
            ),
            Error::NotEmpty => f.write_str("can't bootstrap a nonempty Storage"),
            Error::ConfChange(error) => error.fmt(f),
            Error::Storage(error) => error.fmt(f),
            Error::Stopped(error) => write!(f, "raft: stopped after an error: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // These two speak for themselves: their text is this one's, so their cause is too.
            Error::ConfChange(error) => error.source(),
            Error::Storage(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ConfChangeError> for Error {
    fn from(error: ConfChangeError) -> Self {
        Error::ConfChange(error)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Error::Storage(error)
    }
}

impl Error {
    /// Whether the process should end rather than go on: this node's log and the cluster's contradict
    /// each other, or storage fails. etcd panics here.
    pub fn is_fatal(&self) -> bool {
        match self {
            Error::CommitOutOfRange { .. }
            | Error::CommittedConflict { .. }
            | Error::HardStateOutOfRange { .. }
            | Error::AppliedOutOfRange { .. }
            | Error::Storage(_)
            | Error::Stopped(_) => true,
            Error::ProposalDropped
            | Error::StepLocalMessage
            | Error::StepPeerNotFound
            | Error::Config(_)
            | Error::Malformed { .. }
            | Error::NotEmpty
            | Error::ConfChange(_) => false,
        }
    }
}

/// The name of a message type, or its number.
fn kind_name(kind: i32) -> String {
    MessageType::try_from(kind)
        .map_or_else(|_| kind.to_string(), |kind| kind.as_str_name().to_owned())
}

#[cfg(test)]
mod tests;
