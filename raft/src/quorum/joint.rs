//! Two majorities that must both agree, while the cluster moves from one configuration to the next.

use std::fmt;

use super::{AckedIndexer, MajorityConfig, NodeSet, VoteResult};

/// The voters of a configuration: one majority, or two during a joint change (Raft thesis, 4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JointConfig {
    /// The voters that will remain.
    pub incoming: MajorityConfig,
    /// The voters being left behind; empty outside of a joint change.
    pub outgoing: MajorityConfig,
}

impl JointConfig {
    /// Every voter of either half.
    pub fn ids(&self) -> NodeSet {
        self.incoming.ids().union(self.outgoing.ids())
    }

    /// Whether `id` votes in either half.
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.ids().contains(id) || self.outgoing.ids().contains(id)
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The highest index that is committed in both halves.
    pub fn committed_index(&self, acked: &impl AckedIndexer) -> u64 {
        self.incoming
            .committed_index(acked)
            .min(self.outgoing.committed_index(acked))
    }

    /// Whether the votes known so far decide an election: both halves must be won, one lost half
    /// loses.
    pub fn vote_result(&self, vote: impl Fn(u64) -> Option<bool>) -> VoteResult {
        match (
            self.incoming.vote_result(&vote),
            self.outgoing.vote_result(&vote),
        ) {
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            _ => VoteResult::Pending,
        }
    }

    /// See [`MajorityConfig::describe`], over all voters.
    pub fn describe(&self, acked: &impl AckedIndexer) -> String {
        self.ids()
            .iter()
            .collect::<MajorityConfig>()
            .describe(acked)
    }
}

/// `(1 2 3)&&(2 3 4)`; the second half only when there is one.
impl fmt::Display for JointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.fmt(f)?;
        if self.is_joint() {
            write!(f, "&&{}", self.outgoing)?;
        }
        Ok(())
    }
}
