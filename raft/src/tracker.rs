//! What the leader knows about every member, and the votes a candidate has collected.
//!
//! Owned by the core; read by status reports.

mod configuration;
mod inflights;
mod progress;
mod progress_map;

use std::collections::BTreeMap;

use varve_proto::raftpb::ConfState;

pub use configuration::Configuration;
pub use inflights::Inflights;
pub use progress::{Progress, ProgressState};
pub use progress_map::ProgressMap;

use crate::quorum::VoteResult;

/// The active configuration together with the progress of its members.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Who votes, who only learns.
    pub config: Configuration,
    /// Progress of every voter and learner, this node included.
    pub progress: ProgressMap,
    votes: BTreeMap<u64, bool>,
    max_inflight: usize,
    max_inflight_bytes: u64,
}

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) granted: usize,
    pub(crate) rejected: usize,
    pub(crate) result: VoteResult,
}

impl Tracker {
    /// An empty configuration whose members will each have a window of at most `max_inflight`
    /// messages and `max_inflight_bytes` bytes (0: unlimited) of unacknowledged appends.
    pub fn new(max_inflight: usize, max_inflight_bytes: u64) -> Self {
        Self {
            config: Configuration::default(),
            progress: ProgressMap::default(),
            votes: BTreeMap::new(),
            max_inflight,
            max_inflight_bytes,
        }
    }

    /// The same limits, nobody in the configuration.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.max_inflight, self.max_inflight_bytes)
    }

    /// An empty window with this tracker's limits.
    pub(crate) fn new_inflights(&self) -> Inflights {
        Inflights::new(self.max_inflight, self.max_inflight_bytes)
    }

    /// The configuration as snapshots and the application record it.
    pub fn conf_state(&self) -> ConfState {
        self.config.to_conf_state()
    }

    /// Whether there is a single voter and no joint change.
    pub(crate) fn is_singleton(&self) -> bool {
        self.config.voters.incoming.ids().len() == 1 && !self.config.voters.is_joint()
    }

    /// The highest index a quorum has acknowledged.
    pub(crate) fn committed(&self) -> u64 {
        let acked = |id: u64| self.progress.get(id).map(|progress| progress.matched);
        self.config.voters.committed_index(&acked)
    }

    /// Whether a quorum of voters has been heard from since the last check.
    pub(crate) fn quorum_active(&self) -> bool {
        let active = |id: u64| match self.progress.get(id) {
            Some(progress) if !progress.is_learner => Some(progress.recent_active),
            _ => None,
        };
        self.config.voters.vote_result(active) == VoteResult::Won
    }

    /// Forgets all votes.
    pub(crate) fn reset_votes(&mut self) {
        self.votes.clear();
    }

    /// Counts a vote; a second one by the same node changes nothing.
    pub(crate) fn record_vote(&mut self, id: u64, granted: bool) {
        self.votes.entry(id).or_insert(granted);
    }

    /// The vote of a node, if it is known.
    pub(crate) fn vote_of(&self, id: u64) -> Option<bool> {
        self.votes.get(&id).copied()
    }

    /// How the election stands. The counts are of current voters only; they are for the log.
    pub(crate) fn tally(&self) -> Tally {
        let (mut granted, mut rejected) = (0, 0);
        for (id, progress) in self.progress.iter() {
            if progress.is_learner {
                continue;
            }
            match self.votes.get(&id) {
                Some(true) => granted += 1,
                Some(false) => rejected += 1,
                None => {}
            }
        }
        let result = self
            .config
            .voters
            .vote_result(|id| self.votes.get(&id).copied());
        Tally {
            granted,
            rejected,
            result,
        }
    }
}
