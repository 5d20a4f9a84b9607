//! The applier: state, and the walk over committed entries.
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use varve_mvcc::{Store, WriteTxn};
use varve_proto::raftpb::{Entry, EntryType, Snapshot};
use varve_raftnode::membership::{Cluster, V2Store};
use varve_raftnode::{Fatal, PendingSnapshot, Reconfigure, StateExport, StateMachine};

use super::alarm::Alarms;
use super::snapshot::Database;
use crate::cluster::MemberLinks;
use crate::compat;
use crate::config::{CompatVersion, LeaseCheckpoints};
use crate::core::is_put;
use crate::events::AppliedObserver;
use crate::seeded::Seeded;
use crate::waiters::Waiters;

/// The membership as readers see it.
pub(crate) type ClusterView = Arc<RwLock<Cluster>>;

/// What the applier is made of.
pub(crate) struct ApplierParts {
    pub(crate) store: Store,
    pub(crate) cluster: ClusterView,
    /// Where membership was at the raft snapshot that the log starts from.
    pub(crate) v2: V2Store,
    /// Whether the v2 store, not the backend, is the authority on membership: directories that an
    /// etcd up to 3.5 wrote.
    pub(crate) v2_is_authority: bool,
    pub(crate) alarms: Alarms,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) observer: Arc<AppliedObserver>,
    pub(crate) compat: CompatVersion,
    pub(crate) lease_checkpoints: LeaseCheckpoints,
    /// Backend quota in bytes; `None` when unlimited.
    pub(crate) quota_bytes: Option<u64>,
    /// Raft index that the backend contained at start, or when it was replaced.
    pub(crate) durable_index: u64,
    /// Told whom to connect to.
    pub(crate) links: MemberLinks,
    pub(crate) database: Database,
    pub(crate) seeded: Seeded,
}

/// The state machine of a member.
pub(crate) struct Applier {
    pub(crate) parts: ApplierParts,
    /// Membership by the log alone, from the snapshot on: decides conf changes that are replayed.
    pub(crate) log_cluster: Cluster,
    /// The last applied entry.
    pub(crate) applied: u64,
    /// Index and term that a seeded bug has still to write.
    pub(super) index_apart: Cell<Option<(u64, u64)>>,
}

impl Applier {
    pub(crate) fn new(parts: ApplierParts) -> Result<Self, serde_json::Error> {
        let (cluster_id, local_id, max_learners) = {
            let cluster = parts.cluster.read();
            (cluster.cluster_id, cluster.local_id, cluster.max_learners)
        };
        let mut log_cluster = Cluster::from_v2(&parts.v2, cluster_id, local_id)?;
        log_cluster.max_learners = max_learners;
        if parts.v2_is_authority {
            *parts.cluster.write() = log_cluster.clone();
        }
        parts.links.sync(&parts.cluster.read());
        let applied = parts.durable_index;
        let applier = Self {
            parts,
            log_cluster,
            applied,
            index_apart: Cell::default(),
        };
        applier.set_checkpoint_persistence();
        Ok(applier)
    }

    /// Whether this entry still has to take effect in the backend.
    pub(crate) fn is_new(&self, index: u64) -> bool {
        index > self.parts.durable_index
    }

    fn entry(&mut self, entry: &Entry, raft: &mut dyn Reconfigure) -> Result<(), Fatal> {
        match EntryType::try_from(entry.r#type) {
            Ok(EntryType::EntryNormal) => match entry.data.as_ref() {
                Some(data) if !data.is_empty() => self.normal(entry, data.clone()),
                // A new leader's first entry.
                _ => {
                    self.advance(entry);
                    Ok(())
                }
            },
            Ok(EntryType::EntryConfChange) => self.conf_change(entry, raft),
            other => Err(format!(
                "entry {} has type {other:?}, which no etcd member writes",
                entry.index
            )
            .into()),
        }
    }

    /// Whether checkpoints of leases are kept on disk: by flag, or since the cluster's version says so.
    pub(crate) fn set_checkpoint_persistence(&self) {
        let by_version = compat::keeps_lease_checkpoints(self.parts.cluster.read().version());
        self.parts
            .store
            .lessor()
            .set_checkpoint_persist(self.parts.lease_checkpoints.persist || by_version);
    }

    /// Ends the write of an entry's effect, with its index in the same batch.
    pub(super) fn end_write(&self, mut write: WriteTxn<'_>, entry: &Entry) {
        if self.parts.seeded.puts_index_apart() {
            self.index_apart.set(Some((entry.index, entry.term)));
        } else {
            write.set_applied(entry.index, entry.term);
        }
        write.end();
    }

    /// The second half of a seeded bug.
    fn catch_up_index(&self) {
        if let Some((index, term)) = self.index_apart.take() {
            let mut txn = self.parts.store.write();
            txn.set_applied(index, term);
            txn.end();
        }
    }

    /// Records that an entry without effect was applied.
    pub(crate) fn advance(&self, entry: &Entry) {
        if self.is_new(entry.index) {
            let mut txn = self.parts.store.write();
            txn.set_applied(entry.index, entry.term);
            txn.end();
        }
    }
}

impl StateMachine for Applier {
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal> {
        if let Some(error) = self.parts.store.backend().failure() {
            return Err(error.into());
        }
        for entry in entries {
            self.catch_up_index();
            self.entry(entry, raft)?;
            self.applied = self.applied.max(entry.index);
        }
        Ok(())
    }

    fn is_quick(&self, entries: &[Entry]) -> bool {
        let is_put = |entry: &Entry| is_put(entry.data.as_deref().unwrap_or_default());
        entries.iter().all(is_put) && self.parts.store.backend().has_room()
    }

    fn durable_index(&self) -> u64 {
        self.parts.durable_index
    }

    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal> {
        let data = self.v2_json();
        let backend = self.parts.store.backend().clone();
        Ok(PendingSnapshot {
            data,
            make_durable: if self.parts.seeded.releases_early() {
                Box::new(|| Ok(()))
            } else {
                Box::new(move || backend.force_commit().map_err(Into::into))
            },
        })
    }

    fn export(&mut self) -> Result<StateExport, Fatal> {
        self.export_state()
    }

    fn restore(&mut self, snapshot: &Snapshot, database: &Path) -> Result<(), Fatal> {
        self.parts.observer.restoring(true);
        let outcome = self.restore_state(snapshot, database);
        self.parts.observer.restoring(false);
        outcome
    }
}
