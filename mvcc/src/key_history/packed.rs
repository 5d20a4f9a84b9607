//! A write whose numbers are of everyday size, in 24 bytes.

use std::num::NonZeroI64;

use super::Entry;
use crate::revision::Revision;

/// Marks a deletion in [`Packed::version`]; a put of this version is not packed.
const TOMBSTONE: u32 = u32::MAX;

/// An [`Entry`] that fits: its main revision is not 0, and sub revision and version have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    main: NonZeroI64,
    created: i64,
    sub: u32,
    version: u32,
}

impl Packed {
    /// The entry packed, if it fits.
    pub(crate) fn of(entry: Entry) -> Option<Self> {
        let Revision { main, sub } = entry.revision;
        let (created, version) = match entry.found() {
            Some(found) => (found.created, u32::try_from(found.version).ok()?),
            None => (0, TOMBSTONE),
        };
        if version == TOMBSTONE && !entry.is_tombstone() {
            return None;
        }
        Some(Self {
            main: NonZeroI64::new(main)?,
            created,
            sub: u32::try_from(sub).ok()?,
            version,
        })
    }

    /// The entry that was packed.
    pub(crate) fn entry(self) -> Entry {
        let revision = Revision::new(self.main.get(), i64::from(self.sub));
        match self.version {
            TOMBSTONE => Entry::tombstone(revision),
            version => Entry::put(revision, self.created, i64::from(version)),
        }
    }

    /// Main revision of the write.
    pub(crate) fn main(self) -> i64 {
        self.main.get()
    }
}
