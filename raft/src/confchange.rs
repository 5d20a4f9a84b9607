//! Changing the members of a cluster: what a configuration change means, and which are refused.
//!
//! [`Changer`] computes a new configuration from the present one and leaves it to its owner to adopt
//! it; the core does so when a change is *applied*, not when it is appended.

mod change;
mod changer;
mod restore;

use std::fmt;

pub use change::{ConfChangeExt, parse_conf_changes};
pub(crate) use change::{Mode, decode_entry, leave_joint_entry, mode};
pub use changer::{Change, Changer};

/// Why a configuration change cannot be carried out. The texts of those that etcd has too are etcd's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// A joint change was asked for during a joint change.
    AlreadyJoint,
    /// A joint change needs voters to start from.
    NoVotersToJoin,
    /// Leaving was asked for outside of a joint change.
    NotJoint,
    /// A simple change was asked for during a joint change.
    SimpleInJoint,
    /// A simple change may add or remove one voter: two majorities one apart always overlap.
    TooManyVoters,
    /// Nobody would be left to decide.
    NoVotersLeft,
    /// A change of a kind this version does not know.
    UnknownType(i32),
    /// A transition of a kind this version does not know.
    UnknownTransition(i32),
    /// A member without progress.
    NoProgress(u64),
    /// A member that is to become a learner later is not a voter on the way out.
    NextNotOutgoing(u64),
    /// A member that is to become a learner later is one already.
    NextAlreadyLearner(u64),
    /// A learner that votes on the way out.
    LearnerOutgoing(u64),
    /// A learner that votes.
    LearnerIncoming(u64),
    /// A learner whose progress says voter.
    LearnerUnmarked(u64),
    /// Learners wait for a joint change to end although none is under way.
    NextWithoutJoint,
    /// A joint change is to be left although none is under way.
    AutoLeaveWithoutJoint,
    /// The bytes of an entry or message are not a configuration change.
    Undecodable(String),
    /// A recorded configuration contradicts itself: carried out, it gives another one.
    NotEquivalent {
        /// The configuration as recorded.
        recorded: String,
        /// What carrying it out results in.
        restored: String,
    },
}

impl fmt::Display for ConfChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfChangeError::AlreadyJoint => f.write_str("config is already joint"),
            ConfChangeError::NoVotersToJoin => f.write_str("can't make a zero-voter config joint"),
            ConfChangeError::NotJoint => f.write_str("can't leave a non-joint config"),
            ConfChangeError::SimpleInJoint => {
                f.write_str("can't apply simple config change in joint config")
            }
            ConfChangeError::TooManyVoters => {
                f.write_str("more than one voter changed without entering joint config")
            }
            ConfChangeError::NoVotersLeft => f.write_str("removed all voters"),
            ConfChangeError::UnknownType(value) => write!(f, "unexpected conf type {value}"),
            ConfChangeError::UnknownTransition(value) => write!(f, "unknown transition {value}"),
            ConfChangeError::NoProgress(value) => write!(f, "no progress for {value}"),
            ConfChangeError::NextNotOutgoing(value) => {
                write!(f, "{value} is in LearnersNext, but not Voters[1]")
            }
            ConfChangeError::NextAlreadyLearner(value) => write!(
                f,
                "{value} is in LearnersNext, but is already marked as learner"
            ),
            ConfChangeError::LearnerOutgoing(value) => {
                write!(f, "{value} is in Learners and Voters[1]")
            }
            ConfChangeError::LearnerIncoming(value) => {
                write!(f, "{value} is in Learners and Voters[0]")
            }
            ConfChangeError::LearnerUnmarked(value) => {
                write!(f, "{value} is in Learners, but is not marked as learner")
            }
            ConfChangeError::NextWithoutJoint => {
                f.write_str("cfg.LearnersNext must be nil when not joint")
            }
            ConfChangeError::AutoLeaveWithoutJoint => {
                f.write_str("AutoLeave must be false when not joint")
            }
            ConfChangeError::Undecodable(value) => {
                write!(f, "configuration change does not decode: {value}")
            }
            ConfChangeError::NotEquivalent { recorded, restored } => write!(
                f,
                "configuration {recorded} cannot be restored, it becomes {restored}"
            ),
        }
    }
}

impl std::error::Error for ConfChangeError {}

#[cfg(test)]
mod tests;
