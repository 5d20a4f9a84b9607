//! The node's log as one sequence: storage, then what is on its way there; and how far it is
//! committed and applied.

mod unstable;

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use varve_proto::raftpb::{Entry, Snapshot};

use crate::entry::{EntryId, encoded_size_of, prefix_within};
use crate::error::Error;
use crate::ids::{Index, Term};
use crate::logger::Logger;
use crate::message::snapshot_id;
use crate::storage::{Storage, StorageError, StorageResult};
use unstable::Unstable;

/// The log.
///
/// # Invariants
/// 1. `applied <= applying <= committed <= last_index()`.
/// 2. Committed entries are never replaced ([`Error::CommittedConflict`]).
/// 3. `applying_size` is what was handed out to be applied and not reported back, and no more is handed
///    out while `applying_paused`.
#[derive(Debug)]
pub(crate) struct RaftLog<S> {
    pub(crate) storage: S,
    unstable: Unstable,
    committed: Index,
    applying: Index,
    applied: Index,
    max_applying_size: u64,
    applying_size: u64,
    applying_paused: bool,
    logger: Arc<dyn Logger>,
}

impl<S: Storage> RaftLog<S> {
    /// The log in `storage`, with everything before its first entry committed and applied.
    pub(crate) fn new(
        storage: S,
        max_applying_size: u64,
        logger: Arc<dyn Logger>,
    ) -> StorageResult<Self> {
        let before_first = Index::new(storage.first_index()?).before();
        let last = Index::new(storage.last_index()?);
        Ok(Self {
            storage,
            unstable: Unstable::new(last.next(), Arc::clone(&logger)),
            committed: before_first,
            applying: before_first,
            applied: before_first,
            max_applying_size,
            applying_size: 0,
            applying_paused: false,
            logger,
        })
    }

