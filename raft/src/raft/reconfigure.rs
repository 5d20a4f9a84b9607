//! Adopting configurations, when a change is applied or a snapshot restored.

use varve_proto::raftpb::{ConfChange, ConfChangeV2, ConfState, Entry};

use crate::confchange::{Change, Changer, ConfChangeExt, Mode, leave_joint_entry, mode};
use crate::error::Error;
use crate::ids::{Index, Term};
use crate::raft::Raft;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// Starts a log with the entries that add its first members, committed in term 1, and those
    /// members in the configuration.
    pub(crate) fn bootstrap(
        &mut self,
        additions: impl Iterator<Item = ConfChange>,
    ) -> Result<(), Error> {
        let (changes, mut entries): (Vec<_>, Vec<_>) = (1..)
            .zip(additions)
            .map(|(index, change)| {
                (
                    change.to_v2(),
                    Entry {
                        term: 1,
                        index,
                        ..change.to_entry()
                    },
                )
            })
            .unzip();
        self.become_follower(Term::new(1), None);
        // The entries come first, so that members are probed from behind them.
        let last = self.log.append(&mut entries);
        self.log.commit_to(last)?;
        for change in &changes {
            self.apply_conf_change(change)?;
        }
        Ok(())
    }

    /// Carries out a change that the application applies, or refuses it and changes nothing.
    pub(crate) fn apply_conf_change(&mut self, change: &ConfChangeV2) -> Result<ConfState, Error> {
        let changer = Changer {
            tracker: &self.tracker,
            last_index: self.log.last_index(),
        };
        let changed = match mode(change)? {
            Mode::LeaveJoint => changer.leave_joint()?,
            Mode::EnterJoint { auto_leave } => changer.enter_joint(auto_leave, &change.changes)?,
            Mode::Simple => changer.simple(&change.changes)?,
        };
        self.switch_to(changed)
    }

    /// Adopts a configuration and draws the consequences for a leader.
    pub(super) fn switch_to(&mut self, (config, progress): Change) -> Result<ConfState, Error> {
        self.tracker.config = config;
        self.tracker.progress = progress;
        self.config.logger.info(format_args!(
            "{} switched to configuration {}",
            self.id, self.tracker.config
        ));
        let conf_state = self.tracker.conf_state();
        if self.role.leader().is_none() {
            return Ok(conf_state);
        }
        let is_voter = self
            .tracker
            .progress
            .get(self.id)
            .is_some_and(|own| !own.is_learner);
        if !is_voter {
            if self.config.step_down_on_removal {
                self.become_follower(self.term, None);
            }
            return Ok(conf_state);
        }
        // The quorum may be a smaller one now: entries may be committed, and reads confirmed, that
        // were not before.
        if self.maybe_commit()? {
            self.broadcast_append()?;
        } else {
            // Newcomers need not wait for the next proposal or heartbeat.
            self.broadcast_entries()?;
        }
        self.answer_confirmed_reads();
        if let Some(leader) = self.role.leader_mut()
            && let Some(transferee) = leader.transferee
            && !self.tracker.config.voters.contains(transferee)
        {
            leader.transferee = None;
        }
        Ok(conf_state)
    }

    /// The application has applied everything up to `index`, the last part of it with this encoded
    /// size.
    pub(super) fn applied_to(&mut self, index: Index, size: u64) -> Result<(), Error> {
        let applied = index.max(self.log.applied());
        self.log.applied_to(applied, size)?;
        let leave = self.tracker.config.auto_leave
            && self
                .role
                .leader()
                .is_some_and(|leader| applied >= leader.pending_conf_index);
        if leave {
            // Refused while leadership is being transferred: then the next leader does it, or this one
            // with the next entry it applies.
            match self.propose(&mut vec![leave_joint_entry()]) {
                Ok(()) => self.config.logger.info(format_args!(
                    "initiating automatic transition out of joint configuration {}",
                    self.tracker.config
                )),
                Err(Error::ProposalDropped) => self.config.logger.debug(format_args!(
                    "not initiating automatic transition out of joint configuration {}: {}",
                    self.tracker.config,
                    Error::ProposalDropped
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
