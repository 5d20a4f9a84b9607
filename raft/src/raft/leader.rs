//! Leading: what a leader does with a message of its term.

use varve_proto::raftpb::{Message, MessageType};

use crate::error::Error;
use crate::raft::Raft;
use crate::storage::Storage;
use crate::tracker::ProgressState;

impl<S: Storage> Raft<S> {
    pub(super) fn step_leader(&mut self, m: &mut Message, kind: MessageType) -> Result<(), Error> {
        use MessageType as T;

        match kind {
            T::MsgProp => return self.propose(&mut m.entries),
            T::MsgReadIndex => return self.handle_read_request(std::mem::take(m)),
            T::MsgForgetLeader => return Ok(()),
            _ => {}
        }
        // Everything else is about one member.
        let Some(progress) = self.tracker.progress.get_mut(m.from) else {
            self.config.logger.debug(format_args!(
                "{:x} no progress available for {:x}",
                self.id, m.from
            ));
            return Ok(());
        };
        match kind {
            T::MsgAppResp => {
                progress.recent_active = true;
                if m.reject {
                    self.handle_append_refusal(m)
                } else {
                    self.handle_append_ack(m)
                }
            }
            T::MsgHeartbeatResp => self.handle_heartbeat_response(m),
            T::MsgSnapStatus => {
                self.handle_snapshot_status(m);
                Ok(())
            }
            T::MsgUnreachable => {
                // Of what was pipelined, something is likely lost.
                if progress.state == ProgressState::Replicate {
                    progress.become_probe();
                }
                self.config.logger.debug(format_args!(
                    "{:x} failed to send message to {:x} because it is unreachable [{progress}]",
                    self.id, m.from
                ));
                Ok(())
            }
            T::MsgTransferLeader => self.handle_transfer(m.from),
            _ => Ok(()),
        }
    }

    fn handle_heartbeat_response(&mut self, m: &Message) -> Result<(), Error> {
        let last = self.log.last_index();
        let Some(progress) = self.tracker.progress.get_mut(m.from) else {
            return Ok(());
        };
        progress.recent_active = true;
        progress.paused = false;
        // Also with a full window: if everything in it was lost, this (empty) append is what makes the
        // follower speak. And also if the follower has everything but is being probed, so that its
        // answer ends that.
        if progress.matched < last || progress.state == ProgressState::Probe {
            self.send_append(m.from)?;
        }
        if let Some(context) = &m.context {
            self.handle_read_ack(m.from, context);
        }
        Ok(())
    }

    fn handle_snapshot_status(&mut self, m: &Message) {
        let Some(progress) = self.tracker.progress.get_mut(m.from) else {
            return;
        };
        if !matches!(progress.state, ProgressState::Snapshot { .. }) {
            return;
        }
        let outcome = if m.reject {
            progress.snapshot_failed();
            "failed"
        } else {
            progress.become_probe();
            "succeeded"
        };
        self.config.logger.debug(format_args!(
            "{:x} snapshot {outcome}, resumed sending replication messages to {:x} [{progress}]",
            self.id, m.from
        ));
        // After success its own answer comes next; after a failure a heartbeat interval passes before
        // the next try.
        progress.paused = true;
    }
}
