//! This repository's core.

use bytes::Bytes;
use varve_proto::raftpb::Message;
use varve_raft::{Config, MemoryStorage, RawNode, Storage as _, is_local_target};

use crate::group::{Group, KEEP, PAYLOAD_BYTES};

struct Node {
    raw: RawNode<MemoryStorage>,
    storage: MemoryStorage,
    applied: u64,
}

/// A group whose nodes all write in one of the two ways.
pub struct Cluster {
    nodes: Vec<Node>,
    asynchronous: bool,
    payload: Bytes,
    wire: Vec<Message>,
    collected: Vec<Message>,
}

impl Cluster {
    pub fn new(asynchronous: bool) -> Self {
        let node = |id| {
            let storage = MemoryStorage::with_voters(&[1, 2, 3]);
            let config = Config {
                async_storage_writes: asynchronous,
                pre_vote: false,
                max_size_per_msg: u64::MAX,
                ..Config::new(id)
            };
            Node {
                raw: RawNode::new(config, storage.clone()).expect("the settings are sound"),
                storage,
                applied: 0,
            }
        };
        // Shared once: clones of it are as those of a slice of a request.
        let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
        drop(payload.clone());
        let mut cluster = Self {
            nodes: (1..=3).map(node).collect(),
            asynchronous,
            payload,
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
        assert_eq!(cluster.nodes[0].raw.basic_status().lead, 1);
        cluster
    }
}

impl Node {
    fn work(&mut self, id: u64, asynchronous: bool, wire: &mut Vec<Message>) {
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            if let Some(state) = ready.hard_state {
                self.storage.set_hard_state(state);
            }
            self.storage
                .append(&ready.entries)
                .expect("there is no gap");
            let payloads = ready.committed_entries.iter().filter(|e| e.data.is_some());
            self.applied += payloads.count() as u64;
            if !asynchronous {
                wire.append(&mut ready.messages);
                self.raw.advance(ready);
                continue;
            }
            for message in &mut ready.messages {
                if !is_local_target(message.to) {
                    wire.push(std::mem::take(message));
                    continue;
                }
                for response in message.responses.drain(..) {
                    if response.to == id {
                        self.raw.step(response).expect("its own answers are sound");
                    } else {
                        wire.push(response);
                    }
                }
            }
            self.raw.recycle(ready);
        }
        let applied = self.raw.basic_status().applied;
        if applied > self.storage.first_index().unwrap_or(0) + KEEP {
            self.storage.compact(applied - 1).expect("it is in the log");
        }
    }
}

impl Group for Cluster {
    type Batch = Vec<Bytes>;

    fn batch(&self, size: usize) -> Vec<Bytes> {
        vec![self.payload.clone(); size]
    }

    fn propose(&mut self, batch: Vec<Bytes>) {
        let leader = &mut self.nodes[0].raw;
        leader
            .propose_batch(batch)
            .expect("the leader takes proposals");
    }

    fn work(&mut self) {
        for (id, node) in (1..).zip(&mut self.nodes) {
            node.work(id, self.asynchronous, &mut self.wire);
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
