//! The raft log as the consensus core reads it: the recent part in memory, the rest in the WAL.
//!
//! Memory holds everything not yet applied, and behind it a tail for followers that lag, bounded by bytes
//! (etcd bounds it by entries, so large values make its log large). Entries before that tail, as far as
//! the WAL keeps them for followers, are read back from there.
//! Written by whoever writes the WAL; the raft thread shortens it.
//!
//! # Invariants
//! 1. `entries` are consecutive; the first has index `base + 1`.
//! 2. `floor <= base`; the WAL has every entry behind `floor`, and `terms` the term of each from `floor` on.
//! 3. `bytes` is the sum of [`entry_size`] over `entries`.
use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::{Mutex, RwLock};
use varve_proto::raftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use varve_raft::{Storage, StorageError};
use varve_vfs::DynFs;

mod terms;
mod wal_tail;

use terms::Terms;
use wal_tail::WalTail;

#[derive(Debug, Default)]
struct Log {
    hard_state: HardState,
    /// The newest snapshot: its metadata gives index, term and configuration.
    snapshot: Snapshot,
    /// The log begins behind this index.
    floor: u64,
    /// Index just before the first entry in memory.
    base: u64,
    terms: Terms,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries up to this index show parts of the blocks that a start read the log into.
    borrowed_to: u64,
}

/// A shared handle on the log.
#[derive(Clone, Debug, Default)]
pub struct LogStore {
    log: Arc<RwLock<Log>>,
    /// Without one, the log begins where memory does. Locked before `log`.
    tail: Option<Arc<Mutex<WalTail>>>,
}

/// Bytes an entry keeps in memory: its payload and the struct itself.
fn entry_size(entry: &Entry) -> usize {
    entry.data.as_ref().map_or(0, bytes::Bytes::len) + size_of::<Entry>()
}

impl Log {
    fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Starts over behind a snapshot.
    fn begin(&mut self, snapshot: Snapshot) {
        let SnapshotMetadata { index, term, .. } = snapshot.metadata;
        (self.floor, self.base) = (index, index);
        self.terms = Terms::from(index, term);
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = snapshot;
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry_size(&entry);
            self.base = entry.index;
        }
    }

    /// Copies what is left of the log a start read, so that a tail does not keep in memory what was read
    /// around it.
    fn own_entries(&mut self) {
        let borrowed_to = std::mem::take(&mut self.borrowed_to);
        let borrowed = self.entries.iter_mut().filter(|e| e.index <= borrowed_to);
        for data in borrowed.filter_map(|entry| entry.data.as_mut()) {
            *data = BytesMut::from(&**data).freeze();
        }
    }

    fn raise_floor(&mut self, index: u64) {
        self.floor = self.floor.max(index);
        self.terms.drop_before(self.floor);
    }
}

impl LogStore {
    /// The log as read from disk: the snapshot it starts from, the hard state and the entries after
    /// the snapshot.
    pub fn new(snapshot: Snapshot, hard_state: HardState, entries: Vec<Entry>) -> Self {
        let store = Self::default();
        {
            let mut log = store.log.write();
            log.hard_state = hard_state;
            log.begin(snapshot);
        }
        store.append(&entries);
        let last = store.log.read().last();
        store.log.write().borrowed_to = last;
        store
    }

    /// The same log, whose older entries are read back from the WAL in this directory.
    #[must_use]
    pub fn reading_back(mut self, fs: DynFs, wal_dir: PathBuf) -> Self {
        self.tail = Some(Arc::new(Mutex::new(WalTail::new(fs, wal_dir))));
        self
    }

    /// Adds entries, replacing any with the same or a later index.
    pub fn append(&self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let mut log = self.log.write();
        let next = log.last() + 1;
        assert!(
            first.index <= next,
            "entry {} would leave a gap after {}",
            first.index,
            next - 1
        );
        if first.index < next {
            while log.last() >= first.index {
                let Some(old) = log.entries.pop_back() else {
                    break;
                };
                log.bytes -= entry_size(&old);
            }
            let from = log.last() + 1;
            log.terms.truncate(from);
        }
        let base = log.base;
        for entry in entries.iter().filter(|e| e.index > base) {
            log.bytes += entry_size(entry);
            log.terms.push(entry.index, entry.term);
            log.entries.push_back(entry.clone());
        }
    }

