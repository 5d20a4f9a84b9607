//! What the tree keeps for a key: one packed version, or a history shared by all snapshots.
//!
//! Most keys have a single version; it lies in the leaf, in 24 bytes. A second write moves the key to
//! a history on the heap, and a compaction that leaves one version moves it back.
//!
//! A history is appended to in place and not copied: a snapshot asks for revisions up to its own, so
//! what is appended later does not concern it. A compaction makes a new history and leaves the old
//! one to the snapshots that hold it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::key_history::{Entry, Found, KeyHistory, Packed};
use crate::revision::RowKey;

/// Versions of one key.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// One write.
    One(Packed),
    /// More than one, or one that cannot be packed. The lock is held for one push or one search at a time.
    Many(Arc<Mutex<KeyHistory>>),
}

const _: () = assert!(
    size_of::<Slot>() == 24,
    "the index's memory goal depends on it"
);

impl Slot {
    /// The smallest form of a key with the single version `entry`.
    pub(super) fn of(entry: Entry) -> Self {
        match Packed::of(entry) {
            Some(one) => Self::One(one),
            None => Self::many(KeyHistory::new(entry)),
        }
    }

    pub(super) fn many(versions: KeyHistory) -> Self {
        Self::Many(Arc::new(Mutex::new(versions)))
    }

    /// What becomes of a slot (or of nothing) when at least one newer write is added.
    pub(super) fn with(was: Option<&Self>, mut newer: impl Iterator<Item = Entry>) -> Self {
        let mut next = || newer.next();
        let first = match was {
            Some(Self::Many(history)) => {
                let mut versions = history.lock();
                while let Some(entry) = next() {
                    versions.push(entry);
                }
                return Self::Many(Arc::clone(history));
            }
            Some(Self::One(one)) => one.entry(),
            None => next().expect("the caller has one"),
        };
        let Some(second) = next() else {
            return Self::of(first);
        };
        let mut versions = KeyHistory::of_two(first, second);
        while let Some(entry) = next() {
            versions.push(entry);
        }
        Self::many(versions)
    }

    /// The newest write whose main revision is at most `at`.
    pub(super) fn write_at(&self, at: i64) -> Option<Entry> {
        match self {
            Self::One(one) => (one.main() <= at).then(|| one.entry()),
            Self::Many(history) => history.lock().write_at(at),
        }
    }

    /// The version visible at main revision `at`.
    pub(super) fn get(&self, at: i64) -> Option<Found> {
        self.write_at(at)?.found()
    }

    /// Adds what a compaction at `at` removes to `dead`. What is left of the slot, and whether that is less
    /// than before.
    pub(super) fn compacted(&self, at: i64, dead: &mut Vec<RowKey>) -> Compacted {
        match self {
            Self::One(one) if one.entry().dies_as_newest(at) => {
                dead.push(one.entry().row());
                Compacted::Gone
            }
            Self::One(_) => Compacted::Same,
            Self::Many(history) => {
                let versions = history.lock();
                let dying = versions.dying_at(at);
                if dying == 0 {
                    return Compacted::Same;
                }
                dead.extend(versions.entries().take(dying).map(|entry| entry.row()));
                match versions.without_oldest(dying) {
                    None => Compacted::Gone,
                    Some(left) if left.len() == 1 => Compacted::Left(Self::of(left.last())),
                    Some(left) => Compacted::Left(Self::many(left)),
                }
            }
        }
    }

    /// Memory behind the slot, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            // Two reference counts stand before the history.
            Self::Many(history) => {
                2 * size_of::<usize>()
                    + size_of::<Mutex<KeyHistory>>()
                    + history.lock().heap_bytes()
            }
        }
    }
}

/// What a compaction leaves of a slot.
pub(super) enum Compacted {
    /// Everything.
    Same,
    /// Nothing: the key leaves the index.
    Gone,
    Left(Slot),
}
