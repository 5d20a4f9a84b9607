//! Three nodes in memory elect a leader, replicate, and survive losing it.
//!
//! Run with `cargo run -p varve-raft --example three_nodes`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;

use bytes::Bytes;
use varve_proto::raftpb::Message;
use varve_raft::{Config, Error, MemoryStorage, RawNode, StateRole};

struct Node {
    raw: RawNode<MemoryStorage>,
    storage: MemoryStorage,
    /// The application: what was proposed, in the order agreed on.
    applied: Vec<Bytes>,
}

impl Node {
    fn new(id: u64) -> Result<Self, Error> {
        let storage = MemoryStorage::with_voters(&[1, 2, 3]);
        let raw = RawNode::new(Config::new(id), storage.clone())?;
        Ok(Self {
            raw,
            storage,
            applied: Vec::new(),
        })
    }

    /// Does what the node asks for, and returns what is to be sent.
    fn work(&mut self) -> Result<Vec<Message>, Error> {
        let mut outbox = Vec::new();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            // A real driver makes this durable before it goes on.
            if let Some(state) = ready.hard_state {
                self.storage.set_hard_state(state);
            }
            self.storage.append(&ready.entries)?;
            outbox.append(&mut ready.messages);
            let payloads = ready
                .committed_entries
                .iter()
                .filter_map(|entry| entry.data.clone());
            self.applied.extend(payloads);
            self.raw.advance(ready);
        }
        Ok(outbox)
    }
}

/// Delivers messages among `nodes` until nobody has anything to say.
fn settle(nodes: &mut BTreeMap<u64, Node>) -> Result<(), Error> {
    loop {
        let mut wire = Vec::new();
        for node in nodes.values_mut() {
            wire.append(&mut node.work()?);
        }
        if wire.is_empty() {
            return Ok(());
        }
        for message in wire {
            // Messages to nodes that are gone are lost, as on a network.
            if let Some(node) = nodes.get_mut(&message.to) {
                node.raw.step(message)?;
            }
        }
    }
}

/// Lets time pass until somebody leads.
fn elect(nodes: &mut BTreeMap<u64, Node>) -> Result<u64, Error> {
    loop {
        for node in nodes.values_mut() {
            node.raw.tick();
        }
        settle(nodes)?;
        let leads = |node: &Node| node.raw.basic_status().role == StateRole::Leader;
        if let Some((id, node)) = nodes.iter().find(|(_, node)| leads(node)) {
            println!("node {id} leads in term {}", node.raw.basic_status().term);
            return Ok(*id);
        }
    }
}

fn main() -> Result<(), Error> {
    let mut nodes = BTreeMap::new();
    for id in 1..=3 {
        nodes.insert(id, Node::new(id)?);
    }
    let first = elect(&mut nodes)?;
    for text in ["one", "two"] {
        if let Some(leader) = nodes.get_mut(&first) {
            leader.raw.propose(Bytes::from_static(text.as_bytes()))?;
        }
        settle(&mut nodes)?;
    }

    println!("node {first} is lost");
    nodes.remove(&first);
    let second = elect(&mut nodes)?;
    // Any node takes proposals and passes them to the leader.
    for node in nodes
        .values_mut()
        .filter(|node| node.raw.basic_status().id != second)
    {
        node.raw.propose(Bytes::from_static(b"three"))?;
    }
    settle(&mut nodes)?;

    for (id, node) in &nodes {
        println!("node {id} applied {:?}", node.applied);
        assert_eq!(
            node.applied,
            ["one", "two", "three"],
            "every node applies the same"
        );
    }
    Ok(())
}
