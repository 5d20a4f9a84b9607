//! The state machine: its state, and the parts that every role shares.
//!
//! [`crate::RawNode`] feeds it messages and ticks on one thread and takes from it what is to be
//! written, sent and applied. The protocol itself is in the modules below, one per concern.
//!
//! # Invariants
//! 1. `messages` may leave at once, and none is for this node. Everything that vouches for this
//!    node's log or vote waits in `after_append` until what it vouches for is durable.
//! 2. `vote` belongs to `term`; neither is ever taken back within a term.
//! 3. A leader has progress of the members of the active configuration, and only of them.

mod election;
mod follower;
mod leader;
mod proposal;
mod reads;
mod reconfigure;
mod replication;
mod snapshot;
mod step;
mod tick;
mod transfer;

pub(crate) use step::AppliedEntries;

use varve_proto::raftpb::{HardState, Message, MessageType};

use crate::buffers::Buffers;
use crate::confchange::Changer;
use crate::config::Config;
use crate::error::Error;
use crate::ids::{Index, NodeId, Term};
use crate::log::RaftLog;
use crate::message::{NONE, kind_of};
use crate::read_index::ReadState;
use crate::ready::SoftState;
use crate::role::{Leader, Role};
use crate::storage::Storage;
use crate::tracker::{InflightLimits, Progress, Tracker};

/// A node.
#[derive(Debug)]
pub(crate) struct Raft<S> {
    pub(crate) id: NodeId,
    pub(crate) term: Term,
    /// Whom this node voted for in `term`.
    pub(crate) vote: Option<NodeId>,
    pub(crate) role: Role,
    pub(crate) log: RaftLog<S>,
    pub(crate) tracker: Tracker,
    /// Index of the snapshot the active configuration was taken from, if this node took one over: it
    /// already has the changes up to there.
    pub(crate) config_snapshot: Index,
    pub(crate) config: Config,
    /// To be sent now.
    pub(crate) messages: Vec<Message>,
    /// To be sent, or stepped, once everything that is unstable now is durable.
    pub(crate) after_append: Vec<Message>,
    pub(crate) read_states: Vec<ReadState>,
    pub(crate) buffers: Buffers,
    /// Ticks since a follower heard from its leader, a candidate became one, or a leader last checked
    /// its quorum.
    pub(crate) election_elapsed: usize,
    /// Between the election timeout and twice that, drawn anew with every change of role.
    pub(crate) randomized_election_timeout: usize,
}

impl<S: Storage> Raft<S> {
    pub(crate) fn new(config: Config, storage: S) -> Result<Self, Error> {
        let (id, config) = config.validated()?;
        let (hard_state, conf_state) = storage.initial_state()?;
        let logger = std::sync::Arc::clone(&config.logger);
        let log = RaftLog::new(storage, config.max_committed_size_per_ready, logger)?;
        let mut raft = Self {
            id,
            term: Term::ZERO,
            vote: None,
            role: Role::default(),
            log,
            tracker: Tracker::new(InflightLimits {
                messages: config.max_inflight_msgs,
                bytes: config.max_inflight_bytes,
            }),
            config_snapshot: Index::ZERO,
            config,
            messages: Vec::new(),
            after_append: Vec::new(),
            read_states: Vec::new(),
            buffers: Buffers::default(),
            election_elapsed: 0,
            randomized_election_timeout: 0,
        };
        let last = raft.log.last_id()?;
        let restored = Changer {
            tracker: &raft.tracker,
            last_index: last.index,
        }
        .restore(&conf_state)?;
        raft.switch_to(restored)?;
        if hard_state != HardState::default() {
            raft.log.load_committed(Index::new(hard_state.commit))?;
            raft.term = Term::new(hard_state.term);
            raft.vote = NodeId::new(hard_state.vote);
        }
        if raft.config.applied > 0 {
            raft.log.applied_to(Index::new(raft.config.applied), 0)?;
        }
        raft.become_follower(raft.term, None);

        let peers: Vec<_> = raft
            .tracker
            .config
            .voters
            .ids()
            .iter()
            .map(|id| id.to_string())
            .collect();
        raft.config.logger.info(format_args!(
            "newRaft {} [peers: [{}], term: {}, commit: {}, applied: {}, lastindex: {}, \
             lastterm: {}]",
            raft.id,
            peers.join(","),
            raft.term,
            raft.log.committed(),
            raft.log.applied(),
            last.index,
            last.term
        ));
        Ok(raft)
    }

    /// Who leads in the present term as far as this node knows.
    pub(crate) fn leader_id(&self) -> Option<NodeId> {
        match self.role {
            Role::Follower { leader } => leader,
            Role::Leader(_) => Some(self.id),
            Role::PreCandidate | Role::Candidate => None,
        }
    }

