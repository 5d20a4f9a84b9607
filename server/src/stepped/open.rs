//! Opening a stepped member: a server's start, without its threads.
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use varve_backend::BackendOptions;
use varve_backend_btree::BtreeOptions;
use varve_mvcc::{ManualClock, Store, StoreOptions};
use varve_raftnode::{NodeConfig, RequestIds, StateMachine, Stepper, Transport};
use varve_vfs::DynFs;
use varve_wal::WalOptions;

use super::{Ear, Member, Shared, Told};
use crate::apply::Database;
use crate::bootstrap::{self, Opening, engine_options, wal_options};
use crate::cluster::{FirstStart, MemberLinks};
use crate::config::{CompatVersion, Config, Environment, Parsed};
use crate::data_dir::DataDir;
use crate::lease_expiry::Duty;
use crate::metrics::Metrics;
use crate::replica::{self, Replica, Stored, refuse_removed};
use crate::seeded::Seeded;
use crate::start::{StartError, backend_options, node_config, store_options};

/// Where a stepped member keeps everything.
const DATA_DIR: &str = "/data";

/// Sizes and times that a simulation varies. The flags of the same meaning are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// `--heartbeat-interval`, in milliseconds.
    pub tick_ms: u64,
    /// Election timeout in ticks.
    pub election_ticks: u64,
    /// `--snapshot-count`.
    pub snapshot_count: u64,
    /// `--experimental-snapshot-catchup-entries`.
    pub catch_up_entries: u64,
    /// Bytes of applied entries kept in memory.
    pub log_bytes: usize,
    /// Length of a log segment.
    pub segment_bytes: u64,
    /// Bytes of a page of the database.
    pub page_size: u32,
    /// `--backend-batch-limit`.
    pub batch_limit: usize,
    /// `--compaction-batch-limit`.
    pub compaction_batch: usize,
    /// Bytes of events that may wait for a watching client.
    pub watch_queue_bytes: usize,
    /// Time between two checkpoints of a lease, in milliseconds.
    pub checkpoint_interval_ms: u64,
    /// `--max-wals`, `--max-snapshots`.
    pub files_kept: usize,
    /// `--compat-version`.
    pub compat: CompatVersion,
}

/// Who a member is, and how it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its id.
    pub id: u64,
    /// The cluster's.
    pub cluster_id: u64,
    /// The members of a new cluster; nobody for one that joins.
    pub initial: Vec<varve_raftnode::membership::Member>,
    /// Sizes and times.
    pub numbers: Numbers,
    /// Unix time of this start in milliseconds; request ids and elections' jitter follow from it.
    pub started_unix_ms: u64,
    /// A mistake to make.
    pub seeded: Seeded,
}

/// The configuration of a server without flags, read once.
fn defaults() -> Result<&'static (Config, Arc<Metrics>), StartError> {
    static DEFAULTS: OnceLock<Result<(Config, Arc<Metrics>), String>> = OnceLock::new();
    let defaults = DEFAULTS.get_or_init(|| {
        match Config::parse(&[], &Environment::default()).map_err(|e| e.to_string())? {
            Parsed::Run(run) => {
                let metrics = Arc::new(Metrics::new(&run.config));
                Ok((run.config, metrics))
            }
            Parsed::Print(text) => Err(text),
        }
    });
    defaults
        .as_ref()
        .map_err(|error| StartError::Other(error.clone()))
}

fn config(settings: &Settings) -> Result<Config, StartError> {
    let Numbers {
        tick_ms,
        election_ticks,
        snapshot_count,
        catch_up_entries,
        batch_limit,
        compaction_batch,
        files_kept,
        compat,
        ..
    } = settings.numbers;
    let tick = Duration::from_millis(tick_ms);
    let election = Duration::from_millis(tick_ms * election_ticks);
    Ok(Config {
        compat,
        name: format!("m{}", settings.id),
        data_dir: DATA_DIR.into(),
        heartbeat_interval: tick,
        election_timeout: election,
        snapshot_count,
        snapshot_catchup_entries: catch_up_entries,
        backend_batch_limit: batch_limit,
        compaction_batch_limit: compaction_batch,
        max_wals: files_kept,
        max_snapshots: files_kept,
        initial_cluster_is_new: !settings.initial.is_empty(),
        ..defaults()?.0.clone()
    })
}

pub(super) fn open(
    fs: &DynFs,
    settings: &Settings,
    transport: Arc<dyn Transport>,
    wrap: impl FnOnce(Box<dyn StateMachine>, &Store) -> Box<dyn StateMachine>,
) -> Result<Member, StartError> {
    let (numbers, config) = (settings.numbers, config(settings)?);
    let metrics = &defaults()?.1;
    let dir = DataDir::new(Path::new(DATA_DIR), None);
    dir.prepare(fs)?;
    let engine = BtreeOptions {
        page_size: numbers.page_size,
        ..engine_options(&config)
    };
    let opened = bootstrap::open(&Opening {
        fs,
        dir: &dir,
        config: &config,
        engine: &engine,
        wal: WalOptions {
            segment_size_bytes: numbers.segment_bytes,
            prefill: false,
            inline_pipeline: true,
            ..wal_options(&config)
        },
        first: &|| {
            Ok(FirstStart {
                id: settings.id,
                cluster_id: settings.cluster_id,
                initial: settings.initial.clone(),
                remotes: Vec::new(),
            })
        },
    })?;
    let clock = Arc::new(ManualClock::new());
    let backend = BackendOptions {
        manual: true,
        on_commit: None,
        ..backend_options(&config, metrics)
    };
    let stored = Stored::open(
        opened,
        &dir,
        backend,
        store_options_of(&config, metrics, numbers, &clock),
    )?;
    let store = stored.store.clone();
    let first_conf_state = stored.boot.conf_state.clone();
    let Replica {
        applier,
        boot,
        cluster,
        alarms: _,
        waiters,
    } = replica::assemble(
        stored,
        &config,
        metrics,
        MemberLinks::none(settings.id),
        Database {
            fs: fs.clone(),
            path: dir.db(),
            options: engine,
        },
        settings.seeded,
    )?;
    refuse_removed(&cluster.read())?;
    let told = Arc::new(Mutex::new(Told::default()));
    let stepper = Stepper::new(
        boot,
        &NodeConfig {
            log_bytes: numbers.log_bytes,
            ..node_config(&config, settings.started_unix_ms)
        },
        wrap(Box::new(applier), &store),
        transport,
        Arc::new(Ear {
            told: Arc::clone(&told),
            waiters: Arc::clone(&waiters),
        }),
    )?;
    Ok(Member {
        shared: Arc::new(Shared {
            id: settings.id,
            node: stepper.node().clone(),
            store,
            cluster,
            waiters,
            request_ids: RequestIds::new(settings.id, settings.started_unix_ms),
            seeded: settings.seeded,
        }),
        stepper,
        clock,
        told,
        duty: Duty::default(),
        looking: None,
        extend: config.election_timeout,
        checkpoints: config.lease_checkpoints.enabled,
        first_conf_state,
    })
}

fn store_options_of(
    config: &Config,
    metrics: &Arc<Metrics>,
    numbers: Numbers,
    clock: &Arc<ManualClock>,
) -> StoreOptions {
    let mut options = StoreOptions {
        manual: true,
        clock: Arc::clone(clock) as _,
        lease_checkpoint_interval: Duration::from_millis(numbers.checkpoint_interval_ms),
        on_compaction: None,
        ..store_options(config, metrics)
    };
    options.watch.queue_bytes = numbers.watch_queue_bytes;
    options
}
