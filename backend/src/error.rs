//! The one error of this crate, and of every engine behind its trait.
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why an engine or the write-behind batch refused. Cheap to clone, because one failed commit is
/// reported to everybody who waits for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(#[source] Arc<ErrorKind>);

/// What happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused an operation on a file.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb ("read", "sync").
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes of a file are not what its format demands.
    #[error("{}: {what} at offset {offset}: expected {expected}, found {found}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// The structure that is wrong.
        what: &'static str,
        /// What the format demands.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Another process or handle has the file.
    #[error("{}: locked by another handle", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed; nothing is written any more until the engine is opened again.
    #[error("refused after an earlier failure: {first}")]
    Poisoned {
        /// The failure that came first.
        first: Error,
    },
    /// The engine or backend was closed.
    #[error("closed")]
    Closed,
    /// The batch was dropped because another engine took the place of this one.
    #[error("dropped: another engine was put in place before this batch was committed")]
    Superseded,
    /// The engine was opened for reading only.
    #[error("{}: opened read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The caller asked for something the contract excludes; nothing was written.
    #[error("invalid input: {what}")]
    Invalid {
        /// What was wrong, with the numbers.
        what: String,
    },
    /// The engine cannot do this.
    #[error("not supported by this engine: {what}")]
    Unsupported {
        /// The operation.
        what: &'static str,
    },
    /// A failure only the engine itself can describe.
    #[error("{0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// An input/output failure.
    pub fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        ErrorKind::Io {
            op,
            path: path.into(),
            source,
        }
        .into()
    }

    /// A violation of the contract by the caller.
    pub fn invalid(what: impl Into<String>) -> Self {
        ErrorKind::Invalid { what: what.into() }.into()
    }

    /// Whether stored bytes were found damaged.
    pub fn is_corruption(&self) -> bool {
        match self.kind() {
            ErrorKind::Corrupt { .. } => true,
            ErrorKind::Poisoned { first } => first.is_corruption(),
            _ => false,
        }
    }

    /// Whether this is (or follows) an input/output failure.
    pub fn is_io(&self) -> bool {
        match self.kind() {
            ErrorKind::Io { .. } => true,
            ErrorKind::Poisoned { first } => first.is_io(),
            _ => false,
        }
    }

    /// Whether the operation was refused because an earlier one failed.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.kind(), ErrorKind::Poisoned { .. })
    }

    /// Whether the engine or backend was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.kind(), ErrorKind::Closed)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Arc::new(kind))
    }
}
