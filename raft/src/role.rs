//! Follower, candidate, leader: the role, and what only a node in that role has to remember.

use std::fmt;

use varve_proto::raftpb::Message;

use crate::ids::{Index, NodeId};
use crate::read_index::ReadQueue;

/// A node's role, without its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StateRole {
    /// Takes the log from a leader, or waits for one.
    #[default]
    Follower,
    /// Collects votes.
    Candidate,
    /// Decides the log.
    Leader,
    /// Asks whether collecting votes would succeed.
    PreCandidate,
}

impl fmt::Display for StateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StateRole::Follower => "StateFollower",
            StateRole::Candidate => "StateCandidate",
            StateRole::Leader => "StateLeader",
            StateRole::PreCandidate => "StatePreCandidate",
        })
    }
}

/// A node's role.
#[derive(Debug)]
pub(crate) enum Role {
    /// With its leader, if it knows of one.
    Follower {
        leader: Option<NodeId>,
    },
    PreCandidate,
    Candidate,
    Leader(Box<Leader>),
}

/// What a leader remembers. All of it ends with its term.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    /// Whom leadership is being transferred to.
    pub(crate) transferee: Option<NodeId>,
    /// Not below the index of the latest configuration change that may not be applied yet. One may be
    /// under way at a time: none is taken before this is applied.
    pub(crate) pending_conf_index: Index,
    /// Payload bytes of the log's uncommitted end. May fall short, never exceeds: it starts at zero
    /// with every term.
    pub(crate) uncommitted_size: u64,
    /// Ticks since the last heartbeat.
    pub(crate) heartbeat_elapsed: usize,
    /// Reads that wait for a quorum to confirm this leader.
    pub(crate) reads: ReadQueue,
    /// Reads that wait for this term's first commit: before it, the commit index may be out of date.
    pub(crate) early_reads: Vec<Message>,
}

impl Role {
    pub(crate) fn state(&self) -> StateRole {
        match self {
            Role::Follower { .. } => StateRole::Follower,
            Role::PreCandidate => StateRole::PreCandidate,
            Role::Candidate => StateRole::Candidate,
            Role::Leader(_) => StateRole::Leader,
        }
    }

    pub(crate) fn leader(&self) -> Option<&Leader> {
        match self {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub(crate) fn leader_mut(&mut self) -> Option<&mut Leader> {
        match self {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }
}

impl Default for Role {
    fn default() -> Self {
        Role::Follower { leader: None }
    }
}
