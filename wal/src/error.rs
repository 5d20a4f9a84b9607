//! What can go wrong with a log.
use std::io;
use std::path::{Path, PathBuf};

/// A failure of the log; every variant that is about bytes names the file and the offset.
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
    /// A read or write of bytes failed.
    #[error("cannot {op} {} at offset {offset}: {source}", path.display())]
    IoAt {
        /// What was attempted, as a verb.
        op: &'static str,
        /// The segment.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// [`Wal::create`](crate::Wal::create) found a log in its place.
    #[error("{} already holds a log", dir.display())]
    AlreadyExists {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process, or another handle of this one, holds a segment.
    #[error("{} is locked by another process", path.display())]
    Locked {
        /// The segment.
        path: PathBuf,
    },
    /// No segment can hold the entries after the start, or one between is missing.
    #[error("{} has no unbroken run of segments from index {index} on", dir.display())]
    NoSegment {
        /// The directory.
        dir: PathBuf,
        /// Index of the start snapshot.
        index: u64,
    },
    /// The log ends inside a record.
    #[error("{} ends inside the record at offset {offset}: {what}", file.display())]
    UnexpectedEof {
        /// The segment.
        file: PathBuf,
        /// Where the unfinished record begins.
        offset: u64,
        /// How it was noticed.
        what: &'static str,
        /// Whether this is the newest segment, the only one a crash can leave unfinished.
        last_segment: bool,
    },
    /// A record is not what was written.
    #[error("checksum of the record at {}:{offset} is {found:08x}, the log says {expected:08x}", file.display())]
    CrcMismatch {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Checksum stored in the record.
        expected: u32,
        /// Checksum of the bytes that are there.
        found: u32,
    },
    /// A record's bytes do not form what they should.
    #[error("record at {}:{offset} is malformed: {what}", file.display())]
    Malformed {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A record of a type no version of etcd writes.
    #[error("record at {}:{offset} has the unknown type {found}", file.display())]
    UnknownRecord {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The type.
        found: i64,
    },
    /// Two segments belong to different members.
    #[error("metadata at {}:{offset} differs from that of the earlier segments", file.display())]
    MetadataConflict {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
    /// The start snapshot and the log disagree.
    #[error(
        "snapshot {index} has term {found} in the record at {}:{offset}, but {expected} in the start",
        file.display()
    )]
    SnapshotMismatch {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Index of both.
        index: u64,
        /// Term of the start snapshot.
        expected: u64,
        /// Term in the record.
        found: u64,
    },
    /// The log has no record of the start snapshot.
    #[error("{} has no record of the snapshot of term {term} at index {index}", dir.display())]
    SnapshotNotFound {
        /// The directory.
        dir: PathBuf,
        /// Index of the start snapshot.
        index: u64,
        /// Term of the start snapshot.
        term: u64,
    },
    /// An entry follows one that is missing.
    #[error(
        "entry at {}:{offset} has index {found}, but nothing after {expected} can follow here",
        file.display()
    )]
    IndexGap {
        /// The segment.
        file: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// The highest index that could follow.
        expected: u64,
        /// The index found.
        found: u64,
    },
    /// A snapshot record needs the members; only the very first, at index 0, has none.
    #[error("the record of the snapshot at index {index} needs its conf state")]
    ConfStateMissing {
        /// Index of the snapshot.
        index: u64,
    },
    /// An earlier write or sync failed; what is on disk is unknown until the log is reopened.
    #[error("{} takes no more writes since: {cause}", dir.display())]
    Poisoned {
        /// The directory.
        dir: PathBuf,
        /// The first failure.
        cause: String,
    },
}

/// Result of an operation on a log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            op,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn io_at(
        op: &'static str,
        path: &Path,
        offset: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::IoAt {
            op,
            path: path.to_path_buf(),
            offset,
            source,
        }
    }

    /// Whether a crash can have left the log like this, so that [`Wal::repair`](crate::Wal::repair)
    /// may cut the unfinished record off.
    pub fn is_repairable(&self) -> bool {
        matches!(
            self,
            Self::UnexpectedEof {
                last_segment: true,
                ..
            }
        )
    }

    /// Whether bytes of the log are not what was written.
    pub fn is_corruption(&self) -> bool {
        matches!(
            self,
            Self::UnexpectedEof {
                last_segment: false,
                ..
            } | Self::CrcMismatch { .. }
                | Self::Malformed { .. }
                | Self::UnknownRecord { .. }
                | Self::MetadataConflict { .. }
                | Self::IndexGap { .. }
        )
    }

    /// Whether the system said that a file is not there (any more).
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::IoAt { source, .. } => {
                source.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}
