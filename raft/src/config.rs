//! A node's settings.

use std::sync::Arc;

use crate::error::Error;
use crate::ids::NodeId;
use crate::jitter::{Jitter, SeededJitter};
use crate::logger::{Logger, NoLogger};
use crate::message::is_local_target;

/// How a linearizable read makes sure that its leader still leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadOnlyOption {
    /// By a round of heartbeats that a quorum answers.
    #[default]
    Safe,
    /// By trusting that no other leader can have been elected within an election timeout. Clocks that
    /// drift apart break it.
    LeaseBased,
}

/// A mistake to make, so that it can be seen that a checker finds it. With feature `seeded-bugs` only.
#[cfg(feature = "seeded-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeededBug {
    /// Entries of earlier terms are committed as soon as a quorum has them (Raft, figure 8).
    CommitOldTermByCounting,
    /// A leader answers reads without asking anybody.
    ReadWithoutQuorum,
    /// A leader answers reads before it has committed anything in its term.
    ReadBeforeFirstCommit,
    /// A snapshot of less than is committed is taken over.
    SnapshotBehindCommit,
    /// A candidate leads as soon as others have elected it, its own vote durable or not.
    LeadBeforeOwnVote,
    /// A leader that was removed takes itself for the one voter that is left, and answers reads.
    ReadAloneWhenRemoved,
}

/// The settings of a node.
///
/// [`Config::new`] gives what etcd's server uses; limits in bytes take `u64::MAX` as "none".
#[derive(Debug)]
pub struct Config {
    /// This node, not zero and not one of the two local threads.
    pub id: u64,
    /// Ticks without a leader after which a follower campaigns; the actual number is between this and
    /// twice this.
    pub election_tick: usize,
    /// Ticks between heartbeats of a leader; less than `election_tick`.
    pub heartbeat_tick: usize,
    /// Index of the last entry the application applied before; it gets later ones only. 0: all that
    /// the log has.
    pub applied: u64,
    /// Write storage by messages that carry the answers to release, instead of by
    /// [`crate::RawNode::advance`]. See [`crate::Ready`].
    pub async_storage_writes: bool,
    /// Encoded bytes of entries in one append message; one entry goes even if it is larger.
    pub max_size_per_msg: u64,
    /// Encoded bytes of entries handed out to be applied and not reported as applied. 0: the same as
    /// `max_size_per_msg`.
    pub max_committed_size_per_ready: u64,
    /// Payload bytes a leader takes on beyond what is committed; further proposals are dropped.
    /// 0: no limit.
    pub max_uncommitted_entries_size: u64,
    /// Append messages to one follower under way at a time.
    pub max_inflight_msgs: usize,
    /// Payload bytes to one follower under way at a time; not below `max_size_per_msg`. 0: no limit.
    pub max_inflight_bytes: u64,
    /// A leader that does not hear from a quorum within an election timeout steps down, and nodes
    /// refuse votes while they hear from a leader.
    pub check_quorum: bool,
    /// Ask whether an election could be won before starting it (Raft thesis, 9.6).
    pub pre_vote: bool,
    /// How linearizable reads are confirmed.
    pub read_only_option: ReadOnlyOption,
    /// Followers drop proposals instead of passing them to the leader.
    pub disable_proposal_forwarding: bool,
    /// Take any configuration change into the log. Without it a leader replaces by empty entries those
    /// that could not be carried out at present; whoever sets this has checked them before.
    pub disable_conf_change_validation: bool,
    /// A leader that is removed, or made a learner, steps down.
    pub step_down_on_removal: bool,
    /// Where log lines go.
    pub logger: Arc<dyn Logger>,
    /// Spreads election timeouts.
    pub jitter: Box<dyn Jitter>,
    /// The mistake to make, if any.
    #[cfg(feature = "seeded-bugs")]
    pub seeded_bug: Option<SeededBug>,
}

impl Config {
    /// The settings of etcd's server for node `id`: election after 10 ticks, a heartbeat per tick, 512
    /// KiB per message, 512 messages under way, quorum checks and pre-votes, asynchronous storage off.
    /// Log lines are dropped; the jitter follows from the id.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            election_tick: 10,
            heartbeat_tick: 1,
            applied: 0,
            async_storage_writes: false,
            max_size_per_msg: 512 * 1024,
            max_committed_size_per_ready: 0,
            max_uncommitted_entries_size: 0,
            max_inflight_msgs: 512,
            max_inflight_bytes: 0,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            disable_proposal_forwarding: false,
            disable_conf_change_validation: false,
            step_down_on_removal: false,
            logger: Arc::new(NoLogger),
            jitter: Box::new(SeededJitter::new(id)),
            #[cfg(feature = "seeded-bugs")]
            seeded_bug: None,
        }
    }

    /// Whether this mistake is to be made.
    #[cfg(feature = "seeded-bugs")]
    pub(crate) fn makes(&self, bug: SeededBug) -> bool {
        self.seeded_bug == Some(bug)
    }

    /// Refuses contradictions, and resolves what zero stands for; the node, and its settings.
    pub(crate) fn validated(mut self) -> Result<(NodeId, Self), Error> {
        let refuse = |what| Err(Error::Config(what));
        let Some(id) = NodeId::new(self.id) else {
            return refuse("cannot use none as id");
        };
        if is_local_target(self.id) {
            return refuse("cannot use local target as id");
        }
        if self.heartbeat_tick == 0 {
            return refuse("heartbeat tick must be greater than 0");
        }
        if self.election_tick <= self.heartbeat_tick {
            return refuse("election tick must be greater than heartbeat tick");
        }
        if self.election_tick > usize::MAX / 4 {
            return refuse("election tick is out of range");
        }
        if self.max_uncommitted_entries_size == 0 {
            self.max_uncommitted_entries_size = u64::MAX;
        }
        if self.max_committed_size_per_ready == 0 {
            self.max_committed_size_per_ready = self.max_size_per_msg;
        }
        // With no room at all nothing would ever be applied; one entry always goes.
        self.max_committed_size_per_ready = self.max_committed_size_per_ready.max(1);
        if self.max_inflight_msgs == 0 {
            return refuse("max inflight messages must be greater than 0");
        }
        if self.max_inflight_bytes == 0 {
            self.max_inflight_bytes = u64::MAX;
        } else if self.max_inflight_bytes < self.max_size_per_msg {
            return refuse("max inflight bytes must be >= max message size");
        }
        if self.read_only_option == ReadOnlyOption::LeaseBased && !self.check_quorum {
            return refuse("CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased");
        }
        Ok((id, self))
    }
}

#[cfg(test)]
mod tests;
