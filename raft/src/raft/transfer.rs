//! Handing leadership to a member of one's choice (Raft thesis, 3.10).

use varve_proto::raftpb::MessageType;

use crate::error::Error;
use crate::ids::NodeId;
use crate::message::message;
use crate::raft::Raft;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// Brings `transferee` up to date, then tells it to campaign. Until it does, or an election timeout
    /// has passed, no proposals are taken.
    pub(super) fn handle_transfer(&mut self, transferee: NodeId) -> Result<(), Error> {
        let (id, term) = (self.id, self.term);
        let logger = &self.config.logger;
        let Some(progress) = self.tracker.progress.get(transferee) else {
            return Ok(());
        };
        let Some(leader) = self.role.leader_mut() else {
            return Ok(());
        };
        if progress.is_learner {
            logger.debug(format_args!(
                "{id} is learner. Ignored transferring leadership"
            ));
            return Ok(());
        }
        if leader.transferee == Some(transferee) {
            logger.info(format_args!(
                "{id} [term {term}] transfer leadership to {transferee} is in progress, ignores \
                 request to same node {transferee}"
            ));
            return Ok(());
        }
        if let Some(previous) = leader.transferee.take() {
            logger.info(format_args!(
                "{id} [term {term}] abort previous transferring leadership to {previous}"
            ));
        }
        if transferee == id {
            logger.debug(format_args!(
                "{id} is already leader. Ignored transferring leadership to self"
            ));
            return Ok(());
        }
        logger.info(format_args!(
            "{id} [term {term}] starts to transfer leadership to {transferee}"
        ));
        // The transfer has one election timeout from now.
        self.election_elapsed = 0;
        leader.transferee = Some(transferee);
        if progress.matched == self.log.last_index() {
            self.send(message(MessageType::MsgTimeoutNow, transferee));
            self.config.logger.info(format_args!(
                "{id} sends MsgTimeoutNow to {transferee} immediately as {transferee} already \
                 has up-to-date log"
            ));
            Ok(())
        } else {
            self.send_append(transferee)
        }
    }
}