    /// Records the hard state that was written to the WAL.
    pub fn set_hard_state(&self, hard_state: HardState) {
        self.log.write().hard_state = hard_state;
    }

    /// Records the newest snapshot; entries stay until [`release_to`](Self::release_to). One that is older
    /// than a snapshot received meanwhile changes nothing.
    pub fn set_snapshot(&self, snapshot: Snapshot) {
        let mut log = self.log.write();
        if snapshot.metadata.index > log.snapshot.metadata.index {
            log.snapshot = snapshot;
        }
    }

    /// Starts over behind a snapshot that was received; what the log held is void.
    pub fn restore(&self, snapshot: Snapshot) {
        if let Some(tail) = &self.tail {
            tail.lock().clear();
        }
        self.log.write().begin(snapshot);
    }

    /// Gives up the entries up to `index`, as far as a snapshot covers them: followers that need them get
    /// the snapshot. Returns the index behind which the log begins now.
    pub fn release_to(&self, index: u64) -> u64 {
        let mut log = self.log.write();
        let index = index.min(log.snapshot.metadata.index);
        while log.base < index && !log.entries.is_empty() {
            log.pop_front();
        }
        log.raise_floor(index);
        log.floor
    }

    /// Takes entries up to `applied` out of memory until at most `keep_bytes` are left.
    pub fn trim(&self, applied: u64, keep_bytes: usize) {
        if self.log.read().bytes <= keep_bytes {
            return;
        }
        let mut log = self.log.write();
        while log.bytes > keep_bytes && log.entries.front().is_some_and(|e| e.index <= applied) {
            log.pop_front();
        }
        if log.borrowed_to > 0 {
            log.own_entries();
        }
        if self.tail.is_none() {
            let base = log.base;
            log.raise_floor(base);
        }
    }

    /// Bytes the entries keep in memory.
    pub fn bytes(&self) -> usize {
        self.log.read().bytes
    }

    /// Entries that are in the WAL only.
    fn read_back(&self, lo: u64, hi: u64, max_size: u64) -> Result<Vec<Entry>, StorageError> {
        let Some(tail) = &self.tail else {
            return Err(StorageError::Compacted);
        };
        let mut tail = tail.lock();
        let read = tail.read(lo, hi, max_size, |index| self.log.read().terms.get(index));
        read.map_err(|error| {
            // A follower that lags is no reason to stop: it gets a snapshot instead.
            tracing::warn!(from = lo, to = hi, %error, "old entries cannot be read from the log");
            let mut log = self.log.write();
            let base = log.base;
            log.raise_floor(base);
            StorageError::Compacted
        })
    }
}

impl Storage for LogStore {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        let log = self.log.read();
        Ok((log.hard_state, log.snapshot.metadata.conf_state.clone()))
    }

    fn entries(&self, range: Range<u64>, max_size: u64) -> Result<Vec<Entry>, StorageError> {
        let Range { start: lo, end: hi } = range;
        let log = self.log.read();
        if lo <= log.floor {
            return Err(StorageError::Compacted);
        }
        if hi > log.last() + 1 {
            return Err(StorageError::Unavailable);
        }
        if lo <= log.base {
            let hi = hi.min(log.base + 1);
            drop(log);
            return self.read_back(lo, hi, max_size);
        }
        let skip = usize::try_from(lo - log.base - 1).map_err(|_| StorageError::Unavailable)?;
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
        if index > log.last() {
            return Err(StorageError::Unavailable);
        }
        log.terms.get(index).ok_or(StorageError::Compacted)
    }

    fn last_index(&self) -> Result<u64, StorageError> {
        Ok(self.log.read().last())
    }

    fn first_index(&self) -> Result<u64, StorageError> {
        Ok(self.log.read().floor + 1)
    }

    /// The newest snapshot, without its data, or one at the beginning of the log where that lies behind
    /// it. Whoever sends it puts the state of a later index in its place.
    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        let log = self.log.read();
        let mut metadata = log.snapshot.metadata.clone();
        if metadata.index < log.floor {
            metadata.index = log.floor;
            metadata.term = log.terms.get(log.floor).unwrap_or_default();
        }
        Ok(Snapshot {
            data: None,
            metadata,
        })
    }
}

#[cfg(test)]
mod tests;
