//! A member's log as far as checkers care: where it starts, and the term of each entry.

use std::fmt;

/// Names an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    /// Its term.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.term, self.index)
    }
}

/// The terms of a log, as a member handed its entries out to be written.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    base: EntryId,
    terms: Vec<u64>,
}

impl Shadow {
    /// A log behind a snapshot.
    pub fn behind(base: EntryId) -> Self {
        Self {
            base,
            terms: Vec::new(),
        }
    }

    /// The last entry, or what came before the log.
    pub fn last(&self) -> EntryId {
        let index = self.base.index + self.terms.len() as u64;
        EntryId {
            term: self.terms.last().copied().unwrap_or(self.base.term),
            index,
        }
    }

    /// The term at an index; `None` outside of the log.
    pub fn term(&self, index: u64) -> Option<u64> {
        match index.checked_sub(self.base.index)? {
            0 => Some(self.base.term),
            at => self.terms.get(usize::try_from(at - 1).ok()?).copied(),
        }
    }

    /// Puts an entry at its index and drops what was there and behind. False if that leaves a gap.
    pub fn put(&mut self, entry: EntryId) -> bool {
        let Some(at) = entry
            .index
            .checked_sub(self.base.index + 1)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|&at| at <= self.terms.len())
        else {
            return false;
        };
        self.terms.truncate(at);
        self.terms.push(entry.term);
        true
    }
}
