//! What a node can tell about itself.

use crate::ids::NodeId;
use crate::raft::Raft;
use crate::role::StateRole;
use crate::storage::Storage;
use crate::tracker::{Configuration, ProgressMap};

/// The essentials, cheap to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BasicStatus {
    /// This node.
    pub id: u64,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in that term, or [`crate::NONE`].
    pub vote: u64,
    /// Index up to which the log is known to be committed.
    pub commit: u64,
    /// Index up to which the application reported to have applied it.
    pub applied: u64,
    /// The leader it knows of, or [`crate::NONE`].
    pub lead: u64,
    /// Its role.
    pub role: StateRole,
    /// Whom it is handing leadership to, or [`crate::NONE`].
    pub lead_transferee: u64,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The essentials.
    pub basic: BasicStatus,
    /// The active configuration.
    pub config: Configuration,
    /// Progress of all members; empty unless this node leads.
    pub progress: ProgressMap,
}

impl BasicStatus {
    pub(crate) fn of<S: Storage>(raft: &Raft<S>) -> Self {
        let soft_state = raft.soft_state();
        Self {
            id: raft.id.get(),
            term: raft.term.get(),
            vote: NodeId::number(raft.vote),
            commit: raft.log.committed().get(),
            applied: raft.log.applied().get(),
            lead: soft_state.lead,
            role: soft_state.role,
            lead_transferee: NodeId::number(
                raft.role.leader().and_then(|leader| leader.transferee),
            ),
        }
    }
}

impl Status {
    pub(crate) fn of<S: Storage>(raft: &Raft<S>) -> Self {
        let leads = raft.role.leader().is_some();
        Self {
            basic: BasicStatus::of(raft),
            config: raft.tracker.config.clone(),
            progress: if leads {
                raft.tracker.progress.clone()
            } else {
                ProgressMap::default()
            },
        }
    }
}
