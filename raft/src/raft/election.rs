//! Elections: starting one, asking for votes, casting them, counting them.

use std::ops::ControlFlow;

use bytes::Bytes;
use varve_proto::raftpb::{EntryType, Message, MessageType};

use crate::error::Error;
use crate::ids::NodeId;
use crate::message::{Fields as _, message};
use crate::quorum::VoteResult;
use crate::raft::Raft;
use crate::role::{Role, StateRole};
use crate::storage::Storage;

/// Context of a vote request on behalf of the present leader, which overrides the lease that leader
/// holds. The bytes are etcd's: members of other versions compare them.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// Why and how a node campaigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Campaign {
    /// Asking first, without a new term.
    PreElection,
    /// For good.
    Election,
    /// For good, because the leader asked for it.
    Transfer,
}

impl<S: Storage> Raft<S> {
    /// Starts an election, if this node may: by itself, or because the application says so.
    pub(crate) fn campaign(&mut self) -> Result<(), Error> {
        let campaign = if self.config.pre_vote {
            Campaign::PreElection
        } else {
            Campaign::Election
        };
        self.hup(campaign)
    }

    pub(super) fn hup(&mut self, campaign: Campaign) -> Result<(), Error> {
        let id = self.id;
        if self.role.leader().is_some() {
            self.config
                .logger
                .debug(format_args!("{id} ignoring MsgHup because already leader"));
            return Ok(());
        }
        if !self.promotable() {
            self.config
                .logger
                .warn(format_args!("{id} is unpromotable and can not campaign"));
            return Ok(());
        }
        // It might not be a voter any more once it applied them.
        if self.has_unapplied_conf_changes()? {
            self.config.logger.warn(format_args!(
                "{id} cannot campaign at term {} since there are still pending configuration \
                 changes to apply",
                self.term
            ));
            return Ok(());
        }
        self.config.logger.info(format_args!(
            "{id} is starting a new election at term {}",
            self.term
        ));
        self.run_for_leader(campaign)
    }

