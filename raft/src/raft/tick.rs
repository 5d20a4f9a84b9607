//! Time: elections when a leader is missed, heartbeats and quorum checks when leading.

use crate::error::Error;
use crate::raft::Raft;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    pub(crate) fn tick(&mut self) -> Result<(), Error> {
        if self.role.leader().is_some() {
            self.tick_leader();
            return Ok(());
        }
        self.election_elapsed = self.election_elapsed.saturating_add(1);
        if self.promotable() && self.election_elapsed >= self.randomized_election_timeout {
            self.election_elapsed = 0;
            return self.campaign();
        }
        Ok(())
    }

    fn tick_leader(&mut self) {
        self.election_elapsed += 1;
        if let Some(leader) = self.role.leader_mut() {
            leader.heartbeat_elapsed += 1;
        }
        if self.election_elapsed >= self.config.election_tick {
            self.election_elapsed = 0;
            if self.config.check_quorum {
                self.check_quorum();
            }
            // A transfer that took this long will not succeed: take proposals again.
            if let Some(leader) = self.role.leader_mut() {
                leader.transferee = None;
            }
        }
        let heartbeat_tick = self.config.heartbeat_tick;
        if let Some(leader) = self.role.leader_mut()
            && leader.heartbeat_elapsed >= heartbeat_tick
        {
            leader.heartbeat_elapsed = 0;
            self.broadcast_heartbeat();
        }
    }

    /// Steps down if no quorum was heard from since the last check: another leader may have been
    /// elected by those that do not answer.
    fn check_quorum(&mut self) {
        if !self.tracker.quorum_active() {
            self.config.logger.warn(format_args!(
                "{} stepped down to follower since quorum is not active",
                self.id
            ));
            self.become_follower(self.term, None);
        }
        let id = self.id;
        for (member, progress) in self.tracker.progress.iter_mut() {
            if member != id {
                progress.recent_active = false;
            }
        }
    }
}
