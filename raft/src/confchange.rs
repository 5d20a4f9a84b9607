//! Changing the members of a cluster: what a configuration change means, and which are refused.
//!
//! [`Changer`] computes a new configuration from the present one and leaves it to its owner to adopt
//! it; the core does so when a change is *applied*, not when it is appended.

mod change;
mod changer;
mod restore;

pub use change::{ConfChangeExt, parse_conf_changes};
pub(crate) use change::{Mode, decode_entry, leave_joint_entry, mode};
pub use changer::{Change, Changer};

/// Why a configuration change cannot be carried out. The texts of those that etcd has too are etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// A joint change was asked for during a joint change.
    #[error("config is already joint")]
    AlreadyJoint,
    /// A joint change needs voters to start from.
    #[error("can't make a zero-voter config joint")]
    NoVotersToJoin,
    /// Leaving was asked for outside of a joint change.
    #[error("can't leave a non-joint config")]
    NotJoint,
    /// A simple change was asked for during a joint change.
    #[error("can't apply simple config change in joint config")]
    SimpleInJoint,
    /// A simple change may add or remove one voter: two majorities one apart always overlap.
    #[error("more than one voter changed without entering joint config")]
    TooManyVoters,
    /// Nobody would be left to decide.
    #[error("removed all voters")]
    NoVotersLeft,
    /// A change of a kind this version does not know.
    #[error("unexpected conf type {0}")]
    UnknownType(i32),
    /// A transition of a kind this version does not know.
    #[error("unknown transition {0}")]
    UnknownTransition(i32),
    /// A member without progress.
    #[error("no progress for {0}")]
    NoProgress(u64),
    /// A member that is to become a learner later is not a voter on the way out.
    #[error("{0} is in LearnersNext, but not Voters[1]")]
    NextNotOutgoing(u64),
    /// A member that is to become a learner later is one already.
    #[error("{0} is in LearnersNext, but is already marked as learner")]
    NextAlreadyLearner(u64),
    /// A learner that votes on the way out.
    #[error("{0} is in Learners and Voters[1]")]
    LearnerOutgoing(u64),
    /// A learner that votes.
    #[error("{0} is in Learners and Voters[0]")]
    LearnerIncoming(u64),
    /// A learner whose progress says voter.
    #[error("{0} is in Learners, but is not marked as learner")]
    LearnerUnmarked(u64),
    /// Learners wait for a joint change to end although none is under way.
    #[error("cfg.LearnersNext must be nil when not joint")]
    NextWithoutJoint,
    /// A joint change is to be left although none is under way.
    #[error("AutoLeave must be false when not joint")]
    AutoLeaveWithoutJoint,
    /// The bytes of an entry or message are not a configuration change.
    #[error("configuration change does not decode: {0}")]
    Undecodable(String),
    /// A recorded configuration contradicts itself: carried out, it gives another one.
    #[error("configuration {recorded} cannot be restored, it becomes {restored}")]
    NotEquivalent {
        /// The configuration as recorded.
        recorded: String,
        /// What carrying it out results in.
        restored: String,
    },
}

#[cfg(test)]
mod tests;
