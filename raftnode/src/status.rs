//! What other threads may know of the raft thread, without asking it.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::applied::AppliedIndex;
use crate::clock::Clock;

/// Ticks within which a leader counts as one that runs. Source: etcd
/// `server/etcdserver/server.go` (`ensureLeadership`).
const FRESH_TICKS: u32 = 3;

/// Published by the raft and the apply thread, read by everybody.
#[derive(Debug)]
pub struct Published {
    clock: Arc<Clock>,
    tick: Duration,
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
    /// A quorum has confirmed that this member leads since the process last stood still.
    pub(crate) is_confirmed: AtomicBool,
    /// When the last tick was, in nanoseconds since the start.
    last_tick: AtomicU64,
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
    pub(crate) fn new(clock: Arc<Clock>, tick: Duration) -> Self {
        Self {
            clock,
            tick,
            applied: AppliedIndex::default(),
            applied_term: AtomicU64::default(),
            term: AtomicU64::default(),
            commit: AtomicU64::default(),
            leader: AtomicU64::default(),
            is_leader: AtomicBool::default(),
            is_learner: AtomicBool::default(),
            is_sole_voter: AtomicBool::default(),
            is_confirmed: AtomicBool::default(),
            last_tick: AtomicU64::default(),
        }
    }

    /// The state at the start.
    pub(crate) fn starts_at(&self, index: u64, term: u64) {
        self.applied_term.store(term, Ordering::SeqCst);
        self.applied.advance(index);
    }

    pub(crate) fn ticked(&self, at: Duration) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.last_tick.store(nanos, Ordering::SeqCst);
    }

    /// Time since the last tick of the raft thread: more than a few ticks mean that it stands still, or
    /// that the whole process did.
    pub fn tick_age(&self) -> Duration {
        let last = Duration::from_nanos(self.last_tick.load(Ordering::SeqCst));
        self.clock.now().saturating_sub(last)
    }

    /// Whether this member leads and has not stood still: its last tick is at most three ticks old, and
    /// if the process stood still before that for an election timeout or more, a quorum has confirmed
    /// since that it leads. What etcd asks before a leader renews a lease without asking anybody; where
    /// it is false, a ReadIndex round tells.
    ///
    /// And it has applied an entry of its own term (which etcd does not ask): before, it may not know of
    /// what is committed, and would renew a lease whose end is in its log.
    pub fn is_leader_fresh(&self) -> bool {
        self.is_leader.load(Ordering::SeqCst)
            && self.applied_term.load(Ordering::SeqCst) == self.term.load(Ordering::SeqCst)
            && self.is_confirmed.load(Ordering::SeqCst)
            && self.tick_age() <= self.tick * FRESH_TICKS
    }

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
