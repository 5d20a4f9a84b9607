//! From a proposal to its commit on the leader, in memory: what the core itself costs.
//!
//! `cargo bench -p varve-raft`. An element is one proposal of 256 bytes; storage is a vector and the
//! network a function call, so the numbers are the core's share of a write and nothing else. All nodes
//! of a cluster run on this one thread.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use varve_proto::raftpb::Message;
use varve_raft::{Config, MemoryStorage, RawNode, Storage as _, is_local_target};

/// Entries after which a node's log is cut.
const KEEP: u64 = 10_000;

struct Cluster {
    nodes: Vec<(RawNode<MemoryStorage>, MemoryStorage)>,
    asynchronous: bool,
    wire: Vec<Message>,
    collected: Vec<Message>,
    /// Entries the leader handed out to be applied.
    committed: usize,
}

impl Cluster {
    fn new(voters: u64, asynchronous: bool) -> Self {
        let ids: Vec<u64> = (1..=voters).collect();
        let node = |&id: &u64| {
            let storage = MemoryStorage::with_voters(&ids);
            let config = Config {
                async_storage_writes: asynchronous,
                pre_vote: false,
                max_size_per_msg: u64::MAX,
                ..Config::new(id)
            };
            let raw = RawNode::new(config, storage.clone()).expect("the settings are sound");
            (raw, storage)
        };
        let nodes = ids.iter().map(node).collect();
        let mut cluster = Self {
            nodes,
            asynchronous,
            wire: Vec::new(),
            collected: Vec::new(),
            committed: 0,
        };
        cluster.nodes[0]
            .0
            .campaign()
            .expect("storage in memory does not fail");
        cluster.settle();
        assert_eq!(cluster.nodes[0].0.basic_status().lead, 1);
        cluster
    }

    /// Proposes a batch and works until everyone has it.
    fn commit(&mut self, batch: Vec<Bytes>) {
        let expected = self.committed + batch.len();
        self.nodes[0]
            .0
            .propose_batch(batch)
            .expect("the leader takes proposals");
        self.settle();
        assert_eq!(self.committed, expected, "what was proposed is committed");
    }

    fn settle(&mut self) {
        loop {
            for at in 0..self.nodes.len() {
                self.work(at);
            }
            if self.wire.is_empty() {
                return;
            }
            std::mem::swap(&mut self.wire, &mut self.collected);
            for message in self.collected.drain(..) {
                let at = usize::try_from(message.to - 1).expect("a node of this cluster");
                self.nodes[at].0.step(message).expect("peers are sound");
            }
        }
    }

    fn work(&mut self, at: usize) {
        let (raw, storage) = &mut self.nodes[at];
        while raw.has_ready() {
            let mut ready = raw.ready();
            if let Some(state) = ready.hard_state {
                storage.set_hard_state(state);
            }
            storage
                .append(&ready.entries)
                .expect("entries are consecutive");
            if at == 0 {
                self.committed += ready.committed_entries.len();
            }
            for message in &mut ready.messages {
                if !is_local_target(message.to) {
                    self.wire.push(std::mem::take(message));
                    continue;
                }
                for response in message.responses.drain(..) {
                    if response.to == at as u64 + 1 {
                        raw.step(response)
                            .expect("the node's own answers are sound");
                    } else {
                        self.wire.push(response);
                    }
                }
            }
            if self.asynchronous {
                raw.recycle(ready);
            } else {
                raw.advance(ready);
            }
        }
        let applied = raw.basic_status().applied;
        if applied > storage.first_index().unwrap_or(0) + KEEP {
            storage
                .compact(applied - 1)
                .expect("what is applied is in the log");
        }
    }
}

fn propose(criterion: &mut Criterion) {
    let payload = Bytes::from(vec![7_u8; 256]);
    for asynchronous in [true, false] {
        let mode = if asynchronous { "async" } else { "sync" };
        let mut group = criterion.benchmark_group(format!("propose to commit, {mode}"));
        for voters in [1_u64, 3] {
            for batch in [1_usize, 64] {
                group.throughput(Throughput::Elements(batch as u64));
                let name = BenchmarkId::new(format!("{voters} voters"), format!("batch {batch}"));
                let mut cluster = Cluster::new(voters, asynchronous);
                group.bench_function(name, |bencher| {
                    bencher.iter(|| cluster.commit(vec![payload.clone(); batch]));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, propose);
criterion_main!(benches);
