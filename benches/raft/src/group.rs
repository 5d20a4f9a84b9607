//! The loop, whatever the library.

use std::time::Instant;

use crate::measure::{Counters, Sample};

/// Bytes of an entry's payload.
pub const PAYLOAD_BYTES: usize = 256;

/// Entries after which a node's log is cut.
pub const KEEP: u64 = 10_000;

/// Three nodes, the first of which leads.
pub trait Group {
    /// A batch of proposals, as the library takes them.
    type Batch;

    /// Makes a batch.
    fn batch(&self, size: usize) -> Self::Batch;

    /// Hands a batch to the leader.
    fn propose(&mut self, batch: Self::Batch);

    /// Has every node do its work; what it sends is kept.
    fn work(&mut self);

    /// Takes what was sent off the wire, for `deliver`. False: nothing was.
    fn collect(&mut self) -> bool;

    /// Steps what was collected; returns how many messages that were.
    fn deliver(&mut self) -> u64;

    /// Entries with a payload that every node has applied.
    fn applied(&self) -> u64;
}

fn settle<G: Group>(group: &mut G, counters: &mut Counters) {
    loop {
        group.work();
        if !group.collect() {
            return;
        }
        let began = Instant::now();
        let messages = group.deliver();
        counters.stepped(began, messages);
    }
}

/// Proposes and applies `proposals` entries.
pub fn run<G: Group>(mut group: G, proposals: usize, batch: usize) -> Sample {
    // A tenth more at first: buffers grow to their size.
    let mut counters = Counters::start();
    for _ in 0..proposals / 10 / batch {
        let proposal = group.batch(batch);
        group.propose(proposal);
        settle(&mut group, &mut counters);
    }
    let batches: Vec<_> = (0..proposals / batch).map(|_| group.batch(batch)).collect();
    let expected = group.applied() + (batches.len() * batch) as u64;
    let mut counters = Counters::start();
    for proposal in batches {
        group.propose(proposal);
        settle(&mut group, &mut counters);
    }
    let sample = counters.stop(proposals / batch * batch);
    assert_eq!(
        group.applied(),
        expected,
        "what was proposed is applied everywhere"
    );
    sample
}
