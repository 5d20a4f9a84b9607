//! Linearizable reads without a log entry: the queue of those that wait for a quorum.
//!
//! Used by the leader. A read asks for an index such that whoever has applied it sees everything that
//! was acknowledged before the read arrived. The commit index is one, provided its owner still leads,
//! which a round of heartbeats confirms (Raft thesis, 6.4).
//!
//! # Invariants
//! 1. Reads are confirmed in the order in which they arrived.
//! 2. A read is confirmed only by acknowledgements of a heartbeat sent after the read arrived.
//!    Heartbeats carry the *position* up to which reads had arrived, never anything a client chose: a
//!    late acknowledgement, or a request sent twice, cannot vouch for a younger read
//!    (etcd issue 20418; test `late_acks_of_an_old_read_do_not_release_a_newer_one`).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use varve_proto::raftpb::Message;

use crate::ids::{Index, NodeId};
use crate::quorum::JointConfig;

/// The answer to a read: once the application has applied `index`, it can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// The index to wait for.
    pub index: u64,
    /// What [`crate::RawNode::read_index`] was called with.
    pub request_ctx: Bytes,
}

/// A read that waits.
#[derive(Clone, Debug)]
pub(crate) struct PendingRead {
    pub(crate) request: Message,
    /// The commit index when it arrived.
    pub(crate) index: Index,
}

/// Reads waiting for confirmation, oldest first, numbered from 1 within a term of leadership.
#[derive(Debug, Default)]
pub(crate) struct ReadQueue {
    waiting: VecDeque<PendingRead>,
    /// How many were confirmed: the position before the first one waiting.
    confirmed: u64,
    /// The highest position each member acknowledged.
    acks: BTreeMap<NodeId, u64>,
}

impl ReadQueue {
    /// Position of the youngest read.
    fn last_position(&self) -> u64 {
        self.confirmed + self.waiting.len() as u64
    }

    pub(crate) fn push(&mut self, index: Index, request: Message) {
        self.waiting.push_back(PendingRead { request, index });
    }

    /// What a heartbeat sent now must carry so that its echo confirms all reads that wait; `None` if
    /// none does.
    pub(crate) fn heartbeat_context(&self) -> Option<Bytes> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(Bytes::copy_from_slice(&self.last_position().to_le_bytes()))
    }

    /// A member acknowledged everything that waits now: this node itself, of course, always does.
    pub(crate) fn acknowledge_all(&mut self, member: NodeId) {
        let position = self.last_position();
        self.acknowledge(member, position);
    }

    /// A member echoed a heartbeat's context. Anything else than a position this leader has handed out
    /// is ignored.
    pub(crate) fn echoed(&mut self, member: NodeId, context: &[u8]) {
        let Ok(context) = <[u8; 8]>::try_from(context) else {
            return;
        };
        let position = u64::from_le_bytes(context);
        if position <= self.last_position() {
            self.acknowledge(member, position);
        }
    }

    fn acknowledge(&mut self, member: NodeId, position: u64) {
        let known = self.acks.entry(member).or_default();
        *known = position.max(*known);
    }

    /// Takes out the reads that a quorum of `voters` confirmed.
    pub(crate) fn take_confirmed(&mut self, voters: &JointConfig) -> Vec<PendingRead> {
        let acked = |id| self.acks.get(&id).copied();
        let last = self.last_position();
        // No voters at all would agree to anything.
        let confirmed = voters.committed(acked).unwrap_or(last).min(last);
        let count = usize::try_from(confirmed.saturating_sub(self.confirmed)).unwrap_or(usize::MAX);
        self.confirmed = self.confirmed.max(confirmed);
        self.waiting
            .drain(..count.min(self.waiting.len()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
