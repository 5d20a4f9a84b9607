//! From a directory to a member that can start: a new log, or what an earlier run left.
//!
//! Runs before any thread. Source of the order of steps: etcd `server/etcdserver/bootstrap.go`.
use std::path::{Path, PathBuf};

use bytes::Bytes;
use varve_proto::etcdserverpb::Metadata;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, HardState, Snapshot, SnapshotMetadata,
};
use varve_proto::walpb;
use varve_snap::Snapshotter;
use varve_vfs::DynFs;
use varve_wal::{Appender, Wal, WalOptions};

use crate::error::{Error, Result};
use crate::log_store::LogStore;
use crate::membership::{Member, cluster_id, to_json};

mod force_new;

/// A member's state on disk, opened and locked.
#[derive(Debug)]
pub struct Bootstrapped {
    /// This member's id.
    pub node_id: u64,
    /// The cluster's id.
    pub cluster_id: u64,
    /// Whether the log was made by this start.
    pub is_new: bool,
    /// The raft snapshot that the log starts from, if there is one.
    pub snapshot: Option<Snapshot>,
    /// Its index, 0 without one.
    pub snapshot_index: u64,
    /// The configuration at the snapshot.
    pub conf_state: ConfState,
    pub(crate) log: LogStore,
    pub(crate) hard_state: HardState,
    pub(crate) appender: Appender,
    pub(crate) snapshotter: Snapshotter,
    pub(crate) fs: DynFs,
    pub(crate) wal_dir: PathBuf,
}

impl Bootstrapped {
    /// Index of the last entry in the log.
    pub fn last_index(&self) -> u64 {
        varve_raft::Storage::last_index(&self.log).unwrap_or(self.snapshot_index)
    }

    /// Term of the entry at the snapshot's index, 0 without one.
    pub fn snapshot_term(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |s| s.metadata.term)
    }

    /// Whether the log was made and nothing was written to it: an earlier first start ended in between.
    /// [`write_initial_members`](Self::write_initial_members) completes it.
    pub fn is_unfinished(&self) -> bool {
        self.snapshot.is_none() && self.last_index() == 0 && self.hard_state == HardState::default()
    }

    /// Writes the beginning of a new cluster's log: one conf change per member, all of them committed.
    ///
    /// # Errors
    /// The log could not be written. [`Error::NotInitialMember`] when it was made for another member or
    /// another cluster: a member that was to join a running one, and is now started with flags that make a
    /// new one, has nothing to do with the cluster these describe.
    pub fn write_initial_members(&mut self, members: &[Member]) -> Result<()> {
        check_initial(members, self.node_id, self.cluster_id, &self.wal_dir)?;
        let entries = initial_entries(members);
        let state = HardState {
            term: 1,
            vote: 0,
            commit: entries.len() as u64,
        };
        self.appender.save(Some(&state), &entries, true)?;
        self.log = LogStore::new(Snapshot::default(), state, entries);
        self.hard_state = state;
        Ok(())
    }

    /// Lets the log go on behind a state that lies past its end.
    ///
    /// The tail of the log was torn and cut, but the state had been made durable further than that: what
    /// was lost is in the state. Going on at the end of the log would give indexes out twice, and the
    /// second entries would pass for applied. So a snapshot record is written at the state's index, and
    /// the next entry follows it. Only for a member whose cluster has no other voter: where there are
    /// others, this member has acknowledged entries that it no longer has.
    ///
    /// # Errors
    /// The snapshot or the record could not be written; the directory is as good as before.
    pub fn continue_behind(
        &mut self,
        index: u64,
        term: u64,
        conf_state: ConfState,
        data: Bytes,
    ) -> Result<()> {
        let metadata = SnapshotMetadata {
            conf_state: conf_state.clone(),
            index,
            term,
        };
        let snapshot = Snapshot {
            data: Some(data),
            metadata,
        };
        self.snapshotter.save(&snapshot)?;
        let mut state = self.hard_state;
        if term > state.term {
            state = HardState {
                term,
                vote: 0,
                commit: state.commit,
            };
        }
        state.commit = index;
        self.appender.save(Some(&state), &[], true)?;
        let record = walpb::Snapshot {
            index,
            term,
            conf_state: Some(conf_state.clone()),
        };
        self.appender.save_snapshot(&record)?;
        self.hard_state = state;
        self.log = LogStore::new(snapshot.clone(), state, Vec::new());
        self.snapshot = Some(snapshot);
        self.snapshot_index = index;
        self.conf_state = conf_state;
        Ok(())
    }

    /// Takes entries up to `index` for committed: a durable state contains them. The state record that
    /// says so is not synced for itself, so a crash may leave an older one.
    pub fn note_committed(&mut self, index: u64) {
        let committed = index.min(self.last_index());
        if committed > self.hard_state.commit {
            self.hard_state.commit = committed;
            self.log.set_hard_state(self.hard_state);
        }
    }

    /// The term of the state record, or of the snapshot where that is newer.
    pub fn term(&self) -> u64 {
        self.hard_state.term
    }

    /// Index up to which entries were known to be committed.
    pub fn commit_index(&self) -> u64 {
        self.hard_state.commit.max(self.snapshot_index)
    }
}

/// Whether the directory holds a log.
pub fn has_wal(fs: &DynFs, wal_dir: &Path) -> Result<bool> {
    Ok(Wal::exists(fs, wal_dir)?)
}

