//! Two majorities that must both agree, while the cluster moves from one configuration to the next.

use std::fmt;

use super::{MajorityConfig, NodeSet, VoteResult};
use crate::ids::{Index, NodeId};

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
    pub fn contains(&self, id: NodeId) -> bool {
        self.incoming.ids().contains(id) || self.outgoing.ids().contains(id)
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The highest position that is reached by a majority of both halves; see
    /// [`MajorityConfig::committed`].
    pub fn committed<P: Copy + Ord + Default>(
        &self,
        acked: impl Fn(NodeId) -> Option<P>,
    ) -> Option<P> {
        match (
            self.incoming.committed(&acked),
            self.outgoing.committed(&acked),
        ) {
            (Some(incoming), Some(outgoing)) => Some(incoming.min(outgoing)),
            (one, other) => one.or(other),
        }
    }

    /// Whether the votes known so far decide an election: both halves must be won, one lost half
    /// loses.
    pub fn vote_result(&self, vote: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
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
    pub fn describe(&self, acked: impl Fn(NodeId) -> Option<Index>) -> String {
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
