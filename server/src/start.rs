//! From a configuration to a serving member, and back to a clean stop.
//!
//! Runs on the main thread, before and after everything else. The order of opening is etcd's:
//! listeners, data directory, database (locked), log, then replay, then service.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use varve_backend::{BackendOptions, CommitStats};
use varve_mvcc::{Publish, Store, StoreOptions};
use varve_raftnode::{
    Bootstrapped, Node, NodeConfig, PeerConfig, PeerTimings, PeerTls, Peers, RequestIds,
};
use varve_vfs::{DynFs, RealFs};

use crate::apply::Database;
use crate::bootstrap::{self, Opening, engine_options, wal_options};
use crate::cluster::{MemberHost, MemberLinks, PeerClient, first_start};
use crate::config::Config;
use crate::core::{Core, CoreParts};
use crate::data_dir::DataDir;
use crate::events::{Ending, EndingWatch, LeaderElected, MemberObserver};
use crate::metrics::Metrics;
use crate::replica::{self, Replica, Stored, refuse_removed};
use crate::seeded::Seeded;
use crate::unsynced::unsynced;

/// Applied log entries kept in memory, in bytes. Followers that lag further are sent a snapshot.
const LOG_MEMORY_BYTES: usize = 16 << 20;
/// Election timeouts that one log write of a leader may take before it hands over.
const STALLED_SYNC_TIMEOUTS: u32 = 3;
/// How long followers may learn later that a put which was alone has committed. A client that waits for one
/// put before it sends the next takes less, and then it costs no message.
const COMMIT_DELAY: Duration = Duration::from_millis(1);
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
    /// The connections to other members.
    #[error(transparent)]
    Peers(#[from] varve_raftnode::PeerError),
    /// Certificates for connections to other members.
    #[error(transparent)]
    Tls(#[from] varve_raftnode::TlsError),
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
    pub(crate) ending: EndingWatch,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) peers: Peers,
    store: Store,
    node: Node,
}

impl Running {
    /// Stops the threads, makes everything applied durable and closes the files.
    pub(crate) fn stop(self) -> Result<(), StartError> {
        self.peers.stop();
        self.node.stop();
        self.store.close()?;
        Ok(())
    }
}

/// Opens the data directory, replays the log and starts the member's threads.
pub(crate) fn start(
    config: Config,
    metrics: Arc<Metrics>,
    runtime: &tokio::runtime::Handle,
) -> Result<Running, StartError> {
    let mut fs: DynFs = RealFs::shared();
    if config.unsafe_no_fsync {
        fs = unsynced(fs);
    }
    let dir = DataDir::new(&config.data_dir, config.wal_dir.as_deref());
    dir.prepare(&fs)?;

    let mut timings = PeerTimings::new(config.election_timeout);
    timings.read = config.raft_read_timeout;
    timings.write = config.raft_write_timeout;
    let tls = match &config.peer_tls {
        Some(files) => Some(files.client()?),
        None => None,
    };
    let client = PeerClient::new(varve_raftnode::PeerClient::new(tls.clone(), timings));
    let options = engine_options(&config);
    let opened = bootstrap::open(&Opening {
        fs: &fs,
        dir: &dir,
        config: &config,
        engine: &options,
        wal: wal_options(&config),
        first: &|| {
            runtime
                .block_on(first_start(&config, &client))
                .map_err(StartError::Other)
        },
    })?;
    let backend = backend_options(&config, &metrics);
    let stored = Stored::open(opened, &dir, backend, store_options(&config, &metrics))?;
    let peers = Peers::new(
        peer_config(&config, &stored.boot, (&fs, &dir), tls, timings),
        runtime.clone(),
    )?;
    for remote in &stored.remotes {
        peers.add_remote(remote.id, &remote.peer_urls);
    }
    let database = Database {
        fs,
        path: dir.db(),
        options,
    };
    let parts = Parts {
        config,
        metrics,
        peers,
        client,
        database,
    };
    parts.assemble(stored)
}

/// What a member is put together from, beside its log.
struct Parts {
    config: Config,
    metrics: Arc<Metrics>,
    peers: Peers,
    client: PeerClient,
    database: Database,
}

