//! Following: taking over the leader's log, and passing on what only a leader can do.

use varve_proto::raftpb::{Message, MessageType};

use crate::config::ReadOnlyOption;
use crate::entry::EntryId;
use crate::error::Error;
use crate::message::{NONE, message};
use crate::raft::Raft;
use crate::raft::election::Campaign;
use crate::read_index::ReadState;
use crate::role::Role;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// What a follower does with a message of the present term.
    pub(super) fn step_follower(
        &mut self,
        m: &mut Message,
        kind: MessageType,
    ) -> Result<(), Error> {
        use MessageType as T;

        let leader = self.leader_id();
        match kind {
            T::MsgApp | T::MsgHeartbeat | T::MsgSnap => {
                self.election_elapsed = 0;
                self.role = Role::Follower { leader: m.from };
                return self.handle_from_leader(m, kind);
            }
            T::MsgProp if leader == NONE => {
                self.info_term(format_args!("no leader"), "dropping proposal");
                return Err(Error::ProposalDropped);
            }
            T::MsgProp if self.config.disable_proposal_forwarding => {
                self.info_term(
                    format_args!("not forwarding to leader {leader:x}"),
                    "dropping proposal",
                );
                return Err(Error::ProposalDropped);
            }
            T::MsgTransferLeader if leader == NONE => {
                self.info_term(format_args!("no leader"), "dropping leader transfer msg");
            }
            T::MsgReadIndex if leader == NONE => {
                self.info_term(format_args!("no leader"), "dropping index reading msg");
            }
            T::MsgProp | T::MsgTransferLeader | T::MsgReadIndex => {
                m.to = leader;
                self.send(std::mem::take(m));
            }
            T::MsgForgetLeader if self.config.read_only_option == ReadOnlyOption::LeaseBased => {
                // The leader counts on this node to refuse votes.
                self.config.logger.error(format_args!(
                    "ignoring MsgForgetLeader due to ReadOnlyLeaseBased"
                ));
            }
            T::MsgForgetLeader if leader != NONE => {
                self.config.logger.info(format_args!(
                    "{:x} forgetting leader {leader:x} at term {}",
                    self.id, self.term
                ));
                self.role = Role::Follower { leader: NONE };
            }
            T::MsgTimeoutNow => {
                self.config.logger.info(format_args!(
                    "{:x} [term {}] received MsgTimeoutNow from {:x} and starts an election to get \
                     leadership.",
                    self.id, self.term, m.from
                ));
                // Never asking first: the leader itself wants this election.
                return self.hup(Campaign::Transfer);
            }
            T::MsgReadIndexResp => match m.entries.as_mut_slice() {
                [request] => self.read_states.push(ReadState {
                    index: m.index,
                    request_ctx: request.data.take().unwrap_or_default(),
                }),
                other => self.config.logger.error(format_args!(
                    "{:x} invalid format of MsgReadIndexResp from {:x}, entries count: {}",
                    self.id,
                    m.from,
                    other.len()
                )),
            },
            _ => {}
        }
        Ok(())
    }

    fn info_term(&self, what: std::fmt::Arguments<'_>, consequence: &str) {
        self.config.logger.info(format_args!(
            "{:x} {what} at term {}; {consequence}",
            self.id, self.term
        ));
    }

    /// A leader's append, heartbeat or snapshot, once its sender is known to lead the present term.
    pub(super) fn handle_from_leader(
        &mut self,
        m: &mut Message,
        kind: MessageType,
    ) -> Result<(), Error> {
        match kind {
            MessageType::MsgApp => self.handle_append(m),
            MessageType::MsgHeartbeat => self.handle_heartbeat(m),
            _ => self.handle_snapshot(m),
        }
    }

    fn handle_append(&mut self, m: &mut Message) -> Result<(), Error> {
        let previous = EntryId {
            term: m.log_term,
            index: m.index,
        };
        let from = m.from;
        let committed = self.log.committed();
        if previous.index < committed {
            // Delayed; what is committed agrees anyway.
            self.send(Message {
                index: committed,
                ..message(MessageType::MsgAppResp, from)
            });
            return Ok(());
        }
        if let Some(last) = self.log.maybe_append(previous, &mut m.entries, m.commit)? {
            self.send(Message {
                index: last,
                ..message(MessageType::MsgAppResp, from)
            });
            return Ok(());
        }
        self.config.logger.debug(format_args!(
            "{:x} [logterm: {}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {from:x}",
            self.id,
            self.log.known_term(previous.index)?.unwrap_or(0),
            previous.index,
            previous.term,
            previous.index
        ));
        // Hint where the logs may match: the leader's log has no later term than `previous.term` up to
        // there, so whatever this log has of later terms cannot match.
        let reach = previous.index.min(self.log.last_index());
        let hint = self.log.find_conflict_by_term(reach, previous.term)?;
        self.send(Message {
            index: previous.index,
            reject: true,
            reject_hint: hint.index,
            log_term: hint.term,
            ..message(MessageType::MsgAppResp, from)
        });
        Ok(())
    }

    fn handle_heartbeat(&mut self, m: &mut Message) -> Result<(), Error> {
        self.log.commit_to(m.commit)?;
        self.send(Message {
            context: m.context.take(),
            ..message(MessageType::MsgHeartbeatResp, m.from)
        });
        Ok(())
    }
}
