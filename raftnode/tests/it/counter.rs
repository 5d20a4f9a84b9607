//! A state machine that remembers every payload it was given, and a member around it.
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{ConfChange, ConfChangeSingle, ConfChangeV2, Entry, EntryType, Snapshot};
use varve_raftnode::membership::{Member, cluster_id};
use varve_raftnode::{
    Fatal, NoPeers, Node, NodeConfig, Observer, PendingSnapshot, Reconfigure, StateExport,
    StateMachine, WalWrite,
};
use varve_vfs::DynFs;
use varve_wal::WalOptions;

pub(crate) const WAL: &str = "/member/wal";
pub(crate) const SNAP: &str = "/member/snap";
const ID: u64 = 0x1001;

/// What was applied: index and payload, in order. The payloads go into the snapshot as lines.
pub(crate) type Applied = Arc<Mutex<Vec<(u64, Bytes)>>>;

struct Counter {
    applied: Applied,
    told: Sender<(u64, Bytes)>,
}

impl StateMachine for Counter {
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal> {
        for entry in entries {
            let data = entry.data.clone().unwrap_or_default();
            if entry.r#type == EntryType::EntryConfChange as i32 {
                let change = ConfChange::decode(data)?;
                let single = ConfChangeSingle {
                    r#type: change.r#type,
                    node_id: change.node_id,
                };
                let change = ConfChangeV2 {
                    changes: vec![single],
                    ..ConfChangeV2::default()
                };
                raft.apply_conf_change(entry.index, change)?;
            } else if !data.is_empty() {
                self.applied.lock().push((entry.index, data.clone()));
                let _gone = self.told.send((entry.index, data));
            }
        }
        Ok(())
    }

    fn durable_index(&self) -> u64 {
        0
    }

    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal> {
        let lines: Vec<u8> = self
            .applied
            .lock()
            .iter()
            .flat_map(|(index, data)| [index.to_string().as_bytes(), b" ", data, b"\n"].concat())
            .collect();
        Ok(PendingSnapshot {
            data: lines.into(),
            make_durable: Box::new(|| Ok(())),
        })
    }

    fn export(&mut self) -> Result<StateExport, Fatal> {
        Err("one member has nobody to send its state to".into())
    }

    fn restore(&mut self, _: &Snapshot, _: &Path) -> Result<(), Fatal> {
        Err("one member has nobody to send it a snapshot".into())
    }
}

struct Watcher {
    snapshots: Sender<u64>,
}

impl Observer for Watcher {
    fn proposal_dropped(&self, _: u64) {}
    fn wal_written(&self, _: WalWrite) {}
    fn leader_changed(&self, _: u64, _: u64) {}
    fn snapshot_saved(&self, index: u64) {
        let _gone = self.snapshots.send(index);
    }
    fn failed(&self, _: &(dyn std::error::Error + Send + Sync)) {}
}

/// A running member and what it tells.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) applied: Applied,
    pub(crate) told: Receiver<(u64, Bytes)>,
    pub(crate) snapshots: Receiver<u64>,
    /// Index that was committed when it started.
    pub(crate) commit_at_start: u64,
}

/// Starts a member on a file system; a new one where there is no log.
pub(crate) fn start(fs: &DynFs, snapshot_count: u64) -> varve_raftnode::Result<Running> {
    let (wal, snap) = (Path::new(WAL), Path::new(SNAP));
    let options = WalOptions {
        segment_size_bytes: 64 << 10,
        ..WalOptions::default()
    };
    fs.create_dir_all(snap, 0o700)
        .and_then(|()| fs.sync_dir(Path::new("/")))
        .and_then(|()| fs.sync_dir(Path::new("/member")))
        .map_err(varve_raftnode::Error::Thread)?;
    let member = Member {
        id: ID,
        peer_urls: vec!["http://localhost:2380".to_owned()],
        name: "one".to_owned(),
        ..Member::default()
    };
    let boot = if varve_raftnode::has_wal(fs, wal)? {
        let mut boot = varve_raftnode::open(fs, wal, snap, options)?;
        if boot.is_unfinished() {
            boot.write_initial_members(&[member])?;
        }
        boot
    } else {
        varve_raftnode::create(fs, wal, snap, &[member], ID, cluster_id([ID]), options)?
    };
    let applied = Applied::default();
    if let Some(snapshot) = &boot.snapshot {
        *applied.lock() = parse(snapshot.data.as_deref().unwrap_or_default());
    }
    let commit_at_start = boot.commit_index();
    let (told, hear) = channel();
    let (snapshots, saved) = channel();
    let counter = Counter {
        applied: Arc::clone(&applied),
        told,
    };
    let config = NodeConfig {
        tick: Duration::from_millis(10),
        election_ticks: 10,
        pre_vote: true,
        advance_first_election: true,
        snapshot_count,
        catch_up_entries: 5,
        log_bytes: 1 << 20,
        max_waiting_requests: 1000,
        max_wals: 2,
        max_snapshots: 2,
        jitter_seed: 1,
        started_unix_ms: 1_700_000_000_000,
        stalled_sync_timeouts: 1,
        commit_delay: Duration::ZERO,
    };
    let observer = Arc::new(Watcher { snapshots });
    let node = Node::start(
        boot,
        &config,
        Box::new(counter),
        Arc::new(NoPeers),
        observer,
    )?;
    Ok(Running {
        node,
        applied,
        told: hear,
        snapshots: saved,
        commit_at_start,
    })
}

fn parse(lines: &[u8]) -> Vec<(u64, Bytes)> {
    lines
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|line| {
            let space = line.iter().position(|b| *b == b' ').unwrap();
            let index = std::str::from_utf8(&line[..space])
                .unwrap()
                .parse()
                .unwrap();
            (index, Bytes::copy_from_slice(&line[space + 1..]))
        })
        .collect()
}

/// Waits until a member has applied what was committed when it started.
pub(crate) fn wait_replayed(running: &Running) {
    let (done, replayed) = channel();
    running.node.published().applied().when(
        running.commit_at_start,
        Box::new(move || {
            let _gone = done.send(());
        }),
    );
    replayed.recv_timeout(Duration::from_secs(30)).unwrap();
}
