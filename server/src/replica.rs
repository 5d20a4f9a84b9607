//! What a member replicates: its store, and the state machine over it.
//!
//! Made from an opened data directory before any thread runs; by `start`, and by `stepped` for a member
//! that has no threads.
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use varve_backend::{Backend, BackendOptions};
use varve_mvcc::{Store, StoreOptions, schema};
use varve_raftnode::Bootstrapped;
use varve_raftnode::membership::{Cluster, Member, V2Store};

use crate::apply::{Alarms, Applier, ApplierParts, ClusterView, Database};
use crate::bootstrap::{Opened, consistent_index, continue_behind};
use crate::cluster::MemberLinks;
use crate::compat::check_cluster_version;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::events::AppliedObserver;
use crate::metrics::Metrics;
use crate::seeded::Seeded;
use crate::start::StartError;
use crate::stored_cluster;
use crate::waiters::Waiters;

/// A store and the log that goes with it.
pub(crate) struct Stored {
    pub(crate) store: Store,
    pub(crate) boot: Bootstrapped,
    /// Raft index that the database contains.
    pub(crate) durable_index: u64,
    /// See [`Opened::remotes`].
    pub(crate) remotes: Vec<Member>,
}

/// A state machine, and what it shares with the rest of the member.
pub(crate) struct Replica {
    pub(crate) applier: Applier,
    pub(crate) boot: Bootstrapped,
    pub(crate) cluster: ClusterView,
    pub(crate) alarms: Alarms,
    pub(crate) waiters: Arc<Waiters>,
}

impl Stored {
    /// Opens the store of a directory whose log was opened.
    pub(crate) fn open(
        opened: Opened,
        dir: &DataDir,
        backend: BackendOptions,
        options: StoreOptions,
    ) -> Result<Self, StartError> {
        let Opened {
            engine,
            mut boot,
            remotes,
        } = opened;
        let durable_index = consistent_index(&engine)?;
        let store = Store::open(Backend::open(Arc::new(engine), backend)?, options)?;
        refuse_auth(&store)?;
        init_auth_revision(&store)?;
        if durable_index > boot.last_index() {
            continue_behind(&mut boot, &store, dir, durable_index)?;
        }
        Ok(Self {
            store,
            boot,
            durable_index,
            remotes,
        })
    }
}

/// The state machine over an opened store.
pub(crate) fn assemble(
    stored: Stored,
    config: &Config,
    metrics: &Arc<Metrics>,
    links: MemberLinks,
    database: Database,
    seeded: Seeded,
) -> Result<Replica, StartError> {
    let Stored {
        store,
        boot,
        durable_index,
        remotes: _,
    } = stored;
    let v2 = v2_store(&boot)?;
    let (v2_is_authority, cluster) = membership(config, &store, &boot, &v2)?;
    let alarms = Alarms::load(&store.backend().view())?;
    let waiters = Arc::new(Waiters::default());
    let applier = Applier::new(ApplierParts {
        store,
        cluster: Arc::clone(&cluster),
        v2,
        v2_is_authority,
        alarms: alarms.clone(),
        waiters: Arc::clone(&waiters),
        observer: Arc::new(AppliedObserver::new(
            Arc::clone(metrics),
            config.warning_apply_duration,
        )),
        compat: config.compat,
        lease_checkpoints: config.lease_checkpoints,
        quota_bytes: config.quota_bytes(),
        durable_index,
        links,
        database,
        seeded,
    })
    .map_err(|e| bad_v2(&e))?;
    Ok(Replica {
        applier,
        boot,
        cluster,
        alarms,
        waiters,
    })
}

fn bad_v2(error: &serde_json::Error) -> StartError {
    StartError::Other(format!(
        "a member in the v2 store of .snap does not parse: {error}"
    ))
}

/// The v2 store of the raft snapshot that the log starts from.
pub(crate) fn v2_store(boot: &Bootstrapped) -> Result<V2Store, StartError> {
    let data = boot.snapshot.as_ref().and_then(|s| s.data.as_ref());
    match data.filter(|d| !d.is_empty()) {
        Some(json) => V2Store::from_json(json)
            .map_err(|e| StartError::Other(format!("the v2 store in .snap does not parse: {e}"))),
        None => Ok(V2Store::new()),
    }
}

/// The members as the directory has them, and whether the v2 store rather than the database is the
/// authority on them.
fn membership(
    config: &Config,
    store: &Store,
    boot: &Bootstrapped,
    v2: &V2Store,
) -> Result<(bool, ClusterView), StartError> {
    let stored = stored_cluster::load(store, boot.cluster_id, boot.node_id)?;
    let v2_is_authority = stored.is_none();
    let mut cluster = match stored {
        Some(cluster) => cluster,
        None => Cluster::from_v2(v2, boot.cluster_id, boot.node_id).map_err(|e| bad_v2(&e))?,
    };
    cluster.max_learners = config.max_learners;
    if let Some(version) = cluster.version() {
        check_cluster_version(config.compat, version)
            .map_err(|e| StartError::Other(e.to_string()))?;
    }
    Ok((v2_is_authority, Arc::new(RwLock::new(cluster))))
}

/// A member that knows of its own removal does not come back.
pub(crate) fn refuse_removed(cluster: &Cluster) -> Result<(), StartError> {
    if cluster.is_removed(cluster.local_id) {
        return Err(StartError::Other(format!(
            "the member has been permanently removed from the cluster: {:x}; its data directory cannot \
             be used again",
            cluster.local_id
        )));
    }
    Ok(())
}

fn refuse_auth(store: &Store) -> Result<(), StartError> {
    let view = store.backend().view();
    let enabled = view.get(schema::AUTH, b"authEnabled")?;
    if enabled.is_some_and(|v| v.as_ref() == [1]) {
        return Err(StartError::Unsupported(
            "this data directory has authentication enabled".to_owned(),
        ));
    }
    Ok(())
}

/// A new database starts at auth revision 1, written before any entry is applied, as etcd's does.
fn init_auth_revision(store: &Store) -> Result<(), StartError> {
    const AUTH_REVISION: &[u8] = b"authRevision";
    let mut guard = store.backend().begin();
    if guard.get(schema::AUTH, AUTH_REVISION)?.is_none() {
        let one = Bytes::copy_from_slice(&1u64.to_be_bytes());
        guard.put(schema::AUTH, Bytes::from_static(AUTH_REVISION), one);
    }
    guard.end();
    Ok(())
}
