//! Proposals: into the log of a leader, or on to the leader.
//!
//! Part of the [`Driver`], on the raft thread.
use bytes::Bytes;
use varve_proto::raftpb::ConfChange;
use varve_raft::{Error as RaftError, StateRole};

use super::Driver;
use crate::error::RequestError;

/// Payload bytes of proposals that a follower passes on in one message.
const FORWARD_BYTES: usize = 1 << 20;

impl Driver {
    pub(super) fn propose(&mut self, ids: Vec<u64>, batch: Vec<Bytes>) {
        if batch.is_empty() {
            return;
        }
        if self.raw.basic_status().role != StateRole::Leader {
            return self.forward(&ids, batch);
        }
        // A batch is refused whole (the bound on uncommitted bytes); each entry then tries alone.
        if batch.len() > 1 && self.raw.propose_batch(batch.clone()).is_ok() {
            return;
        }
        for (id, data) in ids.into_iter().zip(batch) {
            if self.raw.propose(data).is_err() {
                self.observer.proposal_dropped(id);
            }
        }
    }

    /// Passes proposals on to the leader, in messages of bounded size. They are not sent again should the
    /// leader not get them: nobody can tell that from an answer that was lost, and an entry that stands
    /// in the log twice takes effect twice.
    fn forward(&mut self, ids: &[u64], batch: Vec<Bytes>) {
        let mut begin = 0;
        let mut part: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for (at, data) in batch.into_iter().enumerate() {
            if bytes + data.len() > FORWARD_BYTES && !part.is_empty() {
                self.forward_part(&ids[begin..at], std::mem::take(&mut part));
                (begin, bytes) = (at, 0);
            }
            bytes += data.len();
            part.push(data);
        }
        self.forward_part(&ids[begin..], part);
    }

    fn forward_part(&mut self, ids: &[u64], part: Vec<Bytes>) {
        if self.raw.propose_batch(part).is_err() {
            for id in ids {
                self.observer.proposal_dropped(*id);
            }
        }
    }

    pub(super) fn propose_conf_change(&mut self, change: &ConfChange) -> Result<(), RequestError> {
        self.raw
            .propose_conf_change(change)
            .map_err(|error| match error {
                RaftError::ProposalDropped => RequestError::Dropped,
                _ => RequestError::LeaderChanged,
            })
    }

    /// Whether this member leads in this term.
    pub(super) fn leads_in(&self, term: u64) -> bool {
        let status = self.raw.basic_status();
        status.role == StateRole::Leader && status.term == term
    }
}
