//! From a configuration to a serving member, and back to a clean stop.
//!
//! Runs on the main thread, before and after everything else. The order of opening is etcd's:
//! listeners, data directory, database (locked), log, then replay, then service.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use varve_backend::{Backend, BackendOptions, CommitStats};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_mvcc::{Store, StoreOptions, schema};
use varve_proto::raftpb::ConfState;
use varve_raftnode::membership::{Cluster, Member, V2Store, cluster_id, member_id};
use varve_raftnode::{Bootstrapped, NoPeers, Node, NodeConfig, RequestIds};
use varve_vfs::{DynFs, RealFs};
use varve_wal::WalOptions;

use crate::apply::{Alarms, Applier, ApplierParts};
use crate::compat::check_cluster_version;
use crate::config::Config;
use crate::core::{Core, CoreParts};
use crate::data_dir::DataDir;
use crate::events::{AppliedObserver, MemberObserver};
use crate::metrics::Metrics;
use crate::stored_cluster;
use crate::unsynced::unsynced;
use crate::waiters::Waiters;

/// Applied log entries kept in memory, in bytes. Followers that lag further are sent a snapshot.
const LOG_MEMORY_BYTES: usize = 16 << 20;
/// How long a database that another process holds is waited for: a restart may overlap the old one.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Requests that may wait for the raft thread.
const MAX_WAITING_REQUESTS: usize = 20_000;

