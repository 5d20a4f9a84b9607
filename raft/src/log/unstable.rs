//! The end of the log that storage does not have yet, or not for certain.

use std::ops::Range;
use std::sync::Arc;

use varve_proto::raftpb::{Entry, Snapshot};

use crate::entry::EntryId;
use crate::ids::{Index, Term};
use crate::logger::Logger;
use crate::message::snapshot_id;

/// Entries, and perhaps a snapshot, on their way to storage.
///
/// They are held until the write is known to be complete, and until then this and not storage answers
/// for them: storage may still hold what they replace.
///
/// # Invariants
/// 1. `entries[i]` has index `offset + i`.
/// 2. `offset <= in_progress <= offset + entries.len()`; entries before `in_progress` were handed out.
/// 3. A pending snapshot has index `offset - 1` or lower.
/// 4. The log ends at `offset + entries.len() - 1`, also when both are empty.
#[derive(Debug)]
pub(super) struct Unstable {
    snapshot: Option<Snapshot>,
    snapshot_in_progress: bool,
    entries: Vec<Entry>,
    offset: Index,
    in_progress: Index,
    logger: Arc<dyn Logger>,
}

/// Where the entry at an index is in a vector that begins with the one at `first`.
fn position(index: Index, first: Index) -> usize {
    index
        .since(first)
        .and_then(|difference| usize::try_from(difference).ok())
        .expect("callers ask for what is held, and that fits usize")
}

impl Unstable {
    pub(super) fn new(offset: Index, logger: Arc<dyn Logger>) -> Self {
        Self {
            snapshot: None,
            snapshot_in_progress: false,
            entries: Vec::new(),
            offset,
            in_progress: offset,
            logger,
        }
    }

    pub(super) fn offset(&self) -> Index {
        self.offset
    }

    pub(super) fn in_progress(&self) -> Index {
        self.in_progress
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn last_index(&self) -> Index {
        self.end().before()
    }

    /// One past the last entry.
    fn end(&self) -> Index {
        self.offset.plus(self.entries.len() as u64)
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Index and term of the pending snapshot.
    pub(super) fn snapshot_id(&self) -> Option<EntryId> {
        self.snapshot.as_ref().map(snapshot_id)
    }

    /// The term of an entry held here, or of the pending snapshot.
    pub(super) fn term(&self, index: Index) -> Option<Term> {
        match index.since(self.offset) {
            Some(at) => self
                .entries
                .get(usize::try_from(at).ok()?)
                .map(|entry| Term::new(entry.term)),
            None => self
                .snapshot_id()
                .filter(|id| id.index == index)
                .map(|id| id.term),
        }
    }

    /// Entries not handed out yet.
    pub(super) fn next_entries(&self) -> &[Entry] {
        &self.entries[position(self.in_progress, self.offset)..]
    }

    /// The snapshot, if it was not handed out yet.
    pub(super) fn next_snapshot(&self) -> Option<&Snapshot> {
        if self.snapshot_in_progress {
            None
        } else {
            self.snapshot.as_ref()
        }
    }

    /// Everything held was handed out now.
    pub(super) fn accept_in_progress(&mut self) {
        self.in_progress = self.end();
        self.snapshot_in_progress = self.snapshot.is_some();
    }

    /// Storage has the log up to `id`, and no write under way will take it back: drop that much.
    ///
    /// Out-of-date news is ignored: the entries may have been replaced since their write began.
    pub(super) fn stable_to(&mut self, id: EntryId) {
        let EntryId { term, index } = id;
        let Some(held) = self.term(index) else {
            self.logger.info(format_args!(
                "entry at index {index} missing from unstable log; ignoring"
            ));
            return;
        };
        if index < self.offset {
            self.logger.info(format_args!(
                "entry at index {index} matched unstable snapshot; ignoring"
            ));
            return;
        }
        if held != term {
            self.logger.info(format_args!(
                "entry at (index,term)=({index},{term}) mismatched with entry at ({index},{held}) \
                 in unstable log; ignoring"
            ));
            return;
        }
        self.entries.drain(..=position(index, self.offset));
        self.offset = index.next();
        self.in_progress = self.in_progress.max(self.offset);
    }

    /// Storage has the snapshot with this index.
    pub(super) fn stable_snapshot_to(&mut self, index: Index) {
        if self.snapshot_id().is_some_and(|id| id.index == index) {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    /// Starts over behind a snapshot.
    pub(super) fn restore(&mut self, snapshot: Snapshot) {
        self.offset = snapshot_id(&snapshot).index.next();
        self.in_progress = self.offset;
        self.entries.clear();
        self.snapshot = Some(snapshot);
        self.snapshot_in_progress = false;
    }

    /// Takes entries, which replace what is held from the first one on. They are not empty and start no
    /// later than the log ends.
    pub(super) fn truncate_and_append(&mut self, entries: &mut Vec<Entry>) {
        let first = entries
            .first()
            .map_or(self.offset, |entry| Index::new(entry.index));
        if first == self.end() {
            self.entries.append(entries);
        } else if first <= self.offset {
            self.logger.info(format_args!(
                "replace the unstable entries from index {first}"
            ));
            // What storage has from here on becomes void; writing these will overwrite it.
            self.entries.clear();
            self.entries.append(entries);
            self.offset = first;
            self.in_progress = first;
        } else {
            self.logger.info(format_args!(
                "truncate the unstable entries before index {first}"
            ));
            self.entries.truncate(position(first, self.offset));
            self.entries.append(entries);
            self.in_progress = self.in_progress.min(first);
        }
    }

    /// The entries in `range`, which are all held here.
    pub(super) fn slice(&self, range: Range<Index>) -> &[Entry] {
        &self.entries[position(range.start, self.offset)..position(range.end, self.offset)]
    }
}

#[cfg(test)]
mod tests;
