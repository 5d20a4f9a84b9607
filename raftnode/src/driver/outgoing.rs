//! Snapshots on their way to other members, and how long the log is kept for their receivers.
//!
//! Part of the [`Driver`](super::Driver), on the raft thread. A receiver continues behind the snapshot it
//! gets: were the log released up to a newer one meanwhile, it would need yet another snapshot, and so on
//! for ever under load. Source of the rule: etcd `server/etcdserver/server.go` (`releaseDelayAfterSnapshot`).
use std::collections::BTreeSet;

/// What is under way.
#[derive(Debug)]
pub(super) struct OutgoingSnapshots {
    to: BTreeSet<u64>,
    /// The log is kept until this tick.
    hold_until: u64,
    hold_ticks: u64,
}

impl OutgoingSnapshots {
    pub(super) fn new(hold_ticks: u64) -> Self {
        Self {
            to: BTreeSet::new(),
            hold_until: 0,
            hold_ticks,
        }
    }

    /// A snapshot leaves for this member.
    pub(super) fn begin(&mut self, to: u64) {
        self.to.insert(to);
    }

    /// It arrived, or not. Whether one was under way.
    pub(super) fn end(&mut self, to: u64, tick: u64) -> bool {
        let known = self.to.remove(&to);
        if known {
            self.hold_until = tick + self.hold_ticks;
        }
        known
    }

    /// Whether the log must be kept as it is.
    pub(super) fn hold(&self, tick: u64) -> bool {
        !self.to.is_empty() || tick < self.hold_until
    }
}

#[cfg(test)]
mod tests;
