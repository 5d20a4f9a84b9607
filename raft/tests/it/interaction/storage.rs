//! Storage of a scripted node: in memory, with a snapshot for every entry it has applied.

use std::sync::{Arc, Mutex};

use varve_proto::raftpb::{ConfState, Entry, HardState, Snapshot};
use varve_raft::{MemoryStorage, Storage, StorageResult};

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) log: MemoryStorage,
    /// Of the state after every applied entry; never empty.
    snapshots: Arc<Mutex<Vec<Snapshot>>>,
}

impl History {
    pub(super) fn new(first: Snapshot) -> Self {
        Self {
            log: MemoryStorage::new(),
            snapshots: Arc::new(Mutex::new(vec![first])),
        }
    }

    pub(super) fn push(&self, snapshot: Snapshot) {
        self.snapshots.lock().unwrap().push(snapshot);
    }

    pub(super) fn latest(&self) -> Snapshot {
        self.snapshots.lock().unwrap().last().unwrap().clone()
    }
}

impl Storage for History {
    fn initial_state(&self) -> StorageResult<(HardState, ConfState)> {
        self.log.initial_state()
    }

    fn entries(&self, range: std::ops::Range<u64>, max_size: u64) -> StorageResult<Vec<Entry>> {
        self.log.entries(range, max_size)
    }

    fn term(&self, index: u64) -> StorageResult<u64> {
        self.log.term(index)
    }

    fn last_index(&self) -> StorageResult<u64> {
        self.log.last_index()
    }

    fn first_index(&self) -> StorageResult<u64> {
        self.log.first_index()
    }

    fn snapshot(&self) -> StorageResult<Snapshot> {
        Ok(self.latest())
    }
}
