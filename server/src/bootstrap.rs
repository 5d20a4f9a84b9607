//! The data directory at start: opened as an earlier run left it, or made for a new member.
//!
//! Runs on the main thread before any of the member's. The order of opening is etcd's: data directory,
//! database (locked), log. Source: etcd `server/etcdserver/bootstrap.go`.
use std::path::Path;
use std::time::Duration;

use varve_backend_btree::{BtreeEngine, BtreeOptions, FreelistType};
use varve_mvcc::{Store, schema};
use varve_proto::raftpb::ConfState;
use varve_raftnode::Bootstrapped;
use varve_raftnode::membership::Member;
use varve_vfs::DynFs;
use varve_wal::WalOptions;

use crate::cluster::FirstStart;
use crate::config::{Config, FreelistKind};
use crate::data_dir::DataDir;
use crate::replica::v2_store;
use crate::start::StartError;
use crate::stored_cluster;

/// How long a database that another process holds is waited for: a restart may overlap the old one.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Least address space that a database is mapped into.
const MIN_MAP_BYTES: u64 = 10 << 30;

/// An opened data directory.
pub(crate) struct Opened {
    pub(crate) engine: BtreeEngine,
    pub(crate) boot: Bootstrapped,
    /// Whom a joining member learnt of from the cluster it joins; empty otherwise.
    pub(crate) remotes: Vec<Member>,
}

/// What a data directory is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) fs: &'a DynFs,
    pub(crate) dir: &'a DataDir,
    pub(crate) config: &'a Config,
    pub(crate) engine: &'a BtreeOptions,
    pub(crate) wal: WalOptions,
    /// Who the member is when it starts for the first time: asks the cluster.
    pub(crate) first: &'a dyn Fn() -> Result<FirstStart, StartError>,
}

/// Opens or makes the data directory.
///
/// # Errors
/// Nothing of an existing directory was changed, except that a torn log was repaired.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Opened, StartError> {
    let Opening {
        fs,
        dir,
        config,
        engine: options,
        ..
    } = *opening;
    let has_wal = varve_raftnode::has_wal(fs, &dir.wal)?;
    let engine = open_engine(fs, &dir.db(), options)?;
    let (mut boot, remotes) = if has_wal {
        let boot = varve_raftnode::open(fs, &dir.wal, &dir.snap, opening.wal)?;
        (finish_first_start(boot, opening)?, Vec::new())
    } else {
        refuse_orphan(&engine, dir)?;
        first(opening)?
    };
    let engine = match recover_received_db(fs, dir, &engine, &boot, options)? {
        Some(recovered) => recovered,
        None => engine,
    };
    boot.note_committed(consistent_index(&engine)?);
    if config.force_new_cluster && has_wal {
        force_new_cluster(&mut boot, config)?;
    }
    Ok(Opened {
        engine,
        boot,
        remotes,
    })
}

/// Makes this member the only one of its cluster: the others' removals enter its log as committed.
fn force_new_cluster(boot: &mut Bootstrapped, config: &Config) -> Result<(), StartError> {
    let own = Member {
        id: boot.node_id,
        peer_urls: config
            .initial_advertise_peer_urls
            .iter()
            .map(ToString::to_string)
            .collect(),
        name: config.name.clone(),
        ..Member::default()
    };
    let removed = boot.force_new_cluster(&own)?;
    let removed: Vec<String> = removed.iter().map(|id| format!("{id:x}")).collect();
    tracing::warn!(
        local_member_id = %format_args!("{:x}", boot.node_id),
        cluster_id = %format_args!("{:x}", boot.cluster_id),
        removed = removed.join(","),
        "forced a new cluster of this member alone"
    );
    Ok(())
}

/// Makes the log of a member that starts for the first time.
fn first(opening: &Opening<'_>) -> Result<(Bootstrapped, Vec<Member>), StartError> {
    let FirstStart {
        id,
        cluster_id,
        initial,
        remotes,
    } = (opening.first)()?;
    let boot = varve_raftnode::create(
        opening.fs,
        &opening.dir.wal,
        &opening.dir.snap,
        &initial,
        id,
        cluster_id,
        opening.wal,
    )?;
    let local_member_id = format_args!("{id:x}").to_string();
    let cluster_id = format_args!("{cluster_id:x}").to_string();
    if initial.is_empty() {
        tracing::info!(local_member_id, cluster_id, "joining a running cluster");
    } else {
        let members = initial.len();
        tracing::info!(local_member_id, cluster_id, members, "made a new cluster");
    }
    Ok((boot, remotes))
}

/// An earlier first start may have ended after it had made the log and before it had written to it. The
/// log of a member that joins looks the same until the leader has written to it; the ids tell them apart.
fn finish_first_start(
    mut boot: Bootstrapped,
    opening: &Opening<'_>,
) -> Result<Bootstrapped, StartError> {
    if !boot.is_unfinished() || !opening.config.initial_cluster_is_new {
        return Ok(boot);
    }
    let described = (opening.first)()?;
    if described.id == boot.node_id && described.cluster_id == boot.cluster_id {
        boot.write_initial_members(&described.initial)?;
    }
    Ok(boot)
}

/// The log lost its tail, and the database has it: go on behind the database.
pub(crate) fn continue_behind(
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

/// How the flags want the engine.
pub(crate) fn engine_options(config: &Config) -> BtreeOptions {
    let quota = config.quota_bytes().unwrap_or_default();
    BtreeOptions {
        lock_wait: LOCK_WAIT,
        freelist_type: match config.backend_freelist {
            FreelistKind::Map => FreelistType::Map,
            FreelistKind::Array => FreelistType::Array,
        },
        // etcd's rule: address space for a tenth more than the quota, at least 10 GiB.
        initial_map_bytes: (quota / 10 * 11).max(MIN_MAP_BYTES),
        // The list is believed without looking at the leaves: not if nobody knows whether they were written.
        freelist_sidecar: !config.unsafe_no_fsync,
        ..BtreeOptions::default()
    }
}

/// Opens the database at `path`, waiting for a moment if another process holds it.
pub(crate) fn open_engine(
    fs: &DynFs,
    path: &Path,
    options: &BtreeOptions,
) -> Result<BtreeEngine, StartError> {
    Ok(BtreeEngine::open(fs.clone(), path, options.clone())?)
}

/// Puts a database received from a leader in place, when a crash came between its arrival and that.
fn recover_received_db(
    fs: &DynFs,
    dir: &DataDir,
    engine: &BtreeEngine,
    boot: &Bootstrapped,
    options: &BtreeOptions,
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
    open_engine(fs, &dir.db(), options).map(Some)
}

pub(crate) fn consistent_index(engine: &BtreeEngine) -> Result<u64, StartError> {
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

/// How the flags want the log.
pub(crate) fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        unsafe_no_fsync: config.unsafe_no_fsync,
        ..WalOptions::default()
    }
}
