//! Three members with all their threads, which deliver to each other directly.
//!
//! The scripts and seeds run the same code in one thread; this shows that the threads do it, too. Members
//! wait for what they expect; no outcome depends on how fast they are.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::UnboundedSender;
use varve_proto::raftpb::{ConfChange, ConfChangeType, Message};
use varve_raftnode::membership::{Member, cluster_id};
use varve_raftnode::{
    Node, NodeConfig, Observer, RequestError, StateExport, Transport, WalWrite, create, open,
};
use varve_vfs::{DynFs, SimFs, durable};
use varve_wal::WalOptions;

use super::ledger::{Ledger, Shared};

pub(super) const SOON: Duration = Duration::from_mins(1);
const WAL: &str = "/member/wal";
const SNAP: &str = "/member/snap";

#[derive(Default)]
pub(super) struct Switchboard {
    pub(super) nodes: RwLock<BTreeMap<u64, (Node, DynFs)>>,
    /// Members that nobody reaches.
    away: Mutex<Vec<u64>>,
    /// Where messages for a member are left for a thread to bring them; others are brought by who sends them.
    pub(super) carriers: RwLock<BTreeMap<u64, UnboundedSender<Message>>>,
    /// Names of the threads that sent something: they took a turn.
    pub(super) senders: Mutex<BTreeSet<String>>,
}

struct Line {
    id: u64,
    board: Arc<Switchboard>,
}

impl Line {
    fn reach(&self, to: u64) -> Option<(Node, DynFs)> {
        let away = self.board.away.lock();
        if away.contains(&to) || away.contains(&self.id) {
            return None;
        }
        self.board.nodes.read().get(&to).cloned()
    }
}

impl Transport for Line {
    fn send(&self, messages: Vec<Message>) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().to_owned();
        self.board.senders.lock().insert(name);
        for message in messages {
            let Some((node, _)) = self.reach(message.to) else {
                continue;
            };
            if let Some(carrier) = self.board.carriers.read().get(&message.to) {
                let _ended = carrier.send(message);
            } else {
                let _full = node.receive(message);
            }
        }
    }

    fn send_snapshot(&self, message: Message, mut state: StateExport) {
        let to = message.to;
        let arrived = self.reach(to).is_some_and(|(node, fs)| {
            let index = message.snapshot.as_ref().unwrap().metadata.index;
            let mut database = Vec::new();
            state.reader.read_to_end(&mut database).unwrap();
            let path = PathBuf::from(format!("{SNAP}/{index:016x}.snap.db"));
            durable::write_file(fs.as_ref(), &path, &database, 0o600).unwrap();
            node.receive(message).is_ok()
        });
        if let Some((own, _)) = self.board.nodes.read().get(&self.id) {
            own.report_snapshot(to, arrived);
        }
    }
}

struct Deaf;

impl Observer for Deaf {
    fn proposal_dropped(&self, _: u64) {}
    fn wal_written(&self, _: WalWrite) {}
    fn leader_changed(&self, _: u64, _: u64) {}
    fn snapshot_saved(&self, _: u64) {}
    fn failed(&self, error: &(dyn std::error::Error + Send + Sync)) {
        panic!("a member failed: {error}");
    }
}

pub(super) fn start(board: &Arc<Switchboard>, id: u64, fs: &DynFs, first: bool) -> Shared {
    start_ticking(board, id, fs, first, Duration::from_millis(50))
}

pub(super) fn start_ticking(
    board: &Arc<Switchboard>,
    id: u64,
    fs: &DynFs,
    first: bool,
    tick: Duration,
) -> Shared {
    let (wal, snap) = (Path::new(WAL), Path::new(SNAP));
    durable::create_dir_all(fs.as_ref(), snap, 0o700).unwrap();
    let members: Vec<_> = (1..=3)
        .map(|id| Member {
            id,
            peer_urls: vec![format!("http://10.0.0.{id}:2380")],
            ..Member::default()
        })
        .collect();
    let boot = if first {
        create(
            fs,
            wal,
            snap,
            &members,
            id,
            cluster_id(1..=3),
            WalOptions::default(),
        )
    } else {
        open(fs, wal, snap, WalOptions::default())
    };
    let mut boot = boot.unwrap();
    let ledger = Ledger::open(fs, boot.snapshot_index, 50).unwrap();
    boot.note_committed(ledger.durable());
    let (content, _) = ledger.shared();
    let config = NodeConfig {
        tick,
        election_ticks: 10,
        pre_vote: true,
        advance_first_election: true,
        snapshot_count: 200,
        catch_up_entries: 20,
        log_bytes: 1 << 20,
        max_waiting_requests: 10_000,
        max_wals: 2,
        max_snapshots: 2,
        jitter_seed: id,
        started_unix_ms: 1_700_000_000_000,
        stalled_sync_timeouts: 1,
        commit_delay: Duration::from_millis(1),
    };
    let line = Line {
        id,
        board: Arc::clone(board),
    };
    let node = Node::start(
        boot,
        &config,
        Box::new(ledger),
        Arc::new(line),
        Arc::new(Deaf),
    )
    .unwrap();
    board.nodes.write().insert(id, (node, fs.clone()));
    content
}

