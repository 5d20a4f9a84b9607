//! What the tree keeps for a key: one packed version, or a history shared by all snapshots.
//!
//! Most keys have a single version; it lies in the leaf, in 24 bytes. A second write moves the key to
//! a [`History`] on the heap, and a compaction that leaves one version moves it back.
//!
//! A history is appended to in place and not copied: a snapshot asks for revisions up to its own, so
//! what is appended later does not concern it. A compaction makes a new history and leaves the old
//! one to the snapshots that hold it.

use std::num::NonZeroI64;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::key_history::{Entry, Found, KeyHistory};
use crate::revision::Revision;

/// Versions of one key.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// One put.
    One(One),
    /// More than one version, or something that does not fit [`One`].
    Many(Arc<History>),
}

const _: () = assert!(
    size_of::<Slot>() == 24,
    "the index's memory goal depends on it"
);

/// A put whose numbers are of everyday size.
#[derive(Clone, Copy, Debug)]
pub(super) struct One {
    main: NonZeroI64,
    created: i64,
    sub: u32,
    version: u32,
}

/// The versions of a key that has several.
#[derive(Debug)]
pub(super) struct History {
    /// Shared with the queue of superseded revisions.
    pub key: Arc<[u8]>,
    /// Held for one push or one search at a time.
    pub versions: Mutex<KeyHistory>,
}

impl One {
    fn pack(entry: Entry) -> Option<Self> {
        let found = entry.found()?;
        Some(Self {
            main: NonZeroI64::new(found.revision.main)?,
            created: found.created,
            sub: u32::try_from(found.revision.sub).ok()?,
            version: u32::try_from(found.version).ok()?,
        })
    }

    pub(super) fn entry(self) -> Entry {
        let revision = Revision::new(self.main.get(), i64::from(self.sub));
        Entry::put(revision, self.created, i64::from(self.version))
    }
}

impl Slot {
    /// The smallest form of a key with the single version `entry`.
    pub(super) fn of(key: &[u8], entry: Entry) -> Self {
        match One::pack(entry) {
            Some(one) => Self::One(one),
            None => Self::many(key.into(), KeyHistory::new(entry)),
        }
    }

    pub(super) fn many(key: Arc<[u8]>, versions: KeyHistory) -> Self {
        Self::Many(Arc::new(History {
            key,
            versions: Mutex::new(versions),
        }))
    }

    /// The newest write.
    pub(super) fn last(&self) -> Entry {
        match self {
            Self::One(one) => one.entry(),
            Self::Many(history) => history.versions.lock().last(),
        }
    }

    /// The newest write whose main revision is at most `at`.
    pub(super) fn write_at(&self, at: i64) -> Option<Entry> {
        match self {
            Self::One(one) => (one.main.get() <= at).then(|| one.entry()),
            Self::Many(history) => history.versions.lock().write_at(at),
        }
    }

    /// The version visible at main revision `at`.
    pub(super) fn get(&self, at: i64) -> Option<Found> {
        self.write_at(at)?.found()
    }
}
