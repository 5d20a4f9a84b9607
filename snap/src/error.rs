//! What can go wrong with snapshots.
use std::io;
use std::path::{Path, PathBuf};

/// A failure of the snapshot directory; what is about bytes names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is empty, or lacks its checksum or its data.
    #[error("{} is no snapshot: {what}", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The data is not what was written.
    #[error("checksum of the data of {} is {found:08x}, the file says {expected:08x}", file.display())]
    CrcMismatch {
        /// The file.
        file: PathBuf,
        /// Checksum stored in the file.
        expected: u32,
        /// Checksum of the data that is there.
        found: u32,
    },
    /// The bytes do not form the message they should.
    #[error("{} does not hold a {message}: {source}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Name of the message.
        message: &'static str,
        /// What the decoder met.
        source: prost::DecodeError,
    },
    /// The file holds another snapshot than its name says.
    #[error(
        "{} holds the snapshot of term {found_term} at index {found_index}",
        file.display()
    )]
    Misnamed {
        /// The file.
        file: PathBuf,
        /// Term within.
        found_term: u64,
        /// Index within.
        found_index: u64,
    },
}

/// Result of an operation on snapshots.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            op,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the file's bytes, not the system, are at fault.
    pub fn is_corruption(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}
