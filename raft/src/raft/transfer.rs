//! Handing leadership to a member of one's choice (Raft thesis, 3.10).

use varve_proto::raftpb::MessageType;

use crate::error::Error;
use crate::message::{NONE, message};
use crate::raft::Raft;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// Brings `transferee` up to date, then tells it to campaign. Until it does, or an election timeout
    /// has passed, no proposals are taken.
    pub(super) fn handle_transfer(&mut self, transferee: u64) -> Result<(), Error> {
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
                "{id:x} is learner. Ignored transferring leadership"
            ));
            return Ok(());
        }
        let previous = leader.transferee;
        if previous == transferee {
            logger.info(format_args!(
                "{id:x} [term {term}] transfer leadership to {transferee:x} is in progress, ignores \
                 request to same node {transferee:x}"
            ));
            return Ok(());
        }
        if previous != NONE {
            leader.transferee = NONE;
            logger.info(format_args!(
                "{id:x} [term {term}] abort previous transferring leadership to {previous:x}"
            ));
        }
        if transferee == id {
            logger.debug(format_args!(
                "{id:x} is already leader. Ignored transferring leadership to self"
            ));
            return Ok(());
        }
        logger.info(format_args!(
            "{id:x} [term {term}] starts to transfer leadership to {transferee:x}"
        ));
        // The transfer has one election timeout from now.
        self.election_elapsed = 0;
        leader.transferee = transferee;
        if progress.matched == self.log.last_index() {
            self.send(message(MessageType::MsgTimeoutNow, transferee));
            self.config.logger.info(format_args!(
                "{id:x} sends MsgTimeoutNow to {transferee:x} immediately as {transferee:x} already \
                 has up-to-date log"
            ));
            Ok(())
        } else {
            self.send_append(transferee)
        }
    }
}
