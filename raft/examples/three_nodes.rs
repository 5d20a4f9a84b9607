//! Three nodes in memory elect a leader, replicate, and survive losing it.
//!
//! Run with `cargo run -p varve-raft --example three_nodes`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]
use bytes::Bytes;
use varve_raft::{Config, Error, MemoryStorage, RawNode, StateRole};

/// A node, and its application: what was proposed, in the order agreed on.
type Node = (RawNode<MemoryStorage>, Vec<Bytes>);

/// Does what the nodes ask for, and carries their messages, until nobody has anything to say.
fn settle(nodes: &mut [Node]) -> Result<(), Error> {
    loop {
        let mut wire = Vec::new();
        for (raw, applied) in &mut *nodes {
            while raw.has_ready() {
                let mut ready = raw.ready();
                // A real driver makes this durable before it goes on.
                if let Some(state) = ready.hard_state {
                    raw.storage().set_hard_state(state);
                }
                raw.storage().append(&ready.entries)?;
                wire.append(&mut ready.messages);
                let entries = ready.committed_entries.iter();
                applied.extend(entries.filter_map(|entry| entry.data.clone()));
                raw.advance(ready);
            }
        }
        if wire.is_empty() {
            return Ok(());
        }
        for message in wire {
            // Messages to nodes that are gone are lost, as on a network.
            for (raw, _) in &mut *nodes {
                if raw.basic_status().id == message.to {
                    raw.step(message.clone())?;
                }
            }
        }
    }
}

/// Lets time pass until somebody leads; its place in the list.
fn elect(nodes: &mut [Node]) -> Result<usize, Error> {
    loop {
        for (raw, _) in &mut *nodes {
            raw.tick();
        }
        settle(nodes)?;
        for (at, (raw, _)) in nodes.iter().enumerate() {
            let status = raw.basic_status();
            if status.role == StateRole::Leader {
                println!("node {} leads in term {}", status.id, status.term);
                return Ok(at);
            }
        }
    }
}

fn main() -> Result<(), Error> {
    let mut nodes: Vec<Node> = Vec::new();
    for id in 1..=3 {
        let raw = RawNode::new(Config::new(id), MemoryStorage::with_voters(&[1, 2, 3]))?;
        nodes.push((raw, Vec::new()));
    }
    let leader = elect(&mut nodes)?;
    nodes[leader].0.propose("one".into())?;
    settle(&mut nodes)?;
    println!("it is lost, and the others go on");
    nodes.remove(leader);
    let leader = elect(&mut nodes)?;
    // Any node takes proposals and passes them to the leader.
    nodes[1 - leader].0.propose("two".into())?;
    settle(&mut nodes)?;
    for (raw, applied) in &nodes {
        println!("node {} applied {applied:?}", raw.basic_status().id);
        assert_eq!(applied, &["one", "two"], "every node applies the same");
    }
    Ok(())
}
