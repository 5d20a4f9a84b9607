//! The whole state on its way to and from other members.
//!
//! Runs on the apply thread. Source: etcd `server/etcdserver/{server,snapshot_merge}.go`.
//!
//! # Failure model
//! Receiving: the database takes the place of the old one by a rename before anything in memory changes;
//! a crash before it leaves the received file for the next start (`bootstrap`), one after it the new
//! database. An error leaves the member stopped, never half restored.
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use varve_backend::Export;
use varve_backend_btree::BtreeOptions;
use varve_mvcc::{StoreExport, schema};
use varve_proto::raftpb::Snapshot;
use varve_raftnode::membership::{Cluster, V2Store};
use varve_raftnode::{Fatal, StateExport};
use varve_vfs::DynFs;

use super::state::Applier;
use crate::bootstrap::open_engine;
use crate::compat;
use crate::stored_cluster;

/// An image as the transport reads it.
struct Image(Box<dyn Export>);

impl Read for Image {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(io::Error::other)
    }
}

/// The member's database file.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) fs: DynFs,
    pub(crate) path: PathBuf,
    pub(crate) options: BtreeOptions,
}

impl Applier {
    /// The v2 store's JSON that a snapshot carries: the live tree for a member that stands in for etcd
    /// 3.5, membership and version alone otherwise.
    pub(super) fn v2_json(&mut self) -> Bytes {
        let json = if compat::v2_store_is_live(self.parts.compat) {
            self.parts.cluster.read().write_v2(&mut self.parts.v2);
            self.parts.v2.to_json()
        } else {
            let mut fresh = V2Store::new();
            self.parts.cluster.read().write_v2(&mut fresh);
            fresh.to_json()
        };
        Bytes::from(json)
    }

    /// The state at the last applied entry.
    pub(super) fn export_state(&mut self) -> Result<StateExport, Fatal> {
        let data = self.v2_json();
        let export = if self.parts.seeded.sends_before_commit() {
            StoreExport {
                image: self.parts.store.backend().engine().export()?,
                revision: self.parts.store.revision(),
                consistent_index: Some(self.applied),
                term: None,
            }
        } else {
            self.parts.store.export()?
        };
        let index = export.consistent_index.unwrap_or_default();
        if index != self.applied {
            return Err(format!(
                "the database contains raft index {index}, but {} was applied",
                self.applied
            )
            .into());
        }
        tracing::info!(
            index,
            bytes = export.image.len(),
            "exporting the database for a member that lags"
        );
        Ok(StateExport {
            data,
            len: export.image.len(),
            reader: Box::new(Image(export.image)),
        })
    }

    /// Takes over a received database.
    pub(super) fn restore_state(
        &mut self,
        snapshot: &Snapshot,
        received: &Path,
    ) -> Result<(), Fatal> {
        let (index, term) = (snapshot.metadata.index, snapshot.metadata.term);
        tracing::info!(
            current_applied_index = self.applied,
            incoming_leader_snapshot_index = index,
            incoming_leader_snapshot_term = term,
            "applying snapshot"
        );
        let Database { fs, path, options } = &self.parts.database;
        fs.rename(received, path)?;
        fs.sync_dir(&varve_vfs::parent_dir(path))?;
        let engine = open_engine(fs, path, options)?;
        self.parts.store.restore(Arc::new(engine))?;
        let backend = self.parts.store.backend();
        let view = backend.view();
        let stored = schema::consistent_index(&view)?.unwrap_or_default();
        if stored < index {
            // The next start must not look for the received file again.
            let mut txn = self.parts.store.write();
            txn.set_applied(index, term);
            txn.end();
            backend.force_commit()?;
        }
        self.parts.alarms.reload(&view)?;
        drop(view);
        self.restore_cluster(snapshot)?;
        self.parts.durable_index = index.max(stored);
        self.applied = index;
        tracing::info!(index, term, "applied snapshot");
        Ok(())
    }

    fn restore_cluster(&mut self, snapshot: &Snapshot) -> Result<(), Fatal> {
        let (cluster_id, local_id, max_learners) = {
            let cluster = self.parts.cluster.read();
            (cluster.cluster_id, cluster.local_id, cluster.max_learners)
        };
        let data = snapshot.data.as_ref().filter(|data| !data.is_empty());
        self.parts.v2 = match data {
            Some(json) => V2Store::from_json(json)?,
            None => V2Store::new(),
        };
        let store = &self.parts.store;
        let stored = stored_cluster::load(store, cluster_id, local_id)?;
        self.parts.v2_is_authority = stored.is_none();
        let mut cluster = match stored {
            Some(cluster) => cluster,
            None if data.is_some() => Cluster::from_v2(&self.parts.v2, cluster_id, local_id)?,
            None => stored_cluster::read(store, cluster_id, local_id)?,
        };
        cluster.max_learners = max_learners;
        if let Some(version) = cluster.version() {
            compat::check_cluster_version(self.parts.compat, version)?;
        }
        self.log_cluster = cluster.clone();
        self.parts.links.sync(&cluster);
        *self.parts.cluster.write() = cluster;
        self.set_checkpoint_persistence();
        Ok(())
    }
}
