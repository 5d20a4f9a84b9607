//! Majorities, and pairs of majorities: when is something agreed on?
//!
//! Pure arithmetic over sets of node ids and whatever position their members have reached. The leader asks it which log index is committed and whether
//! enough followers are alive, a candidate whether it won, the read path which reads are confirmed.

mod joint;
mod majority;
mod node_set;

use std::fmt;

pub use joint::JointConfig;
pub use majority::MajorityConfig;
pub use node_set::NodeSet;

/// Where a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VoteResult {
    /// Votes still out can decide it either way.
    Pending,
    /// A quorum can no longer be reached.
    Lost,
    /// A quorum said yes.
    Won,
}

impl fmt::Display for VoteResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoteResult::Pending => "VotePending",
            VoteResult::Lost => "VoteLost",
            VoteResult::Won => "VoteWon",
        })
    }
}

#[cfg(test)]
mod tests;
