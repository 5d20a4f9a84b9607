//! Snapshots, where entries are gone: sending one as a leader, taking one over as a follower.

use varve_proto::raftpb::{Message, MessageType, Snapshot};

use crate::confchange::Changer;
use crate::describe::describe_conf_state;
use crate::error::Error;
use crate::ids::NodeId;
use crate::message::{Fields as _, is_empty_snapshot, is_member, message, snapshot_id};
use crate::raft::Raft;
use crate::role::Role;
use crate::storage::{Storage, StorageError};

impl<S: Storage> Raft<S> {
    /// Sends the latest snapshot to a member that needs compacted entries. Returns whether it did.
    pub(super) fn maybe_send_snapshot(&mut self, to: NodeId) -> Result<bool, Error> {
        let first = self.log.first_index()?;
        let Some(progress) = self.tracker.progress.get_mut(to) else {
            return Ok(false);
        };
        let logger = &self.config.logger;
        // Who does not answer would not take it, and making it costs.
        if !progress.recent_active {
            logger.debug(format_args!(
                "ignore sending snapshot to {to} since it is not recently active"
            ));
            return Ok(false);
        }
        let snapshot = match self.log.snapshot() {
            Ok(snapshot) => snapshot,
            Err(StorageError::SnapshotTemporarilyUnavailable) => {
                logger.debug(format_args!(
                    "{} failed to send snapshot to {to} because snapshot is temporarily \
                     unavailable",
                    self.id
                ));
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if is_empty_snapshot(&snapshot) {
            logger.error(format_args!(
                "{} cannot send a snapshot to {to}: entries from {} on are gone, and storage has \
                 an empty snapshot",
                self.id, progress.next
            ));
            return Ok(false);
        }
        let id = snapshot_id(&snapshot);
        logger.debug(format_args!(
            "{} [firstindex: {first}, commit: {}] sent snapshot[index: {}, term: {}] to {to} \
             [{progress}]",
            self.id,
            self.log.committed(),
            id.index,
            id.term
        ));
        progress.become_snapshot(id.index);
        logger.debug(format_args!(
            "{} paused sending replication messages to {to} [{progress}]",
            self.id
        ));
        self.send(Message {
            snapshot: Some(snapshot),
            ..message(MessageType::MsgSnap, to)
        });
        Ok(true)
    }

    /// Takes over a snapshot, or says why that is not needed: the answer tells either way how far the
    /// log reaches.
    pub(super) fn handle_snapshot(&mut self, m: &mut Message) -> Result<(), Error> {
        let Some(from) = m.sender() else {
            return Ok(());
        };
        let snapshot = m.snapshot.take().unwrap_or_default();
        let id = snapshot_id(&snapshot);
        let restored = self.restore(snapshot)?;
        let (outcome, index) = if restored {
            ("restored", self.log.last_index())
        } else {
            ("ignored", self.log.committed())
        };
        self.config.logger.info(format_args!(
            "{} [commit: {}] {outcome} snapshot [index: {}, term: {}]",
            self.id,
            self.log.committed(),
            id.index,
            id.term
        ));
        self.send(Message {
            index: index.get(),
            ..message(MessageType::MsgAppResp, from)
        });
        Ok(())
    }

    /// Replaces log and configuration by a snapshot. Returns false if it is not needed.
    fn restore(&mut self, snapshot: Snapshot) -> Result<bool, Error> {
        let id = snapshot_id(&snapshot);
        let is_old = id.index <= self.log.committed();
        #[cfg(feature = "seeded-bugs")]
        let is_old = is_old && !self.config.makes(crate::SeededBug::SnapshotBehindCommit);
        if is_old {
            return Ok(false);
        }
        if !matches!(self.role, Role::Follower { .. }) {
            // Callers see to that; going on would put a leader into a log it did not lead to.
            self.config.logger.warn(format_args!(
                "{} attempted to restore snapshot as leader; should never happen",
                self.id
            ));
            let next = self.term.next().expect("terms do not run out");
            self.become_follower(next, None);
            return Ok(false);
        }
        let conf_state = &snapshot.metadata.conf_state;
        if !is_member(conf_state, self.id) {
            self.config.logger.warn(format_args!(
                "{} attempted to restore snapshot but it is not in the ConfState {}; should never \
                 happen",
                self.id,
                describe_conf_state(conf_state)
            ));
            return Ok(false);
        }
        if self.log.matches(id)? {
            let last = self.log.last_id()?;
            self.config.logger.info(format_args!(
                "{} [commit: {}, lastindex: {}, lastterm: {}] fast-forwarded commit to snapshot \
                 [index: {}, term: {}]",
                self.id,
                self.log.committed(),
                last.index,
                last.term,
                id.index,
                id.term
            ));
            self.log.commit_to(id.index)?;
            return Ok(false);
        }
        // First of all the part that can fail: a snapshot is refused as a whole.
        let tracker = self.tracker.emptied();
        let change = Changer {
            tracker: &tracker,
            last_index: id.index,
        }
        .restore(conf_state)?;
        self.log.restore(snapshot);
        self.tracker = tracker;
        self.config_snapshot = id.index;
        self.switch_to(change)?;
        let last = self.log.last_id()?;
        self.config.logger.info(format_args!(
            "{} [commit: {}, lastindex: {}, lastterm: {}] restored snapshot [index: {}, term: {}]",
            self.id,
            self.log.committed(),
            last.index,
            last.term,
            id.index,
            id.term
        ));
        Ok(true)
    }
}
