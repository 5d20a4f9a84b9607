//! A log in memory: for tests, examples and simulations.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use varve_proto::raftpb::{ConfState, Entry, HardState, Snapshot};

use super::{Storage, StorageError, StorageResult};
use crate::entry::{EntryId, prefix_within};
use crate::ids::{Index, Term};
use crate::message::snapshot_id;

#[derive(Debug, Default)]
struct Log {
    hard_state: HardState,
    snapshot: Snapshot,
    /// Just before the first entry: compacted away, its term still known.
    base: EntryId,
    /// Consecutive, from `base.index + 1`.
    entries: Vec<Entry>,
}

impl Log {
    fn last_index(&self) -> Index {
        self.base.index.plus(self.entries.len() as u64)
    }

    /// Position of an index in `entries`, if it is behind the base.
    fn position(&self, index: Index) -> Option<usize> {
        let offset = index.since(self.base.index)?.checked_sub(1)?;
        usize::try_from(offset).ok()
    }

    fn term(&self, index: Index) -> StorageResult<Term> {
        if index < self.base.index {
            return Err(StorageError::Compacted);
        }
        match self.position(index) {
            None => Ok(self.base.term),
            Some(at) => self
                .entries
                .get(at)
                .map(|e| Term::new(e.term))
                .ok_or(StorageError::Unavailable),
        }
    }
}

/// A [`Storage`] in memory. Clones share one log, so the driver keeps one to write to.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    log: Arc<Mutex<Log>>,
}

impl MemoryStorage {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log whose initial configuration has these voters: how a test cluster starts.
    pub fn with_voters(voters: &[u64]) -> Self {
        let storage = Self::new();
        let conf_state = ConfState {
            voters: voters.to_vec(),
            ..ConfState::default()
        };
        storage.log().snapshot.metadata.conf_state = conf_state;
        storage
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // No method leaves the log half changed, so a panicking reader elsewhere does not matter.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves term, vote and commit.
    pub fn set_hard_state(&self, hard_state: HardState) {
        self.log().hard_state = hard_state;
    }

    /// Appends entries, replacing what was there from the first one on. Entries that are compacted
    /// away already are skipped.
    ///
    /// # Errors
    /// [`StorageError::Gap`] if they start behind the end of the log.
    pub fn append(&self, entries: &[Entry]) -> StorageResult<()> {
        let mut log = self.log();
        let base = log.base.index;
        let skip = entries
            .iter()
            .take_while(|entry| Index::new(entry.index) <= base)
            .count();
        let entries = &entries[skip..];
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let at = log.position(Index::new(first.index)).unwrap_or(0);
        if at > log.entries.len() {
            return Err(StorageError::Gap {
                last: log.last_index().get(),
                first: first.index,
            });
        }
        log.entries.truncate(at);
        log.entries.extend_from_slice(entries);
        Ok(())
    }

    /// Replaces everything by a snapshot.
    ///
    /// # Errors
    /// [`StorageError::SnapOutOfDate`] if the log holds a snapshot as recent.
    pub fn apply_snapshot(&self, snapshot: Snapshot) -> StorageResult<()> {
        let mut log = self.log();
        let present = snapshot_id(&log.snapshot).index;
        let id = snapshot_id(&snapshot);
        // Index zero is a snapshot that only carries the first configuration.
        if present != Index::ZERO && present >= id.index {
            return Err(StorageError::SnapOutOfDate);
        }
        log.snapshot = snapshot;
        log.base = id;
        log.entries.clear();
        Ok(())
    }

    /// Makes and returns the snapshot of the state after `index`, with this content. Without a
    /// configuration the one of the snapshot before stays.
    ///
    /// # Errors
    /// [`StorageError::SnapOutOfDate`] if the snapshot held is as recent,
    /// [`StorageError::Unavailable`] if `index` is behind the log, [`StorageError::Compacted`] if its
    /// term is not known any more.
    pub fn create_snapshot(
        &self,
        index: u64,
        conf_state: Option<&ConfState>,
        data: Bytes,
    ) -> StorageResult<Snapshot> {
        let mut log = self.log();
        if Index::new(index) <= snapshot_id(&log.snapshot).index {
            return Err(StorageError::SnapOutOfDate);
        }
        let term = log.term(Index::new(index))?.get();
        log.snapshot.metadata.index = index;
        log.snapshot.metadata.term = term;
        if let Some(conf_state) = conf_state {
            log.snapshot.metadata.conf_state = conf_state.clone();
        }
        log.snapshot.data = Some(data);
        Ok(log.snapshot.clone())
    }

    /// Forgets all entries up to and including `index`.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if that happened before, [`StorageError::Unavailable`] if `index`
    /// is behind the log.
    pub fn compact(&self, index: u64) -> StorageResult<()> {
        let mut log = self.log();
        let Some(at) = log.position(Index::new(index)) else {
            return Err(StorageError::Compacted);
        };
        let Some(base) = log.entries.get(at).map(EntryId::of) else {
            return Err(StorageError::Unavailable);
        };
        log.base = base;
        log.entries.drain(..=at);
        Ok(())
    }
}

impl Storage for MemoryStorage {
    fn initial_state(&self) -> StorageResult<(HardState, ConfState)> {
        let log = self.log();
        Ok((log.hard_state, log.snapshot.metadata.conf_state.clone()))
    }

    fn entries(&self, range: Range<u64>, max_size: u64) -> StorageResult<Vec<Entry>> {
        let mut out = Vec::new();
        self.entries_into(range, max_size, &mut out)?;
        Ok(out)
    }

    fn entries_into(
        &self,
        range: Range<u64>,
        max_size: u64,
        out: &mut Vec<Entry>,
    ) -> StorageResult<()> {
        let log = self.log();
        let Some(from) = log.position(Index::new(range.start)) else {
            return Err(StorageError::Compacted);
        };
        let Some(to) = log.position(Index::new(range.end)) else {
            return Err(StorageError::Compacted);
        };
        let Some(range) = log.entries.get(from..to) else {
            return Err(StorageError::Unavailable);
        };
        out.extend_from_slice(&range[..prefix_within(range, max_size)]);
        Ok(())
    }

    fn term(&self, index: u64) -> StorageResult<u64> {
        self.log().term(Index::new(index)).map(Term::get)
    }

    fn last_index(&self) -> StorageResult<u64> {
        Ok(self.log().last_index().get())
    }

    fn first_index(&self) -> StorageResult<u64> {
        Ok(self.log().base.index.next().get())
    }

    fn snapshot(&self) -> StorageResult<Snapshot> {
        Ok(self.log().snapshot.clone())
    }
}

#[cfg(test)]
mod tests;
