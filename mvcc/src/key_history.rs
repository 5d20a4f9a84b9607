//! The versions of one key that the store still remembers.
//!
//! etcd keeps a list of generations per key, each with its creation revision and a count of writes.
//! Both are facts about a single write, so they stand beside each revision here and a plain ascending
//! list does: a generation begins after a tombstone. What is found and what a compaction keeps is
//! the same (docs/formats/mvcc-keys.md, "Compaction"); `tests.rs` holds the worked tables.
//!
//! Called by the index: appended to on the apply thread, read by any thread through an index view.
//!
//! # Invariants
//!
//! 1. Revisions ascend strictly (`push` asserts it).
//! 2. The list is never empty: a key without versions leaves the index.

use crate::revision::{Revision, RowKey};

#[cfg(test)]
mod tests;

/// Marks a deletion in [`Entry::version`]; no stored record carries this number.
const TOMBSTONE: i64 = i64::MIN;

/// One version that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// When it was written.
    pub revision: Revision,
    /// Main revision of the first put of this incarnation of the key.
    pub created: i64,
    /// Number of puts since then, this one included.
    pub version: i64,
}

/// One write of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When.
    pub revision: Revision,
    created: i64,
    version: i64,
}

impl Entry {
    /// A put, as its record describes it.
    pub(crate) const fn put(revision: Revision, created: i64, version: i64) -> Self {
        Self {
            revision,
            created,
            version,
        }
    }

    /// A deletion.
    pub(crate) const fn tombstone(revision: Revision) -> Self {
        Self {
            revision,
            created: 0,
            version: TOMBSTONE,
        }
    }

    /// Whether the write deleted the key.
    pub(crate) const fn is_tombstone(&self) -> bool {
        self.version == TOMBSTONE
    }

    /// The version a reader finds, `None` after a deletion.
    pub(crate) const fn found(&self) -> Option<Found> {
        if self.is_tombstone() {
            return None;
        }
        Some(Found {
            revision: self.revision,
            created: self.created,
            version: self.version,
        })
    }

    /// The row of the `key` bucket that holds this write.
    pub(crate) const fn row(&self) -> RowKey {
        RowKey {
            revision: self.revision,
            tombstone: self.is_tombstone(),
        }
    }

    /// The put that follows this write at `revision`.
    pub(crate) const fn next_put(&self, revision: Revision) -> Self {
        if self.is_tombstone() {
            return Self::put(revision, revision.main, 1);
        }
        Self::put(revision, self.created, self.version.saturating_add(1))
    }
}

/// All versions of one key, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyHistory {
    entries: Vec<Entry>,
}

impl KeyHistory {
    /// A history that begins with `entry`.
    pub(crate) fn new(entry: Entry) -> Self {
        Self {
            entries: vec![entry],
        }
    }

    /// Two writes, in the room of two: most keys with more than one version have few.
    pub(crate) fn of_two(first: Entry, second: Entry) -> Self {
        let mut history = Self {
            entries: Vec::with_capacity(2),
        };
        history.entries.push(first);
        history.push(second);
        history
    }

    /// The newest write.
    pub(crate) fn last(&self) -> Entry {
        *self.entries.last().expect("a history is never empty")
    }

    /// The only write, if there is just one.
    pub(crate) fn single(&self) -> Option<Entry> {
        match self.entries[..] {
            [entry] => Some(entry),
            _ => None,
        }
    }

    /// Appends a write that happened after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        assert!(
            self.last().revision < entry.revision,
            "writes of a key arrive in the order of their revisions"
        );
        self.entries.push(entry);
    }

    /// The newest write whose main revision is at most `at`.
    pub(crate) fn write_at(&self, at: i64) -> Option<Entry> {
        // Most readers want the newest.
        let last = self.last();
        if last.revision.main <= at {
            return Some(last);
        }
        let after = self.entries.partition_point(|e| e.revision.main <= at);
        after.checked_sub(1).map(|i| self.entries[i])
    }

    /// Splits into what a compaction at `at` removes and what it keeps, both oldest first.
    ///
    /// Of the writes at or before `at` only the newest stays, and a tombstone only when it happened
    /// at `at` itself: the rule of etcd 3.4.34, 3.5.16 and 3.6.
    pub(crate) fn split_at_compaction(&self, at: i64) -> (&[Entry], &[Entry]) {
        let after = self.entries.partition_point(|e| e.revision.main <= at);
        let Some(newest) = after.checked_sub(1) else {
            return (&[], &self.entries);
        };
        let entry = self.entries[newest];
        let dies = entry.is_tombstone() && entry.revision.main < at;
        self.entries.split_at(if dies { after } else { newest })
    }

    /// The part of the history that begins at `kept`, `None` when nothing is left.
    pub(crate) fn from_kept(kept: &[Entry]) -> Option<Self> {
        (!kept.is_empty()).then(|| Self {
            entries: kept.to_vec(),
        })
    }

    /// Number of writes remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
