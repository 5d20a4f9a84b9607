//! Shape of the generated table. Only what is newer than 3.0, or leads to it, is in it.

use std::fmt;

/// A minor release of etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u8,
    minor: u8,
}

impl Release {
    /// Release `major.minor`.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// The number before the point.
    pub const fn major(self) -> u8 {
        self.major
    }

    /// The number behind it.
    pub const fn minor(self) -> u8 {
        self.minor
    }

    /// Reads `X.Y` or `X.Y.Z`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(text).ok()?.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) since: Release,
    pub(super) fields: &'static [Field],
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) since: Release,
    pub(super) kind: Kind,
}

/// What a field holds; the numbers are places in the table.
#[derive(Debug)]
pub(super) enum Kind {
    Plain,
    Message(usize),
    Enum(usize),
}

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) since: Release,
    /// Values that came later than the enum.
    pub(super) values: &'static [(u64, Release)],
}
