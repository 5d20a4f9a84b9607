//! Nodes, terms and positions of the log, as types of their own.
//!
//! raftpb writes all of them as 64-bit numbers, next to one another in one message: an index that is
//! taken for a term elects the wrong leader. Inside of the core they cannot be mixed up. The conversion is
//! at the edge: where a message, an entry or a hard state is read or made, and where the core speaks to its
//! driver (`Config`, `Status`, `Storage`), which has those same numbers from raftpb.

use std::fmt;
use std::num::NonZeroU64;

/// A member of the cluster, or one of the two local threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The node raftpb calls by this number. Zero is nobody: no leader, no vote.
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number raftpb calls it by.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The number raftpb writes for a node or nobody.
    pub const fn number(id: Option<Self>) -> u64 {
        match id {
            Some(id) => id.get(),
            None => 0,
        }
    }
}

/// In hexadecimal, as etcd's log lines and URLs have it.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// A term of office: at most one leader each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u64);

impl Term {
    /// Before the first election.
    pub const ZERO: Self = Self(0);

    /// The term of this number.
    pub const fn new(term: u64) -> Self {
        Self(term)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it; `None` at the end of numbers, which no cluster lives to see: terms from outside
    /// are below 2^63.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A position in the log. The first entry is at 1; 0 is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u64);

impl Index {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The position of this number.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one.
    ///
    /// # Panics
    /// At the end of numbers: indexes from outside are below 2^63, and nobody appends as many entries.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The position before this one; none is before 0, which is its own.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position that many entries later.
    ///
    /// # Panics
    /// As [`Index::next`].
    #[must_use]
    pub const fn plus(self, entries: u64) -> Self {
        Self(self.0 + entries)
    }

    /// How many entries it is from `earlier` to this; `None` if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