pub(super) fn node(board: &Switchboard, id: u64) -> Node {
    board.nodes.read()[&id].0.clone()
}

pub(super) fn stop(board: &Switchboard) {
    let ids: Vec<u64> = board.nodes.read().keys().copied().collect();
    for id in ids {
        node(board, id).stop();
    }
}

/// An index that covers everything acknowledged; asked again where the leader changes.
pub(super) fn read(board: &Switchboard, id: u64) -> u64 {
    loop {
        let (done, answer) = channel();
        let done = Box::new(move |index| {
            let _gone = done.send(index);
        });
        node(board, id).read_index(done).unwrap();
        match answer.recv_timeout(SOON).unwrap() {
            Ok(index) => return index,
            Err(RequestError::LeaderChanged) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) fn wait(board: &Switchboard, id: u64, index: u64) {
    let (done, reached) = channel();
    let done = Box::new(move || {
        let _gone = done.send(());
    });
    node(board, id).published().applied().when(index, done);
    reached.recv_timeout(SOON).unwrap();
}

#[test]
fn threads_replicate_catch_up_by_snapshot_and_change_members() {
    let board = Arc::new(Switchboard::default());
    let disks: Vec<DynFs> = (1..=3).map(|_| SimFs::new().shared()).collect();
    let mut contents: Vec<Shared> = (1..)
        .zip(&disks)
        .map(|(id, fs)| start(&board, id, fs, true))
        .collect();
    read(&board, 1);
    for n in 0..300u32 {
        let at = u64::from(n % 3) + 1;
        node(&board, at)
            .propose(u64::from(n), Bytes::from(format!("{n:040}")))
            .unwrap();
    }
    // Proposals that were passed on may come later than a read that was asked for after them, so wait
    // for the number of them.
    let all = |content: &Shared, count: usize| {
        let (board, content) = (Arc::clone(&board), Arc::clone(content));
        let mut index = read(&board, 1);
        for _ in 0..10_000 {
            wait(&board, 1, index);
            if content.lock().entries.len() >= count {
                return index;
            }
            index = read(&board, 1);
        }
        panic!("{} of {count} entries", content.lock().entries.len());
    };
    all(&contents[0], 300);

    // One is away for longer than the log reaches.
    let leader = node(&board, 1).status().leader;
    let away = (1..=3).find(|id| *id != leader && *id != 1).unwrap();
    board.away.lock().push(away);
    let place = usize::try_from(away - 1).unwrap();
    for n in 300..1000u32 {
        node(&board, leader)
            .propose(u64::from(n), Bytes::from(format!("{n:040}")))
            .unwrap();
    }
    all(&contents[0], 1000);
    board.away.lock().clear();
    let index = read(&board, 1);
    wait(&board, away, index);
    assert_eq!(contents[place].lock().entries, contents[0].lock().entries);

    // It restarts from what it has.
    node(&board, away).stop();
    board.nodes.write().remove(&away);
    contents[place] = start(&board, away, &disks[place], false);
    wait(&board, away, read(&board, 1));
    assert_eq!(contents[place].lock().entries, contents[0].lock().entries);

    // The conf change goes from the apply thread through the raft thread and back.
    let (done, proposed) = channel();
    let change = ConfChange {
        id: 1,
        r#type: ConfChangeType::ConfChangeAddLearnerNode as i32,
        node_id: 9,
        context: None,
    };
    let done = Box::new(move |outcome| {
        let _gone = done.send(outcome);
    });
    node(&board, 1).propose_conf_change(change, done).unwrap();
    proposed.recv_timeout(SOON).unwrap().unwrap();
    let members = (0..10_000).find_map(|_| {
        wait(&board, 1, read(&board, 1));
        let (done, answer) = channel();
        let done = Box::new(move |progress| {
            let _gone = done.send(progress);
        });
        let leader = node(&board, 1).status().leader;
        node(&board, leader).progress(done).unwrap();
        let progress = answer.recv_timeout(SOON).unwrap().unwrap();
        progress.member(9).is_some().then_some(progress.members)
    });
    let learners: Vec<u64> = members
        .expect("the leader has the new member")
        .iter()
        .filter(|m| m.is_learner)
        .map(|m| m.id)
        .collect();
    assert_eq!(learners, [9]);

    stop(&board);
}
