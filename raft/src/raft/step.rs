//! The front door: a message's term against the node's, then dispatch by role.

use varve_proto::raftpb::{Entry, Message, MessageType};

use crate::entry::{encoded_size_of, payload_size_of};
use crate::error::Error;
use crate::ids::{Index, Term};
use crate::message::{Fields as _, kind_of, message, snapshot_id, snapshot_of};
use crate::raft::Raft;
use crate::role::Role;
use crate::storage::Storage;

/// What comparing terms says about a message.
enum Relevance {
    /// It is to be looked at.
    Current,
    /// It was dealt with, or is of no interest.
    Done,
}

/// Entries that the application was given, and has applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppliedEntries {
    pub(crate) last: Index,
    /// Encoded bytes.
    pub(crate) size: u64,
    /// Payload bytes.
    pub(crate) payload: u64,
}

impl AppliedEntries {
    /// These, of which `last` is the last one.
    pub(crate) fn of(last: &Entry, entries: &[Entry]) -> Self {
        Self {
            last: Index::new(last.index),
            size: encoded_size_of(entries),
            payload: payload_size_of(entries),
        }
    }
}

impl<S: Storage> Raft<S> {
    /// Takes one message: from a peer, from a storage thread, or made by the node itself.
    ///
    /// What comes from outside went through [`crate::message::check_incoming`]. What it keeps of the
    /// message it takes out: messages are large, and passing them on by value copies them every time.
    pub(crate) fn step(&mut self, m: &mut Message) -> Result<(), Error> {
        use MessageType as T;

        let kind = kind_of(m);
        if let Relevance::Done = self.compare_terms(m, kind)? {
            return Ok(());
        }
        // A kind that a later version may have added says nothing to this one but its term.
        let Some(kind) = kind else { return Ok(()) };
        match kind {
            T::MsgHup => self.campaign(),
            T::MsgStorageAppendResp => {
                if m.index != 0 {
                    self.log.stable_to(m.entry_id());
                }
                self.snapshot_applied(m)
            }
            T::MsgStorageApplyResp => match m.entries.last() {
                Some(last) => self.entries_applied(AppliedEntries::of(last, &m.entries)),
                None => Ok(()),
            },
            T::MsgVote | T::MsgPreVote => self.handle_vote_request(m, kind),
            _ => match self.role {
                Role::Follower { .. } => self.step_follower(m, kind),
                Role::PreCandidate | Role::Candidate => self.step_candidate(m, kind),
                Role::Leader(_) => self.step_leader(m, kind),
            },
        }
    }

    /// The application has applied these entries.
    pub(crate) fn entries_applied(&mut self, applied: AppliedEntries) -> Result<(), Error> {
        self.applied_to(applied.last, applied.size)?;
        self.reduce_uncommitted(applied.payload);
        Ok(())
    }

    fn compare_terms(
        &mut self,
        m: &Message,
        kind: Option<MessageType>,
    ) -> Result<Relevance, Error> {
        let term = m.in_term();
        if term == Term::ZERO || term == self.term {
            // Zero: local, or meant for a leader of any term.
            return Ok(Relevance::Current);
        }
        if term > self.term {
            self.meet_higher_term(m, kind)
        } else {
            self.answer_lower_term(m, kind)?;
            Ok(Relevance::Done)
        }
    }

    fn meet_higher_term(
        &mut self,
        m: &Message,
        kind: Option<MessageType>,
    ) -> Result<Relevance, Error> {
        use MessageType as T;

        if let Some(kind @ (T::MsgVote | T::MsgPreVote)) = kind
            && self.ignores_vote_request(m, kind)?
        {
            return Ok(Relevance::Done);
        }
        match kind {
            // A pre-vote asks about a term that has not begun,
            Some(T::MsgPreVote) => {}
            // and so does its approval; a refusal comes from a node that is really there.
            Some(T::MsgPreVoteResp) if !m.reject => {}
            _ => {
                self.config.logger.info(format_args!(
                    "{} [term: {}] received a {} message with higher term from {:x} [term: {}]",
                    self.id,
                    self.term,
                    crate::describe::describe_message_type(m.r#type),
                    m.from,
                    m.term
                ));
                let leader = match kind {
                    Some(T::MsgApp | T::MsgHeartbeat | T::MsgSnap) => m.sender(),
                    _ => None,
                };
                self.become_follower(m.in_term(), leader);
            }
        }
        Ok(Relevance::Current)
    }

    fn answer_lower_term(&mut self, m: &Message, kind: Option<MessageType>) -> Result<(), Error> {
        use MessageType as T;

        match kind {
            // A leader of an earlier term, perhaps only delayed. But with quorum checks or pre-votes
            // this node may be stuck in a term it reached while cut off: then nobody takes its vote
            // requests, and this answer is what makes the leader step down and elections happen.
            Some(T::MsgHeartbeat | T::MsgApp)
                if self.config.check_quorum || self.config.pre_vote =>
            {
                if let Some(from) = m.sender() {
                    self.send(message(T::MsgAppResp, from));
                }
            }
            Some(T::MsgPreVote) => self.reject_old_pre_vote(m)?,
            Some(T::MsgStorageAppendResp) => {
                if m.index != 0 {
                    // A later term may have begun to overwrite these entries (the ABA case in
                    // `ready`); another answer in this term will vouch for them.
                    self.config.logger.info(format_args!(
                        "{} [term: {}] ignored entry appends from a {} message with lower term \
                         [term: {}]",
                        self.id,
                        self.term,
                        T::MsgStorageAppendResp.as_str_name(),
                        m.term
                    ));
                }
                // A snapshot is committed state, whatever the term.
                self.snapshot_applied(m)?;
            }
            _ => self.config.logger.info(format_args!(
                "{} [term: {}] ignored a {} message with lower term from {:x} [term: {}]",
                self.id,
                self.term,
                crate::describe::describe_message_type(m.r#type),
                m.from,
                m.term
            )),
        }
        Ok(())
    }

    /// Storage and application have taken over the snapshot in this message, if there is one.
    fn snapshot_applied(&mut self, m: &Message) -> Result<(), Error> {
        if let Some(snapshot) = snapshot_of(m) {
            let index = snapshot_id(snapshot).index;
            self.log.stable_snapshot_to(index);
            self.applied_to(index, 0)?;
        }
        Ok(())
    }
}