fn peer_config(
    config: &Config,
    boot: &Bootstrapped,
    (fs, dir): (&DynFs, &DataDir),
    tls: Option<PeerTls>,
    timings: PeerTimings,
) -> PeerConfig {
    PeerConfig {
        local_id: boot.node_id,
        cluster_id: boot.cluster_id,
        server_version: config.compat.server_version().to_owned(),
        advertised_urls: config
            .initial_advertise_peer_urls
            .iter()
            .map(ToString::to_string)
            .collect(),
        tls,
        timings,
        fs: fs.clone(),
        snap_dir: dir.snap.clone(),
    }
}

impl Parts {
    /// Replays the log and starts the threads.
    fn assemble(self, stored: Stored) -> Result<Running, StartError> {
        let Self {
            config,
            metrics,
            peers,
            client,
            database,
        } = self;
        let (commit_index, node_id) = (stored.boot.commit_index(), stored.boot.node_id);
        let store = stored.store.clone();
        let links = MemberLinks::new(Arc::new(peers.clone()), node_id);
        let Replica {
            applier,
            boot,
            cluster,
            alarms,
            waiters,
        } = replica::assemble(
            stored,
            &config,
            &metrics,
            links.clone(),
            database,
            Seeded::default(),
        )?;
        let (leader, leader_watch) = watch::channel((0, 0));
        let (ending, ending_watch) = watch::channel(None);
        let elected = LeaderElected::default();
        let observer = Arc::new(MemberObserver {
            metrics: Arc::clone(&metrics),
            waiters: Arc::clone(&waiters),
            leader,
            elected: elected.clone(),
            ending: ending.clone(),
            last: Mutex::new(0),
        });
        let node = Node::start(
            boot,
            &node_config(&config, unix_ms()),
            Box::new(applier),
            Arc::new(peers.clone()),
            observer,
        )?;
        peers.bind(Arc::new(MemberHost::new(
            node.clone(),
            Arc::clone(&cluster),
            ending,
        )));
        if let Err(error) = wait_replayed(&node, commit_index, &ending_watch)
            .and_then(|()| refuse_removed(&cluster.read()))
        {
            peers.stop();
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
            elected,
            links,
            client,
            shutdown: shutdown_watch,
        }));
        Ok(Running {
            core,
            ending: ending_watch,
            shutdown,
            peers,
            store,
            node,
        })
    }
}

/// Waits until everything that was committed before this start is applied.
fn wait_replayed(node: &Node, index: u64, ending: &EndingWatch) -> Result<(), StartError> {
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
        match ending.borrow().clone() {
            Some(Ending::Failed(error)) => return Err(StartError::Other(error)),
            // What follows says so.
            Some(Ending::Removed) => return Ok(()),
            None => {}
        }
    }
}

pub(crate) fn backend_options(config: &Config, metrics: &Arc<Metrics>) -> BackendOptions {
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

pub(crate) fn store_options(config: &Config, metrics: &Arc<Metrics>) -> StoreOptions {
    let metrics = Arc::clone(metrics);
    let election_ms = config.election_timeout.as_millis();
    // ceil(1.5 * election timeout) in whole seconds.
    let min_ttl = i64::try_from((election_ms * 3).div_ceil(2).div_ceil(1000)).unwrap_or(i64::MAX);
    StoreOptions {
        compaction_batch_limit: config.compaction_batch_limit,
        compaction_pause: config.compaction_sleep_interval,
        lease_min_ttl_seconds: min_ttl,
        // Nothing here reads the store while it writes to it (see `Publish`).
        publish: Publish::WhenRead,
        on_compaction: Some(Arc::new(move |step| {
            metrics.observe_compaction(step, unix_ms() / 1000);
        })),
        ..StoreOptions::default()
    }
}

pub(crate) fn node_config(config: &Config, started_unix_ms: u64) -> NodeConfig {
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
        jitter_seed: started_unix_ms,
        started_unix_ms,
        stalled_sync_timeouts: STALLED_SYNC_TIMEOUTS,
        commit_delay: COMMIT_DELAY,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
