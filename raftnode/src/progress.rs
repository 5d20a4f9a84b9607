//! How far the members of the cluster are, as their leader sees it.
use varve_raft::{ProgressState, RawNode, Storage};

/// An answer to [`Node::progress`](crate::Node::progress).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterProgress {
    /// The leader as known here, 0 when none is.
    pub leader: u64,
    /// Current raft term.
    pub term: u64,
    /// Index of the last entry in the leader's log; 0 unless this member leads.
    pub last_index: u64,
    /// The members, ascending by id, this one included; empty unless this member leads.
    pub members: Vec<MemberProgress>,
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberProgress {
    /// Its id.
    pub id: u64,
    /// Its log equals the leader's up to here.
    pub matched: u64,
    /// The first entry it was not sent yet.
    pub next: u64,
    /// Whether it was heard from within the last election timeout. Always true of the leader.
    pub recent_active: bool,
    /// Whether it only learns.
    pub is_learner: bool,
    /// Whether a snapshot is on its way to it.
    pub awaits_snapshot: bool,
}

impl ClusterProgress {
    /// The progress of one member.
    pub fn member(&self, id: u64) -> Option<&MemberProgress> {
        self.members.iter().find(|m| m.id == id)
    }

    /// Whether a learner is close enough behind the leader to become a voter: etcd asks for nine tenths
    /// of the leader's own log (`server/etcdserver/server.go`, `isLearnerReady`).
    pub fn is_ready_to_vote(&self, learner: u64, leader: u64) -> bool {
        let (Some(learner), Some(leader)) = (self.member(learner), self.member(leader)) else {
            return false;
        };
        u128::from(learner.matched) * 10 >= u128::from(leader.matched) * 9
    }

    pub(crate) fn of<S: Storage>(raw: &RawNode<S>) -> Self {
        let status = raw.status();
        let members: Vec<_> = status
            .progress
            .iter()
            .map(|(id, progress)| MemberProgress {
                id: id.get(),
                matched: progress.matched.get(),
                next: progress.next.get(),
                recent_active: progress.recent_active || id.get() == status.basic.id,
                is_learner: progress.is_learner,
                awaits_snapshot: matches!(progress.state, ProgressState::Snapshot { .. }),
            })
            .collect();
        let own = members.iter().find(|m| m.id == status.basic.id);
        Self {
            leader: status.basic.lead,
            term: status.basic.term,
            last_index: own.map_or(0, |m| m.next.saturating_sub(1)),
            members,
        }
    }
}