    pub(crate) fn committed(&self) -> Index {
        self.committed
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    pub(crate) fn max_applying_size(&self) -> u64 {
        self.max_applying_size
    }

    /// Takes over what the hard state says is committed.
    ///
    /// It may say less than the start of the log implies: a commit index is saved without an fsync, and
    /// with asynchronous writes entries can be applied, and be part of a snapshot, before it is saved at
    /// all. A snapshot is of committed state only, so its word counts. (etcd refuses to start here.)
    pub(crate) fn load_committed(&mut self, committed: Index) -> Result<(), Error> {
        let last = self.last_index();
        if committed > last {
            return Err(Error::HardStateOutOfRange {
                commit: committed.get(),
                last: last.get(),
            });
        }
        self.committed = self.committed.max(committed);
        Ok(())
    }

    // ---- positions ----

    pub(crate) fn first_index(&self) -> StorageResult<Index> {
        match self.unstable.snapshot_id() {
            Some(id) => Ok(id.index.next()),
            None => self.storage.first_index().map(Index::new),
        }
    }

    pub(crate) fn last_index(&self) -> Index {
        self.unstable.last_index()
    }

    pub(crate) fn last_id(&self) -> StorageResult<EntryId> {
        let index = self.last_index();
        Ok(EntryId {
            term: self.term(index)?,
            index,
        })
    }

    /// The term of an entry, or of what came just before the first one.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] or [`StorageError::Unavailable`] outside of that range.
    pub(crate) fn term(&self, index: Index) -> StorageResult<Term> {
        if let Some(term) = self.unstable.term(index) {
            return Ok(term);
        }
        if index > self.last_index() {
            return Err(StorageError::Unavailable);
        }
        match self.unstable.snapshot_id() {
            // Storage may still have older entries, which the snapshot made void.
            Some(_) => Err(StorageError::Compacted),
            None => self.storage.term(index.get()).map(Term::new),
        }
    }

    /// The term of an entry; `None` if it is not in the log.
    pub(crate) fn known_term(&self, index: Index) -> StorageResult<Option<Term>> {
        match self.term(index) {
            Ok(term) => Ok(Some(term)),
            Err(StorageError::Compacted | StorageError::Unavailable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn matches(&self, id: EntryId) -> StorageResult<bool> {
        Ok(self.known_term(id.index)? == Some(id.term))
    }

    /// Whether a log that ends like this has all that this one is sure to need to keep: a later last
    /// term wins, then the longer log.
    pub(crate) fn is_up_to_date(&self, theirs: EntryId) -> StorageResult<bool> {
        let ours = self.last_id()?;
        Ok((theirs.term, theirs.index) >= (ours.term, ours.index))
    }

    // ---- growth ----

    /// Adds what a leader sent after `previous`, and takes over its commit index as far as these
    /// entries vouch for it. Returns the last index they reach, or `None` if the log does not have
    /// `previous`.
    ///
    /// Entries that are there already stay: a delayed message must not cut off what came after it. Of
    /// `entries` those are taken that are not.
    pub(crate) fn maybe_append(
        &mut self,
        previous: EntryId,
        entries: &mut Vec<Entry>,
        leader_commit: Index,
    ) -> Result<Option<Index>, Error> {
        if !self.matches(previous)? {
            return Ok(None);
        }
        let last_new = previous.index.plus(entries.len() as u64);
        if let Some(at) = self.find_conflict(entries)? {
            let index = Index::new(entries[at].index);
            if index <= self.committed {
                return Err(Error::CommittedConflict {
                    index: index.get(),
                    committed: self.committed.get(),
                });
            }
            entries.drain(..at);
            self.append(entries);
        }
        self.commit_to(leader_commit.min(last_new))?;
        Ok(Some(last_new))
    }

    /// Position of the first entry that this log does not have.
    fn find_conflict(&self, entries: &[Entry]) -> StorageResult<Option<usize>> {
        for (at, entry) in entries.iter().enumerate() {
            let id = EntryId::of(entry);
            let known = self.known_term(id.index)?;
            if known != Some(id.term) {
                if id.index <= self.last_index() {
                    self.logger.info(format_args!(
                        "found conflict at index {} [existing term: {}, conflicting term: {}]",
                        id.index,
                        known.unwrap_or(Term::ZERO),
                        id.term
                    ));
                }
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Takes entries behind the committed ones, replacing what is there from the first one on. Returns
    /// where the log ends now.
    pub(crate) fn append(&mut self, entries: &mut Vec<Entry>) -> Index {
        if let Some(first) = entries.first() {
            let first = Index::new(first.index);
            assert!(
                first > self.committed && first <= self.last_index().next(),
                "entries are appended behind what is committed and without a gap"
            );
            self.unstable.truncate_and_append(entries);
        }
        self.last_index()
    }

    /// Where this log may end to match another, of which one entry's position is known: the highest
    /// index up to the one of `id` whose term is at most that of `id`, and its term; term 0 if that is
    /// unknown.
    ///
    /// Every index skipped has a term the other log cannot have there, so each answer to a refused
    /// append skips whole terms instead of single entries.
    pub(crate) fn find_conflict_by_term(&self, id: EntryId) -> StorageResult<EntryId> {
        let mut index = id.index;
        while index > Index::ZERO {
            match self.known_term(index)? {
                None => {
                    let term = Term::ZERO;
                    return Ok(EntryId { term, index });
                }
                Some(term) if term <= id.term => return Ok(EntryId { term, index }),
                Some(_) => index = index.before(),
            }
        }
        Ok(EntryId::default())
    }

    /// Commits up to `index`, if that is news. Commit never goes back.
    pub(crate) fn commit_to(&mut self, index: Index) -> Result<(), Error> {
        if index > self.committed {
            let last_index = self.last_index();
            if index > last_index {
                return Err(Error::CommitOutOfRange {
                    commit: index.get(),
                    last_index: last_index.get(),
                });
            }
            self.committed = index;
        }
        Ok(())
    }

    /// Commits up to an index that a quorum has, if its entry is of this term (Raft, 5.4.2: entries of
    /// earlier terms are committed only along with one of the present). Returns whether that was news.
    pub(crate) fn maybe_commit(&mut self, id: EntryId) -> Result<bool, Error> {
        if id.term == Term::ZERO || id.index <= self.committed || !self.matches(id)? {
            return Ok(false);
        }
        self.commit_to(id.index)?;
        Ok(true)
    }

    /// Starts over behind a snapshot.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        let EntryId { term, index } = snapshot_id(&snapshot);
        self.logger.info(format_args!(
            "log [{self}] starts to restore snapshot [index: {index}, term: {term}]"
        ));
        self.committed = index;
        self.unstable.restore(snapshot);
    }

    // ---- hand-over to storage ----

    pub(crate) fn next_unstable_entries(&self) -> &[Entry] {
        self.unstable.next_entries()
    }

    pub(crate) fn next_unstable_snapshot(&self) -> Option<&Snapshot> {
        self.unstable.next_snapshot()
    }

    /// Whether entries are still to be written, or being written.
    pub(crate) fn has_unstable_entries(&self) -> bool {
        self.unstable.len() > 0
    }

    /// Whether a snapshot is still to be saved and applied, or that is under way.
    pub(crate) fn has_unstable_snapshot(&self) -> bool {
        self.unstable.snapshot().is_some()
    }

    pub(crate) fn accept_unstable(&mut self) {
        self.unstable.accept_in_progress();
    }

    pub(crate) fn stable_to(&mut self, id: EntryId) {
        self.unstable.stable_to(id);
    }

    pub(crate) fn stable_snapshot_to(&mut self, index: Index) {
        self.unstable.stable_snapshot_to(index);
    }

    // ---- hand-over to the application ----

    /// Range of indexes that may be applied now. Entries that this node has not made durable may be
    /// applied only if `allow_unstable`.
    fn appliable(&self, allow_unstable: bool) -> Range<Index> {
        // A snapshot must be applied before anything that follows it.
        if self.applying_paused || self.has_unstable_snapshot() {
            return Index::ZERO..Index::ZERO;
        }
        self.applying.next()..self.max_appliable(allow_unstable).next()
    }

    fn max_appliable(&self, allow_unstable: bool) -> Index {
        if allow_unstable {
            self.committed
        } else {
            self.committed.min(self.unstable.offset().before())
        }
    }

    pub(crate) fn has_next_committed(&self, allow_unstable: bool) -> bool {
        !self.appliable(allow_unstable).is_empty()
    }

    /// The next committed entries to apply, within the limit on what is being applied.
    pub(crate) fn next_committed(
        &self,
        allow_unstable: bool,
        out: &mut Vec<Entry>,
    ) -> StorageResult<()> {
        let range = self.appliable(allow_unstable);
        if range.is_empty() {
            return Ok(());
        }
        // Not paused, so there is room left.
        self.slice(range, self.max_applying_size - self.applying_size, out)
    }

    /// The entries up to `last`, of this encoded size, were handed out to be applied.
    pub(crate) fn accept_applying(&mut self, last: Index, size: u64, allow_unstable: bool) {
        assert!(
            last <= self.committed,
            "only committed entries are handed out"
        );
        self.applying = last;
        self.applying_size = self.applying_size.saturating_add(size);
        // Having stopped short of what may be applied means that the next entry did not fit.
        self.applying_paused = self.applying_size >= self.max_applying_size
            || last < self.max_appliable(allow_unstable);
    }

    /// Everything up to `index` was applied, the last part of it with this encoded size.
    pub(crate) fn applied_to(&mut self, index: Index, size: u64) -> Result<(), Error> {
        if index > self.committed || index < self.applied {
            return Err(Error::AppliedOutOfRange {
                applied: index.get(),
                previous: self.applied.get(),
                committed: self.committed.get(),
            });
        }
        self.applied = index;
        self.applying = self.applying.max(index);
        self.applying_size = self.applying_size.saturating_sub(size);
        self.applying_paused = self.applying_size >= self.max_applying_size;
        Ok(())
    }

    // ---- reading ----

    pub(crate) fn snapshot(&self) -> StorageResult<Snapshot> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.storage.snapshot(),
        }
    }

    /// The entries from `from` to the end, cut off at `max_size` encoded bytes.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if `from` is not in the log any more.
    pub(crate) fn entries(
        &self,
        from: Index,
        max_size: u64,
        out: &mut Vec<Entry>,
    ) -> StorageResult<()> {
        if from > self.last_index() {
            return Ok(());
        }
        self.slice(from..self.last_index().next(), max_size, out)
    }

    /// Hands the entries of `range` to `visit` in portions of `page_size` encoded bytes, until it
    /// breaks.
    pub(crate) fn scan(
        &self,
        mut range: Range<Index>,
        page_size: u64,
        mut visit: impl FnMut(&[Entry]) -> ControlFlow<()>,
    ) -> StorageResult<()> {
        let mut page = Vec::new();
        while !range.is_empty() {
            page.clear();
            self.slice(range.clone(), page_size, &mut page)?;
            if page.is_empty() {
                return Err(StorageError::Unavailable);
            }
            if visit(&page).is_break() {
                break;
            }
            range.start = range.start.plus(page.len() as u64);
        }
        Ok(())
    }

    /// The entries of `range`, cut off at `max_size` encoded bytes, one at least, into an empty vector.
    fn slice(&self, range: Range<Index>, max_size: u64, out: &mut Vec<Entry>) -> StorageResult<()> {
        if range.is_empty() {
            return Ok(());
        }
        let Range { start: lo, end: hi } = range;
        if lo < self.first_index()? {
            return Err(StorageError::Compacted);
        }
        if hi > self.last_index().next() {
            return Err(StorageError::Unavailable);
        }
        let offset = self.unstable.offset();
        if lo >= offset {
            let held = self.unstable.slice(lo..hi);
            out.extend_from_slice(&held[..prefix_within(held, max_size)]);
            return Ok(());
        }
        let cut = hi.min(offset);
        self.storage
            .entries_into(lo.get()..cut.get(), max_size, out)?;
        // Fewer than asked for: the next one did not fit.
        if hi <= offset || lo.plus(out.len() as u64) < cut {
            return Ok(());
        }
        let size = encoded_size_of(out);
        if size < max_size {
            let held = self.unstable.slice(offset..hi);
            let room = max_size - size;
            let fit = prefix_within(held, room);
            // A single entry is returned whatever its size, which is not wanted here.
            if fit > 1 || encoded_size_of(&held[..fit]) <= room {
                out.extend_from_slice(&held[..fit]);
            }
        }
        Ok(())
    }
}

impl<S> fmt::Display for RaftLog<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed={}, applied={}, applying={}, unstable.offset={}, unstable.offsetInProgress={}, \
             len(unstable.Entries)={}",
            self.committed,
            self.applied,
            self.applying,
            self.unstable.offset(),
            self.unstable.in_progress(),
            self.unstable.len()
        )
    }
}

#[cfg(test)]
mod tests;
