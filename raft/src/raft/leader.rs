//! Leading: what a leader does with a message of its term.

use varve_proto::raftpb::{Message, MessageType};

use crate::error::Error;
use crate::ids::NodeId;
use crate::message::Fields as _;
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
        let known = m
            .sender()
            .and_then(|from| Some((from, self.tracker.progress.get_mut(from)?)));
        let Some((from, progress)) = known else {
            self.config.logger.debug(format_args!(
                "{} no progress available for {:x}",
                self.id, m.from
            ));
            return Ok(());
        };
        match kind {
            T::MsgAppResp => {
                progress.recent_active = true;
                if m.reject {
                    self.handle_append_refusal(from, m)
                } else {
                    self.handle_append_ack(from, m)
                }
            }
            T::MsgHeartbeatResp => self.handle_heartbeat_response(from, m),
            T::MsgSnapStatus => {
                self.handle_snapshot_status(from, m.reject);
                Ok(())
            }
            T::MsgUnreachable => {
                // Of what was pipelined, something is likely lost.
                if progress.state == ProgressState::Replicate {
                    progress.become_probe();
                }
                self.config.logger.debug(format_args!(
                    "{} failed to send message to {from} because it is unreachable [{progress}]",
                    self.id
                ));
                Ok(())
            }
            T::MsgTransferLeader => self.handle_transfer(from),
            _ => Ok(()),
        }
    }

    fn handle_heartbeat_response(&mut self, from: NodeId, m: &Message) -> Result<(), Error> {
        let last = self.log.last_index();
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        progress.recent_active = true;
        progress.paused = false;
        // Also with a full window: if everything in it was lost, this (empty) append is what makes the
        // follower speak. And also if the follower has everything but is being probed, so that its
        // answer ends that.
        if progress.matched < last || progress.state == ProgressState::Probe {
            self.send_append(from)?;
        }
        if let Some(context) = &m.context {
            self.handle_read_ack(from, context);
        }
        Ok(())
    }

    fn handle_snapshot_status(&mut self, from: NodeId, failed: bool) {
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return;
        };
        if !matches!(progress.state, ProgressState::Snapshot { .. }) {
            return;
        }
        let outcome = if failed {
            progress.snapshot_failed();
            "failed"
        } else {
            progress.become_probe();
            "succeeded"
        };
        self.config.logger.debug(format_args!(
            "{} snapshot {outcome}, resumed sending replication messages to {from} [{progress}]",
            self.id
        ));
        // After success its own answer comes next; after a failure a heartbeat interval passes before
        // the next try.
        progress.paused = true;
    }
}
