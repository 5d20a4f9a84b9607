//! What other threads may know of the raft thread, without asking it.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::applied::AppliedIndex;

/// Published by the raft and the apply thread, read by everybody.
#[derive(Debug, Default)]
pub struct Published {
    pub(crate) applied: AppliedIndex,
    /// Term of the last applied entry.
    pub(crate) applied_term: AtomicU64,
    pub(crate) term: AtomicU64,
    pub(crate) commit: AtomicU64,
    pub(crate) leader: AtomicU64,
    pub(crate) is_leader: AtomicBool,
    pub(crate) is_learner: AtomicBool,
    /// The configuration has one voter, this member.
    pub(crate) is_sole_voter: AtomicBool,
}

/// A copy of the figures; each is right by itself, they are not read at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The leader as known here, 0 when none is.
    pub leader: u64,
    /// Current raft term.
    pub term: u64,
    /// Index of the last committed entry.
    pub commit: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Whether this member leads.
    pub is_leader: bool,
    /// Whether this member is a learner.
    pub is_learner: bool,
}

impl Published {
    /// The figures now.
    pub fn status(&self) -> Status {
        Status {
            leader: self.leader.load(Ordering::Relaxed),
            term: self.term.load(Ordering::Relaxed),
            commit: self.commit.load(Ordering::Relaxed),
            applied: self.applied.get(),
            is_leader: self.is_leader.load(Ordering::Relaxed),
            is_learner: self.is_learner.load(Ordering::Relaxed),
        }
    }

    /// The applied index and its waiters.
    pub fn applied(&self) -> &AppliedIndex {
        &self.applied
    }

    /// Whether the applied state, read after this call, is a linearizable read.
    ///
    /// True for the only voter of a cluster once it leads and has applied an entry of its own term:
    /// every write acknowledged by anyone before this call was acknowledged here, after it was
    /// applied. A second voter cannot be elected before this member has applied the change that
    /// added it, and that clears the flag first.
    pub fn reads_are_linearizable(&self) -> bool {
        self.is_sole_voter.load(Ordering::SeqCst)
            && self.is_leader.load(Ordering::SeqCst)
            && self.applied_term.load(Ordering::SeqCst) == self.term.load(Ordering::SeqCst)
    }
}
