//! Stands around a member's state machine and tells what it applies.

use std::path::Path;

use varve_mvcc::Store;
use varve_proto::raftpb::{Entry, Snapshot};
use varve_raftnode::{Fatal, PendingSnapshot, Reconfigure, StateExport, StateMachine};

use super::ledger::SharedLedger;

/// A state machine that is watched.
pub(super) struct Witness {
    pub(super) id: u64,
    pub(super) inner: Box<dyn StateMachine>,
    pub(super) store: Store,
    pub(super) ledger: SharedLedger,
}

impl StateMachine for Witness {
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal> {
        if entries.is_empty() {
            return self.inner.apply(entries, raft);
        }
        for entry in entries {
            let is_new = entry.index > self.inner.durable_index();
            self.inner.apply(std::slice::from_ref(entry), raft)?;
            self.ledger
                .lock()
                .applied(self.id, entry, is_new, &self.store);
        }
        Ok(())
    }

    fn is_quick(&self, entries: &[Entry]) -> bool {
        self.inner.is_quick(entries)
    }

    fn durable_index(&self) -> u64 {
        self.inner.durable_index()
    }

    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal> {
        self.inner.snapshot()
    }

    fn export(&mut self) -> Result<StateExport, Fatal> {
        self.inner.export()
    }

    fn restore(&mut self, snapshot: &Snapshot, database: &Path) -> Result<(), Fatal> {
        self.inner.restore(snapshot, database)?;
        let index = snapshot.metadata.index;
        let mut ledger = self.ledger.lock();
        let same = ledger.contains(self.id, index, &self.store, "from the leader");
        ledger.object(same);
        Ok(())
    }
}
