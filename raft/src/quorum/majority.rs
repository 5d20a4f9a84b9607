//! One set of voters that decides by majority.

use std::fmt;

use super::{NodeSet, VoteResult};
use crate::ids::{Index, NodeId};

/// Up to this many voters, indexes are sorted on the stack; larger clusters are rare enough to
/// allocate.
const ON_STACK: usize = 7;

/// A set of voters whose majority decides.
///
/// The empty set agrees to everything: that is what lets an unused half of a [`super::JointConfig`]
/// stay silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MajorityConfig {
    voters: NodeSet,
}

impl MajorityConfig {
    /// The voters.
    pub fn ids(&self) -> &NodeSet {
        &self.voters
    }

    /// The voters, to be changed.
    pub fn ids_mut(&mut self) -> &mut NodeSet {
        &mut self.voters
    }

    /// Whether there are no voters.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// The highest position that a majority has reached: of the log, or whatever else `acked` counts.
    /// Who said nothing is at the default, the beginning. `None` if there are no voters, who would agree
    /// to anything.
    pub fn committed<P: Copy + Ord + Default>(
        &self,
        acked: impl Fn(NodeId) -> Option<P>,
    ) -> Option<P> {
        let count = self.voters.len();
        if count == 0 {
            return None;
        }
        let mut stack = [P::default(); ON_STACK];
        let mut heap = Vec::new();
        let positions: &mut [P] = if count <= ON_STACK {
            &mut stack[..count]
        } else {
            heap.resize(count, P::default());
            &mut heap
        };
        for (slot, id) in positions.iter_mut().zip(self.voters.iter()) {
            *slot = acked(id).unwrap_or_default();
        }
        positions.sort_unstable();
        // A majority is count/2 + 1 voters: it sits at or above this place.
        Some(positions[count - (count / 2 + 1)])
    }

    /// Whether the votes known so far decide an election. `vote` is `None` for who has not voted.
    pub fn vote_result(&self, vote: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
        if self.voters.is_empty() {
            return VoteResult::Won;
        }
        let quorum = self.voters.len() / 2 + 1;
        let (mut yes, mut missing) = (0, 0);
        for id in self.voters.iter() {
            match vote(id) {
                Some(true) => yes += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        if yes >= quorum {
            VoteResult::Won
        } else if yes + missing >= quorum {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }

    /// A bar per voter over several lines, longer for those that acknowledged more: what the corpora
    /// compare, and what a person reads in a bug report.
    pub fn describe(&self, acked: impl Fn(NodeId) -> Option<Index>) -> String {
        if self.voters.is_empty() {
            return "<empty majority quorum>".to_owned();
        }
        let count = self.voters.len();
        let mut lines = vec![format!("{:count$}    idx\n", "")];
        for id in self.voters.iter() {
            let index = acked(id);
            let bar = match index {
                None => format!("?{:count$}", ""),
                Some(mine) => {
                    // As long as the number of voters strictly behind, so that equal indexes get
                    // equal bars; who said nothing counts as being at zero.
                    let behind = |other| acked(other).unwrap_or_default() < mine;
                    let bar = self.voters.iter().filter(|&other| behind(other)).count();
                    format!("{:x<bar$}>{:rest$}", "", "", rest = count - bar)
                }
            };
            lines.push(format!(
                "{bar} {:>5}    (id={id})\n",
                index.unwrap_or_default()
            ));
        }
        lines.concat()
    }
}

impl FromIterator<NodeId> for MajorityConfig {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        Self {
            voters: ids.into_iter().collect(),
        }
    }
}

impl fmt::Display for MajorityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.voters.fmt(f)
    }
}
