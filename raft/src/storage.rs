//! What the core reads from the log it does not keep itself.
//!
//! The core only reads; writing is the driver's work, on instruction of a [`crate::Ready`].

mod memory;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use varve_proto::raftpb::{ConfState, Entry, HardState, Snapshot};

pub use memory::MemoryStorage;

/// Why storage could not answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StorageError {
    /// The index lies before what is kept.
    Compacted,
    /// A snapshot at this index or a later one exists already.
    SnapOutOfDate,
    /// The index lies behind the end of the log.
    Unavailable,
    /// The snapshot is being made; ask again later.
    SnapshotTemporarilyUnavailable,
    /// Entries would leave a gap.
    Gap {
        /// Last index of the log.
        last: u64,
        /// Index of the first entry that was to be appended.
        first: u64,
    },
    /// The storage itself failed. The core stops on this one.
    Failed(Arc<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Compacted => {
                f.write_str("requested index is unavailable due to compaction")
            }
            StorageError::SnapOutOfDate => {
                f.write_str("requested index is older than the existing snapshot")
            }
            StorageError::Unavailable => f.write_str("requested entry at index is unavailable"),
            StorageError::SnapshotTemporarilyUnavailable => {
                f.write_str("snapshot is temporarily unavailable")
            }
            StorageError::Gap { last, first } => {
                write!(f, "missing log entry [last: {last}, append at: {first}]")
            }
            StorageError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StorageError::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Result of a storage operation.
pub type StorageResult<T> = Result<T, StorageError>;

/// The stable part of a node's log, and where it started.
///
/// Called on the thread that drives the core. An error other than
/// [`StorageError::Compacted`], [`StorageError::Unavailable`] and
/// [`StorageError::SnapshotTemporarilyUnavailable`] stops the node.
pub trait Storage {
    /// What was last saved of term, vote and commit (all zero if nothing was), and the configuration
    /// at the start of the log. Read once, when the node is made.
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError>;

    /// The entries with indexes in `range`, cut off before their encoded size exceeds `max_size`, but
    /// never empty.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if it begins before [`Storage::first_index`],
    /// [`StorageError::Unavailable`] if it ends behind [`Storage::last_index`].
    fn entries(&self, range: Range<u64>, max_size: u64) -> Result<Vec<Entry>, StorageError>;

    /// As [`Storage::entries`], added to `out`, which is empty: the core uses one vector again and again.
    /// Worth implementing where it saves an allocation.
    fn entries_into(
        &self,
        range: Range<u64>,
        max_size: u64,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        out.append(&mut self.entries(range, max_size)?);
        Ok(())
    }

    /// The term of an entry from the one before [`Storage::first_index`], whose term outlives it, to
    /// [`Storage::last_index`].
    ///
    /// # Errors
    /// [`StorageError::Compacted`] before and [`StorageError::Unavailable`] behind that range.
    fn term(&self, index: u64) -> Result<u64, StorageError>;

    /// Index of the last entry, or of what came before the log if it is empty.
    fn last_index(&self) -> Result<u64, StorageError>;

    /// Index of the first entry that can still be read; one past [`Storage::last_index`] if there is
    /// none.
    fn first_index(&self) -> Result<u64, StorageError>;

    /// The most recent snapshot.
    ///
    /// # Errors
    /// [`StorageError::SnapshotTemporarilyUnavailable`] if it takes a while to make one.
    fn snapshot(&self) -> Result<Snapshot, StorageError>;
}
