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
pub use inflights::{InflightLimits, Inflights};
pub(crate) use progress::Refusal;
pub use progress::{Progress, ProgressState};
pub use progress_map::ProgressMap;

use crate::ids::{Index, NodeId};
use crate::quorum::VoteResult;

/// The active configuration together with the progress of its members.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Who votes, who only learns.
    pub config: Configuration,
    /// Progress of every voter and learner, this node included.
    pub progress: ProgressMap,
    votes: BTreeMap<NodeId, bool>,
    limits: InflightLimits,
}

/// How an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) granted: usize,
    pub(crate) rejected: usize,
    pub(crate) result: VoteResult,
}

impl Tracker {
    /// An empty configuration whose members will each have a window of unacknowledged appends with
    /// these limits.
    pub fn new(limits: InflightLimits) -> Self {
        Self {
            config: Configuration::default(),
            progress: ProgressMap::default(),
            votes: BTreeMap::new(),
            limits,
        }
    }

    /// The same limits, nobody in the configuration.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.limits)
    }

    /// An empty window with this tracker's limits.
    pub(crate) fn new_inflights(&self) -> Inflights {
        Inflights::new(self.limits)
    }

    /// The configuration as snapshots and the application record it.
    pub fn conf_state(&self) -> ConfState {
        self.config.to_conf_state()
    }

    /// Whether there is a single voter and no joint change.
    pub(crate) fn is_singleton(&self) -> bool {
        self.config.voters.incoming.ids().len() == 1 && !self.config.voters.is_joint()
    }

    /// The highest index a quorum has acknowledged; `None` without voters.
    pub(crate) fn committed(&self) -> Option<Index> {
        let acked = |id| self.progress.get(id).map(|progress| progress.matched);
        self.config.voters.committed(acked)
    }

    /// Whether a quorum of voters has been heard from since the last check.
    pub(crate) fn quorum_active(&self) -> bool {
        let active = |id| match self.progress.get(id) {
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
    pub(crate) fn record_vote(&mut self, id: NodeId, granted: bool) {
        self.votes.entry(id).or_insert(granted);
    }

    /// The vote of a node, if it is known.
    pub(crate) fn vote_of(&self, id: NodeId) -> Option<bool> {
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