/// Makes the log of a new cluster: one conf change per initial member, all of them committed. Every
/// member of a new cluster does this with the same members. Without members it makes the empty log of one
/// that joins a running cluster: it cannot vote before the leader has sent it a configuration.
///
/// # Errors
/// [`Error::LogExists`] when the directory holds a log already, [`Error::NotInitialMember`] when the ids
/// do not fit the members.
pub fn create(
    fs: &DynFs,
    wal_dir: &Path,
    snap_dir: &Path,
    members: &[Member],
    node_id: u64,
    cluster_id: u64,
    options: WalOptions,
) -> Result<Bootstrapped> {
    if has_wal(fs, wal_dir)? {
        return Err(Error::LogExists {
            dir: wal_dir.to_owned(),
        });
    }
    if !members.is_empty() {
        check_initial(members, node_id, cluster_id, wal_dir)?;
    }
    let metadata = Metadata {
        node_id,
        cluster_id,
    }
    .encode_to_vec();
    let appender = Wal::create(fs, wal_dir, &metadata, options)?;
    let mut boot = Bootstrapped {
        node_id,
        cluster_id,
        is_new: true,
        snapshot: None,
        snapshot_index: 0,
        conf_state: ConfState::default(),
        log: LogStore::default(),
        hard_state: HardState::default(),
        appender,
        snapshotter: Snapshotter::new(fs.clone(), snap_dir),
        fs: fs.clone(),
        wal_dir: wal_dir.to_owned(),
    };
    // A member that joins a running cluster begins with nothing: its log comes from the leader.
    if !members.is_empty() {
        boot.write_initial_members(members)?;
    }
    Ok(boot)
}

/// Opens what an earlier run left: the newest snapshot that the log knows of, and the log after it.
/// A torn tail is repaired once, as etcd does.
///
/// # Errors
/// Whatever makes the log or the snapshot unusable, with file and offset; nothing is changed then.
pub fn open(
    fs: &DynFs,
    wal_dir: &Path,
    snap_dir: &Path,
    options: WalOptions,
) -> Result<Bootstrapped> {
    let snapshotter = Snapshotter::new(fs.clone(), snap_dir);
    let known = Wal::valid_snapshot_entries(fs, wal_dir)?;
    let snapshot = snapshotter.load_newest_valid(&known)?;
    let metadata = snapshot
        .as_ref()
        .map(|s| s.metadata.clone())
        .unwrap_or_default();
    let start = walpb::Snapshot {
        index: metadata.index,
        term: metadata.term,
        conf_state: None,
    };
    let (replay, appender) = match read_all(fs, wal_dir, &start, options) {
        Err(error) if error.is_repairable() => {
            tracing::warn!(%error, "the log ends in a torn record; repairing it");
            Wal::repair(fs, wal_dir)?;
            read_all(fs, wal_dir, &start, options)?
        }
        result => result?,
    };
    let own = Metadata::decode(replay.metadata).map_err(|source| Error::Metadata {
        dir: wal_dir.to_owned(),
        source,
    })?;
    let mut hard_state = replay.hard_state.unwrap_or_default();
    let last = replay.entries.last().map_or(metadata.index, |e| e.index);
    if hard_state.commit > last {
        return Err(Error::CommitPastEnd {
            dir: wal_dir.to_owned(),
            commit: hard_state.commit,
            last,
        });
    }
    // The state record in a log that was released may be older than the snapshot.
    hard_state.commit = hard_state.commit.max(metadata.index);
    hard_state.term = hard_state.term.max(metadata.term);
    let log = LogStore::new(
        snapshot.clone().unwrap_or_default(),
        hard_state,
        replay.entries,
    );
    Ok(Bootstrapped {
        node_id: own.node_id,
        cluster_id: own.cluster_id,
        is_new: false,
        snapshot_index: metadata.index,
        conf_state: metadata.conf_state,
        snapshot,
        log,
        hard_state,
        appender,
        snapshotter,
        fs: fs.clone(),
        wal_dir: wal_dir.to_owned(),
    })
}

fn read_all(
    fs: &DynFs,
    dir: &Path,
    start: &walpb::Snapshot,
    options: WalOptions,
) -> std::result::Result<(varve_wal::Replay, Appender), varve_wal::Error> {
    Wal::open(fs, dir, start, options)?.read_all()
}

/// A log begins with the members of the cluster that it belongs to, one of which is its own.
fn check_initial(members: &[Member], node_id: u64, cluster: u64, dir: &Path) -> Result<()> {
    let ids = members.iter().map(|m| m.id);
    if members.iter().any(|m| m.id == node_id) && cluster_id(ids) == cluster {
        return Ok(());
    }
    Err(Error::NotInitialMember {
        dir: dir.to_owned(),
        node_id,
        cluster_id: cluster,
    })
}

/// The log of a new cluster, as etcd's raft writes it: members ascending by id, term 1.
fn initial_entries(members: &[Member]) -> Vec<Entry> {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_unstable_by_key(|m| m.id);
    (1..)
        .zip(members)
        .map(|(index, member)| {
            let change = ConfChange {
                id: 0,
                r#type: ConfChangeType::ConfChangeAddNode as i32,
                node_id: member.id,
                context: Some(to_json(member).into_bytes().into()),
            };
            Entry {
                r#type: EntryType::EntryConfChange as i32,
                term: 1,
                index,
                data: Some(change.encode_to_vec().into()),
            }
        })
        .collect()
}
