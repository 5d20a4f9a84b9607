//! Who is in the cluster, and in which capacity.

use std::fmt;

use varve_proto::raftpb::ConfState;

use crate::quorum::{JointConfig, NodeSet};

/// The members of the cluster.
///
/// # Invariants
/// 1. No learner is a voter, in either half.
/// 2. Whoever is in `learners_next` is an outgoing voter.
/// 3. Outside of a joint change `learners_next` is empty and `auto_leave` false.
///
/// `confchange` checks them before and after every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The voters.
    pub voters: JointConfig,
    /// Whether the leader leaves the joint configuration by itself, once that is possible.
    pub auto_leave: bool,
    /// Members that receive the log and do not vote.
    pub learners: NodeSet,
    /// Voters of the outgoing half that become learners when it is dropped. They cannot be learners
    /// yet: invariant 1.
    pub learners_next: NodeSet,
}

impl Configuration {
    pub(crate) fn to_conf_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.incoming.ids().numbers(),
            voters_outgoing: self.voters.outgoing.ids().numbers(),
            learners: self.learners.numbers(),
            learners_next: self.learners_next.numbers(),
            auto_leave: self.auto_leave,
        }
    }
}

/// `voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave`, empty parts left out.
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters={}", self.voters)?;
        if !self.learners.is_empty() {
            write!(f, " learners={}", self.learners)?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " learners_next={}", self.learners_next)?;
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}
