//! Following: taking over the leader's log, and passing on what only a leader can do.

use varve_proto::raftpb::{Message, MessageType};

use crate::config::ReadOnlyOption;
use crate::entry::EntryId;
use crate::error::Error;
use crate::ids::Term;
use crate::message::{Fields as _, message};
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

        match kind {
            T::MsgApp | T::MsgHeartbeat | T::MsgSnap => {
                self.election_elapsed = 0;
                self.role = Role::Follower { leader: m.sender() };
                return self.handle_from_leader(m, kind);
            }
            T::MsgProp | T::MsgTransferLeader | T::MsgReadIndex => {
                return self.pass_to_leader(m, kind);
            }
            T::MsgForgetLeader if self.config.read_only_option == ReadOnlyOption::LeaseBased => {
                // The leader counts on this node to refuse votes.
                self.config.logger.error(format_args!(
                    "ignoring MsgForgetLeader due to ReadOnlyLeaseBased"
                ));
            }
            T::MsgForgetLeader => {
                if let Some(leader) = self.leader_id() {
                    self.config.logger.info(format_args!(
                        "{} forgetting leader {leader} at term {}",
                        self.id, self.term
                    ));
                    self.role = Role::Follower { leader: None };
                }
            }
            T::MsgTimeoutNow => {
                self.config.logger.info(format_args!(
                    "{} [term {}] received MsgTimeoutNow from {:x} and starts an election to get \
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
                    "{} invalid format of MsgReadIndexResp from {:x}, entries count: {}",
                    self.id,
                    m.from,
                    other.len()
                )),
            },
            _ => {}
        }
        Ok(())
    }

    /// What only a leader can do goes to the leader, if there is one and that is wanted.
    fn pass_to_leader(&mut self, m: &mut Message, kind: MessageType) -> Result<(), Error> {
        let is_proposal = kind == MessageType::MsgProp;
        let Some(leader) = self.leader_id() else {
            let consequence = match kind {
                MessageType::MsgProp => "dropping proposal",
                MessageType::MsgTransferLeader => "dropping leader transfer msg",
                _ => "dropping index reading msg",
            };
            self.info_term(format_args!("no leader"), consequence);
            return if is_proposal {
                Err(Error::ProposalDropped)
            } else {
                Ok(())
            };
        };
        if is_proposal && self.config.disable_proposal_forwarding {
            self.info_term(
                format_args!("not forwarding to leader {leader}"),
                "dropping proposal",
            );
            return Err(Error::ProposalDropped);
        }
        m.to = leader.get();
        self.send(std::mem::take(m));
        Ok(())
    }

    fn info_term(&self, what: std::fmt::Arguments<'_>, consequence: &str) {
        self.config.logger.info(format_args!(
            "{} {what} at term {}; {consequence}",
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
        let Some(from) = m.sender() else {
            return Ok(());
        };
        let previous = m.entry_id();
        let committed = self.log.committed();
        if previous.index < committed {
            // Delayed; what is committed agrees anyway.
            self.send(Message {
                index: committed.get(),
                ..message(MessageType::MsgAppResp, from)
            });
            return Ok(());
        }
        let commit = m.commit_index();
        if let Some(last) = self.log.maybe_append(previous, &mut m.entries, commit)? {
            self.send(Message {
                index: last.get(),
                ..message(MessageType::MsgAppResp, from)
            });
            return Ok(());
        }
        self.config.logger.debug(format_args!(
            "{} [logterm: {}, index: {}] rejected MsgApp [logterm: {}, index: {}] from {from}",
            self.id,
            self.log.known_term(previous.index)?.unwrap_or(Term::ZERO),
            previous.index,
            previous.term,
            previous.index
        ));
        // Hint where the logs may match: the leader's log has no later term than `previous.term` up to
        // there, so whatever this log has of later terms cannot match.
        let reach = EntryId {
            index: previous.index.min(self.log.last_index()),
            ..previous
        };
        let hint = self.log.find_conflict_by_term(reach)?;
        self.send(Message {
            index: previous.index.get(),
            reject: true,
            reject_hint: hint.index.get(),
            log_term: hint.term.get(),
            ..message(MessageType::MsgAppResp, from)
        });
        Ok(())
    }

    fn handle_heartbeat(&mut self, m: &mut Message) -> Result<(), Error> {
        let Some(from) = m.sender() else {
            return Ok(());
        };
        self.log.commit_to(m.commit_index())?;
        self.send(Message {
            context: m.context.take(),
            ..message(MessageType::MsgHeartbeatResp, from)
        });
        Ok(())
    }
}
