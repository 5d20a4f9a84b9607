//! Mistakes to be switched on, one at a time, so that it can be seen that the checkers find them.
//!
//! They exist with feature `seeded-bugs` only. Without it [`Bugs`] is empty and every question below is
//! answered by a constant.

use varve_raft::Config;
#[cfg(feature = "seeded-bugs")]
use varve_raft::SeededBug;

/// A mistake.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bug {
    /// The driver saves term and commit, and no vote.
    VoteNotPersisted,
    /// The core commits entries of earlier terms as soon as a quorum has them (Raft, figure 8).
    CommitOldTermByCounting,
    /// Overwriting the middle of the log on disk leaves the old end behind.
    ForgottenTruncation,
    /// The driver releases answers when a write begins.
    AckBeforeSync,
    /// A leader answers reads without asking anybody.
    ReadWithoutQuorum,
    /// A leader answers reads before it has committed anything in its term.
    ReadBeforeFirstCommit,
    /// A member that restarts does not remember whom it voted for.
    DoubleVoteAfterRestart,
    /// Changes of members that a snapshot has already are applied once more.
    ConfChangeAppliedTwice,
    /// The core takes over a snapshot of less than it has committed.
    SnapshotBehindCommit,
    /// A member that restarts loses the end of what it had synced.
    SyncedTailLost,
    /// A candidate leads as soon as others have elected it, its own vote durable or not. Ours did, until
    /// the simulator found it.
    LeadBeforeOwnVote,
    /// A leader that was removed takes itself for the one voter that is left, and answers reads. Ours
    /// did, until the simulator found it.
    ReadAloneWhenRemoved,
}

/// Which mistakes are made: one, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    #[cfg(feature = "seeded-bugs")]
    bug: Option<Bug>,
}

#[cfg(feature = "seeded-bugs")]
impl Bugs {
    /// This one.
    pub fn one(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    pub(crate) fn loses_votes(self) -> bool {
        self.bug == Some(Bug::VoteNotPersisted)
    }

    pub(crate) fn forgets_votes(self) -> bool {
        self.bug == Some(Bug::DoubleVoteAfterRestart)
    }

    pub(crate) fn keeps_old_end(self) -> bool {
        self.bug == Some(Bug::ForgottenTruncation)
    }

    pub(crate) fn acknowledges_early(self) -> bool {
        self.bug == Some(Bug::AckBeforeSync)
    }

    pub(crate) fn applies_changes_twice(self) -> bool {
        self.bug == Some(Bug::ConfChangeAppliedTwice)
    }

    pub(crate) fn loses_end(self) -> bool {
        self.bug == Some(Bug::SyncedTailLost)
    }

    pub(crate) fn put_into(self, config: Config) -> Config {
        let seeded_bug = match self.bug {
            Some(Bug::CommitOldTermByCounting) => Some(SeededBug::CommitOldTermByCounting),
            Some(Bug::ReadWithoutQuorum) => Some(SeededBug::ReadWithoutQuorum),
            Some(Bug::ReadBeforeFirstCommit) => Some(SeededBug::ReadBeforeFirstCommit),
            Some(Bug::SnapshotBehindCommit) => Some(SeededBug::SnapshotBehindCommit),
            Some(Bug::LeadBeforeOwnVote) => Some(SeededBug::LeadBeforeOwnVote),
            Some(Bug::ReadAloneWhenRemoved) => Some(SeededBug::ReadAloneWhenRemoved),
            _ => None,
        };
        Config {
            seeded_bug,
            ..config
        }
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(clippy::unused_self, reason = "the same questions as with the feature")]
impl Bugs {
    pub(crate) fn loses_votes(self) -> bool {
        false
    }

    pub(crate) fn forgets_votes(self) -> bool {
        false
    }

    pub(crate) fn keeps_old_end(self) -> bool {
        false
    }

    pub(crate) fn acknowledges_early(self) -> bool {
        false
    }

    pub(crate) fn applies_changes_twice(self) -> bool {
        false
    }

    pub(crate) fn loses_end(self) -> bool {
        false
    }

    pub(crate) fn put_into(self, config: Config) -> Config {
        config
    }
}
