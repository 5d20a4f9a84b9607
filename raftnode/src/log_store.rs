//! The recent part of the raft log in memory, as the consensus core reads it.
//!
//! The WAL holds the whole log; this holds what the core may still ask for: everything not yet
//! applied, and behind it a tail for followers that lag. The tail is bounded by entries *and* by bytes
//! (etcd bounds entries only, so large values make its log large).
//! Written by the raft thread; the snapshotter shortens it.
//!
//! # Invariants
//! 1. `entries` are consecutive; the first has index `base.index + 1`.
//! 2. `bytes` is the sum of [`entry_size`] over `entries`.
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;
use varve_proto::raftpb::{ConfState, Entry, HardState, Snapshot};
use varve_raft::{Storage, StorageError};

#[derive(Debug, Default)]
struct Log {
    hard_state: HardState,
    /// The snapshot that starts the log: its metadata gives index, term and configuration.
    snapshot: Snapshot,
    /// Index and term just before the first entry held.
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// A shared handle on the log.
#[derive(Clone, Debug, Default)]
pub struct LogStore {
    log: Arc<RwLock<Log>>,
}

/// Bytes an entry keeps in memory: its payload and the struct itself.
fn entry_size(entry: &Entry) -> usize {
    entry.data.as_ref().map_or(0, bytes::Bytes::len) + size_of::<Entry>()
}

impl LogStore {
    /// The log as read from disk: the snapshot it starts from, the hard state and the entries after
    /// the snapshot.
    pub fn new(snapshot: Snapshot, hard_state: HardState, entries: Vec<Entry>) -> Self {
        let store = Self::default();
        {
            let mut log = store.log.write();
            log.hard_state = hard_state;
            log.base_index = snapshot.metadata.index;
            log.base_term = snapshot.metadata.term;
            log.snapshot = snapshot;
        }
        store.append(&entries);
        store
    }

    /// Adds entries, replacing any with the same or a later index.
    pub fn append(&self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let mut log = self.log.write();
        let next = log.base_index + log.entries.len() as u64 + 1;
        assert!(
            first.index <= next,
            "entry {} would leave a gap after {}",
            first.index,
            next - 1
        );
        while log.base_index + log.entries.len() as u64 >= first.index {
            let Some(old) = log.entries.pop_back() else {
                break;
            };
            log.bytes -= entry_size(&old);
        }
        let base_index = log.base_index;
        for entry in entries.iter().filter(|e| e.index > base_index) {
            log.bytes += entry_size(entry);
            log.entries.push_back(entry.clone());
        }
    }

    /// Records the hard state that was written to the WAL.
    pub fn set_hard_state(&self, hard_state: HardState) {
        self.log.write().hard_state = hard_state;
    }

    /// Records the newest snapshot; entries stay until [`compact`](Self::compact).
    pub fn set_snapshot(&self, snapshot: Snapshot) {
        self.log.write().snapshot = snapshot;
    }

    /// Drops entries up to `applied` so that at most `keep_entries` and `keep_bytes` remain behind it.
    pub fn compact(&self, applied: u64, keep_entries: u64, keep_bytes: usize) {
        let mut log = self.log.write();
        while let Some(first) = log.entries.front() {
            let behind = applied.saturating_sub(first.index) + 1;
            let too_many = behind > keep_entries || log.bytes > keep_bytes;
            if first.index > applied || !too_many {
                break;
            }
            let (index, term, size) = (first.index, first.term, entry_size(first));
            log.entries.pop_front();
            log.bytes -= size;
            log.base_index = index;
            log.base_term = term;
        }
    }

    /// Bytes the entries keep in memory.
    pub fn bytes(&self) -> usize {
        self.log.read().bytes
    }
}

impl Storage for LogStore {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        let log = self.log.read();
        Ok((log.hard_state, log.snapshot.metadata.conf_state.clone()))
    }

    fn entries(&self, lo: u64, hi: u64, max_size: u64) -> Result<Vec<Entry>, StorageError> {
        let log = self.log.read();
        if lo <= log.base_index {
            return Err(StorageError::Compacted);
        }
        let last = log.base_index + log.entries.len() as u64;
        if hi > last + 1 {
            return Err(StorageError::Unavailable);
        }
        let skip =
            usize::try_from(lo - log.base_index - 1).map_err(|_| StorageError::Unavailable)?;
        let take = usize::try_from(hi - lo).map_err(|_| StorageError::Unavailable)?;
        let mut size = 0u64;
        let mut out = Vec::with_capacity(take.min(1024));
        for entry in log.entries.iter().skip(skip).take(take) {
            size += varve_proto::prost::Message::encoded_len(entry) as u64;
            if size > max_size && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> Result<u64, StorageError> {
        let log = self.log.read();
        if index == log.base_index {
            return Ok(log.base_term);
        }
        if index < log.base_index {
            return Err(StorageError::Compacted);
        }
        let at =
            usize::try_from(index - log.base_index - 1).map_err(|_| StorageError::Unavailable)?;
        log.entries
            .get(at)
            .map(|e| e.term)
            .ok_or(StorageError::Unavailable)
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        let log = self.log.read();
        Ok(log.base_index + log.entries.len() as u64)
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        Ok(self.log.read().base_index + 1)
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        Ok(self.log.read().snapshot.clone())
    }
}

#[cfg(test)]
mod tests;
