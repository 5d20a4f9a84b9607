//! One follower as the leader sees it: how far its log matches, and what may be sent next.

use std::fmt;

use varve_proto::raftpb::Entry;

use super::Inflights;
use crate::entry::payload_size_of;
use crate::ids::Index;

/// How the leader replicates to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgressState {
    /// It is not known where the follower's log ends: one append per heartbeat interval until an
    /// answer tells.
    Probe,
    /// The follower keeps up: appends are pipelined ahead of its answers.
    Replicate,
    /// The follower needs entries that are compacted away: nothing is sent until it has a snapshot.
    Snapshot {
        /// Index of the snapshot that was sent.
        pending: Index,
    },
}

impl fmt::Display for ProgressState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProgressState::Probe => "StateProbe",
            ProgressState::Replicate => "StateReplicate",
            ProgressState::Snapshot { .. } => "StateSnapshot",
        })
    }
}

/// Replication to one member.
///
/// # Invariants
/// 1. `matched < next`.
/// 2. In [`ProgressState::Snapshot`], `next` is one past the pending snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The member's log is known to equal the leader's up to here.
    pub matched: Index,
    /// Index of the first entry not sent yet; between `matched` and this, appends are under way.
    pub next: Index,
    /// How to replicate.
    pub state: ProgressState,
    /// Whether the member was heard from since the last quorum check. Always true of the leader.
    pub recent_active: bool,
    /// Appends wait for the next heartbeat response: while probing, or with a full window.
    pub paused: bool,
    /// Appends under way.
    pub inflights: Inflights,
    /// Whether the member only learns.
    pub is_learner: bool,
    /// Highest commit index the member was told of, or is about to be. May fall back when messages
    /// turn out to be lost.
    sent_commit: Index,
}

/// A member's answer to an append it could not take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The entry the append followed, which the member does not have.
    pub(crate) rejected: Index,
    /// Where the logs may match.
    pub(crate) hint: Index,
}

impl Progress {
    /// A member about whom nothing is known, to be probed from `next`.
    pub(crate) fn new(next: Index, inflights: Inflights, is_learner: bool) -> Self {
        Self {
            matched: Index::ZERO,
            next,
            state: ProgressState::Probe,
            recent_active: false,
            paused: false,
            inflights,
            is_learner,
            sent_commit: Index::ZERO,
        }
    }

    fn enter(&mut self, state: ProgressState) {
        self.state = state;
        self.paused = false;
        self.inflights.clear();
    }

    /// Goes back to asking where the log ends: after the snapshot that was sent, if one was,
    /// otherwise after what is known to match.
    pub(crate) fn become_probe(&mut self) {
        let snapshot = match self.state {
            ProgressState::Snapshot { pending } => pending,
            ProgressState::Probe | ProgressState::Replicate => Index::ZERO,
        };
        self.enter(ProgressState::Probe);
        self.next = self.matched.max(snapshot).next();
        self.sent_commit = self.sent_commit.min(self.next.before());
    }

    /// Starts to pipeline, after what is known to match.
    pub(crate) fn become_replicate(&mut self) {
        self.enter(ProgressState::Replicate);
        self.next = self.matched.next();
    }

    /// Waits for a snapshot with this index to arrive.
    pub(crate) fn become_snapshot(&mut self, index: Index) {
        self.enter(ProgressState::Snapshot { pending: index });
        self.next = index.next();
        self.sent_commit = index;
    }

    /// The snapshot did not arrive: probe as if it had never been sent.
    pub(crate) fn snapshot_failed(&mut self) {
        if let ProgressState::Snapshot { pending } = &mut self.state {
            *pending = Index::ZERO;
        }
        self.become_probe();
    }

    /// An append with these entries leaves now.
    pub(crate) fn sent_entries(&mut self, entries: &[Entry]) {
        match self.state {
            ProgressState::Replicate => {
                if !entries.is_empty() {
                    self.next = self.next.plus(entries.len() as u64);
                    self.inflights
                        .add(self.next.before(), payload_size_of(entries));
                }
                // An append that fills the window, or leaves with the window already full, is a
                // probe: the next one waits for a heartbeat response.
                self.paused = self.inflights.is_full();
            }
            ProgressState::Probe => {
                if !entries.is_empty() {
                    self.paused = true;
                }
            }
            ProgressState::Snapshot { .. } => {
                unreachable!("nothing is appended to a follower that waits for a snapshot")
            }
        }
    }

    /// Whether telling the member of `commit` can move its commit index. It can move up to `next - 1`,
    /// so once that was sent there is nothing to gain.
    pub(crate) fn can_bump_commit(&self, commit: Index) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next.before()
    }

    /// The member is being told of this commit index.
    pub(crate) fn record_sent_commit(&mut self, commit: Index) {
        self.sent_commit = commit;
    }

    /// The member acknowledged `index`. False if that was known already.
    pub(crate) fn maybe_update(&mut self, index: Index) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index.next());
        self.paused = false;
        true
    }

    /// The member refused an append. False if the refusal is out of date.
    pub(crate) fn maybe_decrease_to(&mut self, Refusal { rejected, hint }: Refusal) -> bool {
        if self.state == ProgressState::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = self.matched.next();
            self.sent_commit = self.sent_commit.min(self.next.before());
            return true;
        }
        // While probing one append is out at a time, and it followed next - 1.
        if self.next.before() != rejected {
            return false;
        }
        let mut next = rejected;
        if hint < rejected {
            next = hint.next();
        }
        self.next = next.max(self.matched.next());
        self.sent_commit = self.sent_commit.min(self.next.before());
        self.paused = false;
        true
    }

    /// Whether no append may be sent now.
    pub fn is_paused(&self) -> bool {
        match self.state {
            ProgressState::Probe | ProgressState::Replicate => self.paused,
            ProgressState::Snapshot { .. } => true,
        }
    }
}

/// `StateReplicate match=12 next=14 inflight=1`, remarkable things only.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} match={} next={}",
            self.state, self.matched, self.next
        )?;
        if self.is_learner {
            f.write_str(" learner")?;
        }
        if self.is_paused() {
            f.write_str(" paused")?;
        }
        if let ProgressState::Snapshot { pending } = self.state
            && pending > Index::ZERO
        {
            write!(f, " pendingSnap={pending}")?;
        }
        if !self.recent_active {
            f.write_str(" inactive")?;
        }
        if self.inflights.count() > 0 {
            write!(f, " inflight={}", self.inflights.count())?;
            if self.inflights.is_full() {
                f.write_str("[full]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