    fn has_unapplied_conf_changes(&self) -> Result<bool, Error> {
        let unapplied = self.log.applied().next()..self.log.committed().next();
        let mut found = false;
        // The limit on what is handed out to be applied serves as page size: the purpose is the same.
        self.log
            .scan(unapplied, self.log.max_applying_size(), |entries| {
                found = entries.iter().any(|entry| {
                    matches!(
                        EntryType::try_from(entry.r#type),
                        Ok(EntryType::EntryConfChange | EntryType::EntryConfChangeV2)
                    )
                });
                if found {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        Ok(found)
    }

    fn run_for_leader(&mut self, campaign: Campaign) -> Result<(), Error> {
        let (request, response, term) = if campaign == Campaign::PreElection {
            self.become_pre_candidate();
            (
                MessageType::MsgPreVote,
                MessageType::MsgPreVoteResp,
                self.term.next().expect("terms do not run out"),
            )
        } else {
            self.become_candidate();
            (MessageType::MsgVote, MessageType::MsgVoteResp, self.term)
        };
        let last = self.log.last_id()?;
        for id in self.tracker.config.voters.ids().iter() {
            if id == self.id {
                // Its own vote counts once it is durable, like anybody's.
                self.send(Message {
                    term: term.get(),
                    ..message(response, id)
                });
                continue;
            }
            self.config.logger.info(format_args!(
                "{} [logterm: {}, index: {}] sent {} request to {id} at term {}",
                self.id,
                last.term,
                last.index,
                request.as_str_name(),
                self.term
            ));
            self.send(Message {
                term: term.get(),
                index: last.index.get(),
                log_term: last.term.get(),
                context: (campaign == Campaign::Transfer)
                    .then_some(Bytes::from_static(CAMPAIGN_TRANSFER)),
                ..message(request, id)
            });
        }
        Ok(())
    }

    /// Whether a vote request is to be ignored because a leader was heard from so recently that it
    /// still leads (Raft thesis, 4.2.3). This keeps removed and partitioned nodes from disturbing.
    pub(super) fn ignores_vote_request(
        &self,
        m: &Message,
        kind: MessageType,
    ) -> Result<bool, Error> {
        let in_lease = self.config.check_quorum
            && self.leader_id().is_some()
            && self.election_elapsed < self.config.election_tick;
        if !in_lease || m.context.as_deref() == Some(CAMPAIGN_TRANSFER) {
            return Ok(false);
        }
        let last = self.log.last_id()?;
        self.config.logger.info(format_args!(
            "{} [logterm: {}, index: {}, vote: {:x}] ignored {} from {:x} [logterm: {}, index: {}] \
             at term {}: lease is not expired (remaining ticks: {})",
            self.id,
            last.term,
            last.index,
            NodeId::number(self.vote),
            kind.as_str_name(),
            m.from,
            m.log_term,
            m.index,
            self.term,
            self.config.election_tick - self.election_elapsed
        ));
        Ok(true)
    }

    /// Refuses a pre-vote for a term that is over. It is answered so that its sender learns of the
    /// present one; otherwise a cluster that is switched to pre-votes could lock up.
    pub(super) fn reject_old_pre_vote(&mut self, m: &Message) -> Result<(), Error> {
        let Some(from) = m.sender() else {
            return Ok(());
        };
        self.log_vote("rejected", "from", m, MessageType::MsgPreVote)?;
        self.send(Message {
            term: self.term.get(),
            reject: true,
            ..message(MessageType::MsgPreVoteResp, from)
        });
        Ok(())
    }

    fn log_vote(&self, did: &str, on: &str, m: &Message, kind: MessageType) -> Result<(), Error> {
        let last = self.log.last_id()?;
        self.config.logger.info(format_args!(
            "{} [logterm: {}, index: {}, vote: {:x}] {did} {} {on} {:x} [logterm: {}, index: {}] \
             at term {}",
            self.id,
            last.term,
            last.index,
            NodeId::number(self.vote),
            kind.as_str_name(),
            m.from,
            m.log_term,
            m.index,
            self.term
        ));
        Ok(())
    }

    /// Votes, or refuses to. Learners vote too: one that was promoted may not know it yet, and its
    /// vote may be needed for anyone to be elected who can tell it.
    pub(super) fn handle_vote_request(
        &mut self,
        m: &Message,
        kind: MessageType,
    ) -> Result<(), Error> {
        let Some(from) = m.sender() else {
            return Ok(());
        };
        let is_pre_vote = kind == MessageType::MsgPreVote;
        let response = if is_pre_vote {
            MessageType::MsgPreVoteResp
        } else {
            MessageType::MsgVoteResp
        };
        let may_vote = self.vote == Some(from)
            || (self.vote.is_none() && self.leader_id().is_none())
            || (is_pre_vote && m.in_term() > self.term);
        if may_vote && self.log.is_up_to_date(m.entry_id())? {
            self.log_vote("cast", "for", m, kind)?;
            // The term asked for, which for a pre-vote is not the present one: a candidate ignores
            // what is of an older term.
            self.send(Message {
                term: m.term,
                ..message(response, from)
            });
            if !is_pre_vote {
                self.election_elapsed = 0;
                self.vote = Some(from);
            }
        } else {
            self.log_vote("rejected", "from", m, kind)?;
            self.send(Message {
                term: self.term.get(),
                reject: true,
                ..message(response, from)
            });
        }
        Ok(())
    }

    /// What candidates and pre-candidates do with a message of the present term.
    pub(super) fn step_candidate(
        &mut self,
        m: &mut Message,
        kind: MessageType,
    ) -> Result<(), Error> {
        use MessageType as T;

        // A candidate may still receive answers to its pre-candidacy: they count no more.
        let awaited = match self.role {
            Role::PreCandidate => T::MsgPreVoteResp,
            _ => T::MsgVoteResp,
        };
        match kind {
            T::MsgProp => {
                self.config.logger.info(format_args!(
                    "{} no leader at term {}; dropping proposal",
                    self.id, self.term
                ));
                Err(Error::ProposalDropped)
            }
            // Someone else won this term.
            T::MsgApp | T::MsgHeartbeat | T::MsgSnap => {
                self.become_follower(m.in_term(), m.sender());
                self.handle_from_leader(m, kind)
            }
            T::MsgVoteResp | T::MsgPreVoteResp if kind == awaited => self.count_vote(m, kind),
            T::MsgTimeoutNow => {
                self.config.logger.debug(format_args!(
                    "{} [term {} state {}] ignored MsgTimeoutNow from {:x}",
                    self.id,
                    self.term,
                    self.role.state(),
                    m.from
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count_vote(&mut self, m: &Message, kind: MessageType) -> Result<(), Error> {
        let name = kind.as_str_name();
        let rejection = if m.reject { " rejection" } else { "" };
        self.config.logger.info(format_args!(
            "{} received {name}{rejection} from {:x} at term {}",
            self.id, m.from, self.term
        ));
        if let Some(from) = m.sender() {
            self.tracker.record_vote(from, !m.reject);
        }
        let own_vote = self.tracker.vote_of(self.id).is_some();
        #[cfg(feature = "seeded-bugs")]
        let own_vote = own_vote || self.config.makes(crate::SeededBug::LeadBeforeOwnVote);
        let tally = self.tracker.tally();
        self.config.logger.info(format_args!(
            "{} has received {} {name} votes and {} vote rejections",
            self.id, tally.granted, tally.rejected
        ));
        match tally.result {
            VoteResult::Won if self.role.state() == StateRole::PreCandidate => {
                self.run_for_leader(Campaign::Election)
            }
            // The votes of others are enough, and yet: as long as its own vote, and with it the term, is
            // not durable, a crash would make it forget that it ever led. The same voters could elect it
            // once more in the same term, and it would issue other entries under the same positions.
            // (etcd leads at once here, which is safe with synchronous writes only.)
            VoteResult::Won if !own_vote => Ok(()),
            VoteResult::Won => {
                self.become_leader();
                self.broadcast_append()
            }
            VoteResult::Lost => {
                self.become_follower(self.term, None);
                Ok(())
            }
            VoteResult::Pending => Ok(()),
        }
    }
}
