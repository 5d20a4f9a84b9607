//! Which etcd release this member declares itself to be.
//!
//! Chosen once by `--compat-version`; read by everything that prints a version, picks a default that
//! changed between releases or answers with a field that only the newer release has.

use std::fmt;

/// The release line whose behaviour, defaults and version strings this member shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CompatVersion {
    /// etcd 3.5.
    V35,
    /// etcd 3.6, the default.
    #[default]
    V36,
}

impl CompatVersion {
    /// The server version we report: the newest patch release whose behaviour we follow.
    pub const fn server_version(self) -> &'static str {
        match self {
            Self::V35 => "3.5.30",
            Self::V36 => "3.6.14",
        }
    }

    /// The cluster version such a member proposes when it leads a cluster of its own kind.
    pub const fn cluster_version(self) -> &'static str {
        match self {
            Self::V35 => "3.5.0",
            Self::V36 => "3.6.0",
        }
    }

    /// The storage schema version kept in the backend; etcd 3.5 has none.
    pub const fn storage_version(self) -> Option<&'static str> {
        match self {
            Self::V35 => None,
            Self::V36 => Some("3.6.0"),
        }
    }

    /// Applied entries between two raft snapshots where `--snapshot-count` is not given.
    pub const fn default_snapshot_count(self) -> u64 {
        match self {
            Self::V35 => 100_000,
            Self::V36 => 10_000,
        }
    }

    /// Whether answers carry what etcd 3.6 added (storage version, quota and downgrade in Status,
    /// `hash_revision`, the snapshot's version, `storage` in `/version`).
    pub const fn has_36_fields(self) -> bool {
        matches!(self, Self::V36)
    }

    /// Reads the value of `--compat-version`.
    pub(crate) fn from_flag(text: &str) -> Result<Self, String> {
        match text {
            "3.5" => Ok(Self::V35),
            "3.6" => Ok(Self::V36),
            other => Err(format!("expected 3.5 or 3.6, found {other:?}")),
        }
    }
}

impl fmt::Display for CompatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V35 => "3.5",
            Self::V36 => "3.6",
        })
    }
}
