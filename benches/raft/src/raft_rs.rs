//! raft-rs, driven as its documentation says.

use raft::eraftpb::{Entry, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, Storage as _};

use crate::group::{Group, KEEP, PAYLOAD_BYTES};

struct Node {
    raw: RawNode<MemStorage>,
    storage: MemStorage,
    applied: u64,
    last_applied: u64,
}

/// A group.
pub struct Cluster {
    nodes: Vec<Node>,
    wire: Vec<Message>,
    collected: Vec<Message>,
}

impl Cluster {
    pub fn new() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = |id| {
            let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
            let config = Config {
                id,
                election_tick: 10,
                heartbeat_tick: 1,
                max_size_per_msg: u64::MAX,
                max_inflight_msgs: 512,
                check_quorum: true,
                ..Config::default()
            };
            Node {
                raw: RawNode::new(&config, storage.clone(), &logger)
                    .expect("the settings are sound"),
                storage,
                applied: 0,
                last_applied: 0,
            }
        };
        let mut cluster = Self {
            nodes: (1..=3).map(node).collect(),
            wire: Vec::new(),
            collected: Vec::new(),
        };
        cluster.nodes[0].raw.campaign().expect("it may campaign");
        loop {
            cluster.work();
            if !cluster.collect() {
                break;
            }
            cluster.deliver();
        }
        assert_eq!(cluster.nodes[0].raw.raft.leader_id, 1);
        cluster
    }
}

impl Node {
    fn apply(&mut self, entries: &[Entry]) {
        if let Some(last) = entries.last() {
            self.last_applied = last.index;
        }
        self.applied += entries.iter().filter(|e| !e.data.is_empty()).count() as u64;
    }

    fn work(&mut self, wire: &mut Vec<Message>) {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            wire.append(&mut ready.take_messages());
            let committed = ready.take_committed_entries();
            self.apply(&committed);
            {
                let mut store = self.storage.wl();
                store.append(ready.entries()).expect("there is no gap");
                if let Some(state) = ready.hs() {
                    store.set_hardstate(state.clone());
                }
            }
            wire.append(&mut ready.take_persisted_messages());
            let mut light = self.raw.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.storage.wl().mut_hard_state().commit = commit;
            }
            wire.append(&mut light.take_messages());
            let committed = light.take_committed_entries();
            self.apply(&committed);
            self.raw.advance_apply();
        }
        if self.last_applied > self.storage.first_index().unwrap_or(0) + KEEP {
            let mut store = self.storage.wl();
            store.compact(self.last_applied).expect("it is in the log");
        }
    }
}

impl Group for Cluster {
    type Batch = Vec<Vec<u8>>;

    fn batch(&self, size: usize) -> Vec<Vec<u8>> {
        vec![vec![7; PAYLOAD_BYTES]; size]
    }

    /// In one message, as its API offers it to who steps messages.
    fn propose(&mut self, batch: Vec<Vec<u8>>) {
        let leader = &mut self.nodes[0].raw;
        let entry = |data: Vec<u8>| Entry {
            data,
            ..Entry::default()
        };
        let mut message = Message {
            from: 1,
            entries: batch.into_iter().map(entry).collect(),
            ..Message::default()
        };
        message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
        leader
            .raft
            .step(message)
            .expect("the leader takes proposals");
    }

    fn work(&mut self) {
        for node in &mut self.nodes {
            node.work(&mut self.wire);
        }
    }

    fn collect(&mut self) -> bool {
        std::mem::swap(&mut self.wire, &mut self.collected);
        !self.collected.is_empty()
    }

    #[inline(never)]
    fn deliver(&mut self) -> u64 {
        let count = self.collected.len() as u64;
        for message in self.collected.drain(..) {
            let at = usize::try_from(message.to - 1).expect("a node of this group");
            self.nodes[at].raw.step(message).expect("peers are sound");
        }
        count
    }

    fn applied(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| node.applied)
            .min()
            .unwrap_or(0)
    }
}