    pub(crate) fn soft_state(&self) -> SoftState {
        SoftState {
            lead: NodeId::number(self.leader_id()),
            role: self.role.state(),
        }
    }

    pub(crate) fn hard_state(&self) -> HardState {
        HardState {
            term: self.term.get(),
            vote: NodeId::number(self.vote),
            commit: self.log.committed().get(),
        }
    }

    /// Whether this node could lead: a voter that is not waiting for a snapshot to be applied.
    pub(crate) fn promotable(&self) -> bool {
        self.tracker
            .progress
            .get(self.id)
            .is_some_and(|own| !own.is_learner)
            && !self.log.has_unstable_snapshot()
    }

    /// Sends a message, now or when the log is durable, with sender and term filled in.
    ///
    /// Answers that vouch for something, a vote or an append, wait until the disk has it (Raft thesis,
    /// 3.8). Refusals wait along with them: they too may rest on what is only in memory, and they are
    /// rare.
    pub(super) fn send(&mut self, mut message: Message) {
        use MessageType as T;

        if message.from == NONE {
            message.from = self.id.get();
        }
        let kind = kind_of(&message);
        match kind {
            // A vote is about a term of its own: the one asked for.
            Some(T::MsgVote | T::MsgVoteResp | T::MsgPreVote | T::MsgPreVoteResp) => {
                assert!(message.term != 0, "a vote message names its term");
            }
            // Forwarded to a leader of whatever term.
            Some(T::MsgProp | T::MsgReadIndex) => message.term = 0,
            _ => message.term = self.term.get(),
        }
        match kind {
            Some(T::MsgAppResp | T::MsgVoteResp | T::MsgPreVoteResp) => {
                self.after_append.push(message);
            }
            _ => {
                assert!(
                    message.to != self.id.get(),
                    "a message to this node waits for the log"
                );
                self.messages.push(message);
            }
        }
    }

    /// What begins with every change of role except the one to pre-candidate.
    fn reset(&mut self, term: Term) {
        if self.term != term {
            self.term = term;
            self.vote = None;
        }
        self.election_elapsed = 0;
        let timeout = self.config.election_tick;
        // A jitter out of its bounds would keep the node from ever campaigning.
        let jitter = self.config.jitter.ticks(timeout).min(timeout - 1);
        self.randomized_election_timeout = timeout + jitter;

        self.tracker.reset_votes();
        let last = self.log.last_index();
        let inflights = self.tracker.new_inflights();
        for (id, progress) in self.tracker.progress.iter_mut() {
            *progress = Progress::new(last.next(), inflights.clone(), progress.is_learner);
            if id == self.id {
                progress.matched = last;
            }
        }
    }

    pub(super) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        self.reset(term);
        self.role = Role::Follower { leader };
        self.config.logger.info(format_args!(
            "{} became follower at term {}",
            self.id, self.term
        ));
    }

    pub(super) fn become_candidate(&mut self) {
        assert!(self.role.leader().is_none(), "a leader does not campaign");
        let next = self.term.next().expect("terms do not run out");
        self.reset(next);
        self.vote = Some(self.id);
        self.role = Role::Candidate;
        self.config.logger.info(format_args!(
            "{} became candidate at term {}",
            self.id, self.term
        ));
    }

    /// Neither term nor vote change before it is known that an election can be won.
    pub(super) fn become_pre_candidate(&mut self) {
        assert!(self.role.leader().is_none(), "a leader does not campaign");
        self.tracker.reset_votes();
        self.role = Role::PreCandidate;
        self.config.logger.info(format_args!(
            "{} became pre-candidate at term {}",
            self.id, self.term
        ));
    }

    pub(super) fn become_leader(&mut self) {
        assert!(
            !matches!(self.role, Role::Follower { .. }),
            "leadership comes by an election"
        );
        self.reset(self.term);
        // A change of configuration may be among the entries not applied yet. Looking for it would
        // cost a scan; waiting for all of them only delays the next change.
        let leader = Leader {
            pending_conf_index: self.log.last_index(),
            ..Leader::default()
        };
        self.role = Role::Leader(Box::new(leader));
        if let Some(own) = self.tracker.progress.get_mut(self.id) {
            own.become_replicate();
            own.recent_active = true;
        }
        // Committing an entry of its own term is what tells a leader how far the log is committed.
        let appended = self.append_entries(&mut vec![varve_proto::raftpb::Entry::default()]);
        assert!(appended, "an entry without payload is never refused");
        self.config.logger.info(format_args!(
            "{} became leader at term {}",
            self.id, self.term
        ));
    }
}
