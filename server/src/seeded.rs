//! Mistakes to be switched on, one at a time, so that it can be seen that the simulator finds them.
//!
//! They exist with feature `seeded-bugs` only. Without it [`Seeded`] is empty, and every question below
//! is answered by a constant.

/// A mistake.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// The index of an entry goes into the batch after the one that holds its effect.
    IndexApart,
    /// A snapshot is sent as the database was at its last commit, under the index applied since.
    SnapshotBeforeCommit,
    /// The log is released before the state that stands for it is durable.
    LogReleasedEarly,
    /// Leases are revoked by who takes itself for the leader, in whatever term that is.
    RevokedByOldLeader,
    /// A leader answers a put when it has proposed it.
    AnsweredBeforeCommit,
}

/// Which mistakes are made: one, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    #[cfg(feature = "seeded-bugs")]
    bug: Option<SeededBug>,
}

#[cfg(feature = "seeded-bugs")]
impl Seeded {
    /// This one.
    pub fn one(bug: SeededBug) -> Self {
        Self { bug: Some(bug) }
    }

    pub(crate) fn puts_index_apart(self) -> bool {
        self.bug == Some(SeededBug::IndexApart)
    }

    pub(crate) fn sends_before_commit(self) -> bool {
        self.bug == Some(SeededBug::SnapshotBeforeCommit)
    }

    pub(crate) fn releases_early(self) -> bool {
        self.bug == Some(SeededBug::LogReleasedEarly)
    }

    pub(crate) fn revokes_in_any_term(self) -> bool {
        self.bug == Some(SeededBug::RevokedByOldLeader)
    }

    pub(crate) fn answers_early(self) -> bool {
        self.bug == Some(SeededBug::AnsweredBeforeCommit)
    }
}

#[cfg(not(feature = "seeded-bugs"))]
#[expect(clippy::unused_self, reason = "the same questions as with the feature")]
impl Seeded {
    pub(crate) fn puts_index_apart(self) -> bool {
        false
    }

    pub(crate) fn sends_before_commit(self) -> bool {
        false
    }

    pub(crate) fn releases_early(self) -> bool {
        false
    }

    #[cfg(feature = "stepped")]
    pub(crate) fn revokes_in_any_term(self) -> bool {
        false
    }

    #[cfg(feature = "stepped")]
    pub(crate) fn answers_early(self) -> bool {
        false
    }
}
