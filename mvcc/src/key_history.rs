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

mod packed;
#[cfg(test)]
mod tests;

pub(crate) use packed::Packed;

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

    /// Whether a compaction at `at` removes the write, being the newest one of its key up to there: a
    /// tombstone stays only when it happened at `at` itself, the rule of etcd 3.4.34, 3.5.16 and 3.6.
    pub(crate) const fn dies_as_newest(&self, at: i64) -> bool {
        self.is_tombstone() && self.revision.main < at
    }
}

/// All versions of one key, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyHistory {
    versions: Versions,
}

/// Most keys with more than one version have two.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Versions {
    Two([Packed; 2]),
    List(List),
}

/// Nearly all versions fit [`Packed`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum List {
    Packed(Vec<Packed>),
    /// As soon as one of them has numbers out of the ordinary.
    Wide(Vec<Entry>),
}

const _: () = assert!(
    size_of::<KeyHistory>() == 48,
    "the index's memory goal depends on it"
);

impl KeyHistory {
    /// A history that begins with `entry`.
    pub(crate) fn new(entry: Entry) -> Self {
        Self {
            versions: Versions::List(match Packed::of(entry) {
                Some(packed) => List::Packed(vec![packed]),
                None => List::Wide(vec![entry]),
            }),
        }
    }

    /// Two writes, in the room of two.
    pub(crate) fn of_two(first: Entry, second: Entry) -> Self {
        assert_order(first, second);
        Self {
            versions: match (Packed::of(first), Packed::of(second)) {
                (Some(first), Some(second)) => Versions::Two([first, second]),
                _ => Versions::List(List::Wide(vec![first, second])),
            },
        }
    }

    /// Number of writes remembered.
    pub(crate) fn len(&self) -> usize {
        match &self.versions {
            Versions::Two(two) => two.len(),
            Versions::List(List::Packed(list)) => list.len(),
            Versions::List(List::Wide(list)) => list.len(),
        }
    }

    /// Write `i`, counted from the oldest.
    fn entry(&self, i: usize) -> Entry {
        match &self.versions {
            Versions::Two(two) => two[i].entry(),
            Versions::List(List::Packed(list)) => list[i].entry(),
            Versions::List(List::Wide(list)) => list[i],
        }
    }

    /// All writes, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        (0..self.len()).map(|i| self.entry(i))
    }

    /// The newest write.
    pub(crate) fn last(&self) -> Entry {
        self.entry(self.len() - 1)
    }

    /// Appends a write that happened after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        assert_order(self.last(), entry);
        let packed = Packed::of(entry);
        match (&mut self.versions, packed) {
            (Versions::List(List::Packed(list)), Some(packed)) => list.push(packed),
            (Versions::List(List::Wide(list)), _) => list.push(entry),
            (Versions::Two([first, second]), Some(packed)) => {
                let mut list = Vec::with_capacity(4);
                list.extend([*first, *second, packed]);
                self.versions = Versions::List(List::Packed(list));
            }
            (_, None) => {
                let list = self.entries().chain([entry]).collect();
                self.versions = Versions::List(List::Wide(list));
            }
        }
    }

    /// Number of writes whose main revision is at most `at`.
    fn up_to(&self, at: i64) -> usize {
        match &self.versions {
            Versions::Two(two) => two.partition_point(|v| v.main() <= at),
            Versions::List(List::Packed(list)) => list.partition_point(|v| v.main() <= at),
            Versions::List(List::Wide(list)) => list.partition_point(|v| v.revision.main <= at),
        }
    }

    /// The newest write whose main revision is at most `at`.
    pub(crate) fn write_at(&self, at: i64) -> Option<Entry> {
        // Most readers want the newest.
        let last = self.last();
        if last.revision.main <= at {
            return Some(last);
        }
        self.up_to(at).checked_sub(1).map(|i| self.entry(i))
    }

    /// How many of the writes, the oldest ones, a compaction at `at` removes: of those at or before `at`
    /// all but the newest, and that one too if it [`dies`](Entry::dies_as_newest).
    pub(crate) fn dying_at(&self, at: i64) -> usize {
        let after = self.up_to(at);
        match after.checked_sub(1) {
            Some(newest) if !self.entry(newest).dies_as_newest(at) => newest,
            _ => after,
        }
    }

    /// The history without its `count` oldest writes, `None` when nothing is left.
    pub(crate) fn without_oldest(&self, count: usize) -> Option<Self> {
        let mut left = self.entries().skip(count);
        let first = left.next()?;
        let Some(second) = left.next() else {
            return Some(Self::new(first));
        };
        let mut history = Self::of_two(first, second);
        left.for_each(|entry| history.push(entry));
        Some(history)
    }

    /// Memory behind the history, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.versions {
            Versions::Two(_) => 0,
            Versions::List(List::Packed(list)) => list.capacity() * size_of::<Packed>(),
            Versions::List(List::Wide(list)) => list.capacity() * size_of::<Entry>(),
        }
    }
}

fn assert_order(first: Entry, second: Entry) {
    assert!(
        first.revision < second.revision,
        "writes of a key arrive in the order of their revisions"
    );
}