/// Why a member did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A directory cannot be made, read or written.
    #[error("cannot use {}: {source}", path.display())]
    DataDir {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data directory is something else.
    #[error("cannot use {} as data directory: it is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory belongs to a v2 proxy.
    #[error("cannot use {} as data directory: an etcd v2 proxy left it", path.display())]
    ProxyDir {
        /// The path.
        path: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Backend(#[from] varve_backend::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] varve_mvcc::Error),
    /// The log or the snapshots.
    #[error(transparent)]
    Raft(#[from] varve_raftnode::Error),
    /// Database and log do not belong together.
    #[error("{}: {what}", path.display())]
    Mismatch {
        /// The file that does not fit.
        path: PathBuf,
        /// How.
        what: String,
    },
    /// The directory holds something this version does not serve yet.
    #[error("{0}, which this version of varve does not support yet")]
    Unsupported(String),
    /// A listener.
    #[error("cannot listen on {url}: {source}")]
    Listen {
        /// The URL.
        url: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// A member that runs; dropped parts stop with [`Member::stop`].
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
    pub(crate) failure: watch::Receiver<Option<String>>,
    pub(crate) shutdown: watch::Sender<bool>,
    store: Store,
    node: Node,
}

impl Running {
    /// Stops the threads, makes everything applied durable and closes the files.
    pub(crate) fn stop(self) -> Result<(), StartError> {
        self.node.stop();
        self.store.close()?;
        Ok(())
    }
}

/// Opens the data directory, replays the log and starts the member's threads.
pub(crate) fn start(config: Config, metrics: Arc<Metrics>) -> Result<Running, StartError> {
    let mut fs: DynFs = RealFs::shared();
    if config.unsafe_no_fsync {
        fs = unsynced(fs);
    }
    let dir = DataDir::new(&config.data_dir, config.wal_dir.as_deref());
    dir.prepare(&fs)?;

    let has_wal = varve_raftnode::has_wal(&fs, &dir.wal)?;
    let mut engine = open_engine(&fs, &dir)?;
    let mut boot = if has_wal {
        let boot = varve_raftnode::open(&fs, &dir.wal, &dir.snap, wal_options(&config))?;
        finish_bootstrap(boot, &dir, &config)?
    } else {
        refuse_orphan(&engine, &dir)?;
        bootstrap(&fs, &dir, &config)?
    };
    if let Some(recovered) = recover_received_db(&fs, &dir, &engine, &boot)? {
        engine = recovered;
    }
    let durable_index = consistent_index(&engine)?;

    let backend = Backend::open(Arc::new(engine), backend_options(&config, &metrics))?;
    let store = Store::open(backend, store_options(&config))?;
    refuse_auth(&store)?;
    init_auth_revision(&store)?;
    if durable_index > boot.last_index() {
        continue_behind(&mut boot, &store, &dir, durable_index)?;
    }
    assemble(config, metrics, store, boot, durable_index)
}

/// The log lost its tail, and the database has it: go on behind the database.
fn continue_behind(
    boot: &mut Bootstrapped,
    store: &Store,
    dir: &DataDir,
    index: u64,
) -> Result<(), StartError> {
    let cluster = stored_cluster::read(store, boot.cluster_id, boot.node_id)?;
    let sole =
        cluster.members().all(|m| m.id == boot.node_id) && cluster.member(boot.node_id).is_some();
    if !sole {
        return Err(StartError::Mismatch {
            path: dir.db(),
            what: format!(
                "the database contains raft index {index}, but the log in {} ends at {}: this member \
                 lost entries that it acknowledged to its cluster; remove it and add it again",
                dir.wal.display(),
                boot.last_index()
            ),
        });
    }
    tracing::warn!(
        database_index = index,
        log_index = boot.last_index(),
        "the log ends before what the database contains; going on behind the database"
    );
    let mut v2 = v2_store(boot)?;
    cluster.write_v2(&mut v2);
    let term = schema::term(&store.backend().view())?
        .unwrap_or_default()
        .max(boot.term());
    let conf_state = ConfState {
        voters: vec![boot.node_id],
        ..ConfState::default()
    };
    boot.continue_behind(index, term, conf_state, v2.to_json().into())?;
    Ok(())
}

fn bad_v2(error: &serde_json::Error) -> StartError {
    StartError::Other(format!(
        "a member in the v2 store of .snap does not parse: {error}"
    ))
}

/// The v2 store of the raft snapshot that the log starts from.
fn v2_store(boot: &Bootstrapped) -> Result<V2Store, StartError> {
    let data = boot.snapshot.as_ref().and_then(|s| s.data.as_ref());
    match data.filter(|d| !d.is_empty()) {
        Some(json) => V2Store::from_json(json)
            .map_err(|e| StartError::Other(format!("the v2 store in .snap does not parse: {e}"))),
        None => Ok(V2Store::new()),
    }
}

fn assemble(
    config: Config,
    metrics: Arc<Metrics>,
    store: Store,
    boot: Bootstrapped,
    durable_index: u64,
) -> Result<Running, StartError> {
    let v2 = v2_store(&boot)?;
    let stored = stored_cluster::load(&store, boot.cluster_id, boot.node_id)?;
    let (v2_is_authority, cluster) = match stored {
        Some(cluster) => (false, cluster),
        None => (
            true,
            Cluster::from_v2(&v2, boot.cluster_id, boot.node_id).map_err(|e| bad_v2(&e))?,
        ),
    };
    if let Some(version) = cluster.version() {
        check_cluster_version(config.compat, version)
            .map_err(|e| StartError::Other(e.to_string()))?;
    }
    let cluster = Arc::new(RwLock::new(cluster));
    let alarms = Alarms::load(&store.backend().view())?;
    let waiters = Arc::new(Waiters::default());
    let quota_bytes = config.quota_bytes();
    let applier = Applier::new(ApplierParts {
        store: store.clone(),
        cluster: Arc::clone(&cluster),
        v2,
        v2_is_authority,
        alarms: alarms.clone(),
        waiters: Arc::clone(&waiters),
        observer: Arc::new(AppliedObserver::new(
            Arc::clone(&metrics),
            config.warning_apply_duration,
        )),
        compat: config.compat,
        quota_bytes,
        durable_index,
    })
    .map_err(|e| bad_v2(&e))?;
    let (leader, leader_watch) = watch::channel((0, 0));
    let (failure, failure_watch) = watch::channel(None);
    let observer = Arc::new(MemberObserver {
        metrics: Arc::clone(&metrics),
        waiters: Arc::clone(&waiters),
        leader,
        failure,
        last: Mutex::new(0),
    });
    let commit_index = boot.commit_index();
    let node_id = boot.node_id;
    let node = Node::start(
        boot,
        &node_config(&config),
        Box::new(applier),
        Arc::new(NoPeers),
        observer,
    )?;
    if let Err(error) = wait_replayed(&node, commit_index, &failure_watch)
        .and_then(|()| refuse_peers(&cluster.read()))
    {
        node.stop();
        return Err(error);
    }
    let (shutdown, shutdown_watch) = watch::channel(false);
    let core = Arc::new(Core::new(CoreParts {
        config,
        store: store.clone(),
        node: node.clone(),
        cluster,
        alarms,
        waiters,
        metrics,
        request_ids: RequestIds::new(node_id, unix_ms()),
        leader: leader_watch,
        shutdown: shutdown_watch,
    }));
    Ok(Running {
        core,
        failure: failure_watch,
        shutdown,
        store,
        node,
    })
}

/// Waits until everything that was committed before this start is applied.
fn wait_replayed(
    node: &Node,
    index: u64,
    failure: &watch::Receiver<Option<String>>,
) -> Result<(), StartError> {
    let (done, replayed) = std::sync::mpsc::channel();
    node.published().applied().when(
        index,
        Box::new(move || {
            // The start may have failed meanwhile.
            let _gone = done.send(());
        }),
    );
    loop {
        if replayed.recv_timeout(Duration::from_millis(20)).is_ok() {
            return Ok(());
        }
        if let Some(error) = failure.borrow().clone() {
            return Err(StartError::Other(error));
        }
    }
}

fn refuse_peers(cluster: &Cluster) -> Result<(), StartError> {
    if cluster.member(cluster.local_id).is_none() {
        return Err(StartError::Other(format!(
            "member {:x} was removed from its cluster; its data directory cannot be used again",
            cluster.local_id
        )));
    }
    let members = cluster.members().count();
    if members > 1 {
        return Err(StartError::Unsupported(format!(
            "this data directory belongs to a cluster of {members} members"
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

/// A database with content but without a log is not a new member.
fn refuse_orphan(engine: &BtreeEngine, dir: &DataDir) -> Result<(), StartError> {
    let index = consistent_index(engine)?;
    if index == 0 {
        return Ok(());
    }
    Err(StartError::Mismatch {
        path: dir.db(),
        what: format!(
            "the database contains raft index {index}, but there is no log in {}",
            dir.wal.display()
        ),
    })
}

fn open_engine(fs: &DynFs, dir: &DataDir) -> Result<BtreeEngine, StartError> {
    let options = BtreeOptions {
        lock_wait: LOCK_WAIT,
        ..BtreeOptions::default()
    };
    Ok(BtreeEngine::open(fs.clone(), dir.db(), options)?)
}

/// Puts a database received from a leader in place, when a crash came between its arrival and that.
fn recover_received_db(
    fs: &DynFs,
    dir: &DataDir,
    engine: &BtreeEngine,
    boot: &Bootstrapped,
) -> Result<Option<BtreeEngine>, StartError> {
    let index = consistent_index(engine)?;
    if boot.snapshot_index <= index {
        return Ok(None);
    }
    let received = dir
        .snap
        .join(format!("{:016x}.snap.db", boot.snapshot_index));
    let unusable = |source| StartError::DataDir {
        path: received.clone(),
        source,
    };
    if !fs.exists(&received).map_err(unusable)? {
        return Err(StartError::Mismatch {
            path: dir.db(),
            what: format!(
                "the database contains raft index {index}, the newest snapshot is at {}, and {} \
                 does not exist",
                boot.snapshot_index,
                received.display()
            ),
        });
    }
    fs.rename(&received, &dir.db()).map_err(unusable)?;
    fs.sync_dir(&dir.snap).map_err(unusable)?;
    open_engine(fs, dir).map(Some)
}

fn consistent_index(engine: &BtreeEngine) -> Result<u64, StartError> {
    let snapshot = varve_backend::Engine::snapshot(engine)?;
    let value = snapshot.get(schema::META, b"consistent_index")?;
    let Some(value) = value else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(value.as_ref()).map_err(|_| {
        StartError::Other(format!(
            "consistent_index has {} bytes, expected 8",
            value.len()
        ))
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// A new member: its ids follow from its flags, as etcd's do.
fn bootstrap(fs: &DynFs, dir: &DataDir, config: &Config) -> Result<Bootstrapped, StartError> {
    let member = initial_member(config)?;
    let id = member.id;
    let boot = varve_raftnode::create(
        fs,
        &dir.wal,
        &dir.snap,
        &[member],
        id,
        cluster_id([id]),
        wal_options(config),
    )?;
    tracing::info!(
        local_member_id = %format_args!("{id:x}"),
        cluster_id = %format_args!("{:x}", boot.cluster_id),
        "made a new cluster of one member"
    );
    Ok(boot)
}

/// The member that the flags of a first start describe.
fn initial_member(config: &Config) -> Result<Member, StartError> {
    if config.initial_cluster.len() > 1 {
        return Err(StartError::Unsupported(format!(
            "--initial-cluster names {} members",
            config.initial_cluster.len()
        )));
    }
    if !config.initial_cluster_is_new {
        return Err(StartError::Unsupported(
            "--initial-cluster-state=existing joins a running cluster".to_owned(),
        ));
    }
    config
        .initial_cluster
        .verify(&config.name, &config.initial_advertise_peer_urls)
        .map_err(StartError::Other)?;
    let Some((name, urls)) = config.initial_cluster.iter().next() else {
        return Err(StartError::Other("--initial-cluster is empty".to_owned()));
    };
    let id = member_id(urls, &config.initial_cluster_token, None);
    Ok(Member {
        id,
        peer_urls: urls.clone(),
        name: name.clone(),
        ..Member::default()
    })
}

/// An earlier first start ended after it had made the log and before it had written to it.
fn finish_bootstrap(
    mut boot: Bootstrapped,
    dir: &DataDir,
    config: &Config,
) -> Result<Bootstrapped, StartError> {
    if !boot.is_unfinished() {
        return Ok(boot);
    }
    let member = initial_member(config)?;
    if member.id != boot.node_id {
        return Err(StartError::Mismatch {
            path: dir.wal.clone(),
            what: format!(
                "the log was begun by member {:x}, but the flags describe member {:x}",
                boot.node_id, member.id
            ),
        });
    }
    boot.write_initial_members(&[member])?;
    Ok(boot)
}

fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        unsafe_no_fsync: config.unsafe_no_fsync,
        ..WalOptions::default()
    }
}

fn backend_options(config: &Config, metrics: &Arc<Metrics>) -> BackendOptions {
    let metrics = Arc::clone(metrics);
    BackendOptions {
        batch_limit: config.backend_batch_limit,
        batch_interval: config.backend_batch_interval,
        on_commit: Some(Arc::new(move |stats: CommitStats| {
            metrics.observe_backend_commit(stats);
        })),
        ..BackendOptions::default()
    }
}

fn store_options(config: &Config) -> StoreOptions {
    let election_ms = config.election_timeout.as_millis();
    // ceil(1.5 * election timeout) in whole seconds.
    let min_ttl = i64::try_from((election_ms * 3).div_ceil(2).div_ceil(1000)).unwrap_or(i64::MAX);
    StoreOptions {
        compaction_batch_limit: config.compaction_batch_limit,
        compaction_pause: config.compaction_sleep_interval,
        lease_min_ttl_seconds: min_ttl,
        ..StoreOptions::default()
    }
}

fn node_config(config: &Config) -> NodeConfig {
    let ticks = config.election_timeout.as_millis() / config.heartbeat_interval.as_millis().max(1);
    NodeConfig {
        tick: config.heartbeat_interval,
        election_ticks: usize::try_from(ticks).unwrap_or(usize::MAX),
        pre_vote: config.pre_vote,
        advance_first_election: config.initial_election_tick_advance,
        snapshot_count: config.snapshot_count,
        catch_up_entries: config.snapshot_catchup_entries,
        log_bytes: LOG_MEMORY_BYTES,
        max_waiting_requests: MAX_WAITING_REQUESTS,
        max_wals: config.max_wals,
        max_snapshots: config.max_snapshots,
        jitter_seed: unix_ms(),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
