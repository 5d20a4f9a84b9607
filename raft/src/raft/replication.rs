//! Replication, the leader's side: what to send to whom, and what the answers mean.

use varve_proto::raftpb::{Message, MessageType};

use crate::entry::{EntryId, payload_size_of};
use crate::error::Error;
use crate::message::message;
use crate::raft::Raft;
use crate::storage::{Storage, StorageError};
use crate::tracker::ProgressState;

impl<S: Storage> Raft<S> {
    /// Sends an append to a member, with whatever entries it lacks, or none.
    pub(super) fn send_append(&mut self, to: u64) -> Result<(), Error> {
        self.maybe_send_append(to, true).map(drop)
    }

    /// Sends an append, or the snapshot that must come before one. An append without entries, which
    /// only tells the commit index, goes only if `even_empty`. Returns whether something was sent.
    pub(super) fn maybe_send_append(&mut self, to: u64, even_empty: bool) -> Result<bool, Error> {
        let Some(progress) = self.tracker.progress.get(to) else {
            return Ok(false);
        };
        if progress.is_paused() {
            return Ok(false);
        }
        let previous = progress.next - 1;
        let log_term = match self.log.term(previous) {
            Ok(term) => term,
            Err(StorageError::Compacted | StorageError::Unavailable) => {
                return self.maybe_send_snapshot(to);
            }
            Err(error) => return Err(error.into()),
        };
        // With a full window appends leave without entries: should all that are in it be lost, these
        // are what the follower refuses, which empties the window.
        let throttled = progress.state == ProgressState::Replicate && progress.inflights.is_full();
        let mut entries = Vec::new();
        if !throttled && progress.next <= self.log.last_index() {
            entries = self.buffers.entries.take();
            let read = self
                .log
                .entries(progress.next, self.config.max_size_per_msg, &mut entries);
            match read {
                Ok(()) => {}
                // Nothing was read: an append that has to carry something cannot leave.
                Err(StorageError::Compacted | StorageError::Unavailable) if !even_empty => {
                    return Ok(false);
                }
                Err(StorageError::Compacted | StorageError::Unavailable) => {
                    return self.maybe_send_snapshot(to);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if entries.is_empty() && !even_empty {
            return Ok(false);
        }
        let (count, bytes) = (entries.len() as u64, payload_size_of(&entries));
        let commit = self.log.committed();
        self.send(Message {
            index: previous,
            log_term,
            entries,
            commit,
            ..message(MessageType::MsgApp, to)
        });
        if let Some(progress) = self.tracker.progress.get_mut(to) {
            progress.sent_entries(count, bytes);
            progress.record_sent_commit(commit);
        }
        Ok(true)
    }

    /// Calls `each` for every other member, in order of ids.
    fn for_each_peer(
        &mut self,
        mut each: impl FnMut(&mut Self, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut position = 0;
        while let Some(id) = self.tracker.progress.id_at(position) {
            if id != self.id {
                each(self, id)?;
            }
            position += 1;
        }
        Ok(())
    }

    /// Sends an append to every other member that may get one.
    pub(super) fn broadcast_append(&mut self) -> Result<(), Error> {
        self.for_each_peer(Self::send_append)
    }

    /// Sends an append to every other member that lacks entries.
    pub(super) fn broadcast_entries(&mut self) -> Result<(), Error> {
        self.for_each_peer(|raft, id| raft.maybe_send_append(id, false).map(drop))
    }

    /// Sends a heartbeat to every other member, which asks it to confirm the reads that wait.
    pub(super) fn broadcast_heartbeat(&mut self) {
        let context = self
            .role
            .leader()
            .and_then(|leader| leader.reads.heartbeat_context());
        let committed = self.log.committed();
        let mut position = 0;
        while let Some(id) = self.tracker.progress.id_at(position) {
            position += 1;
            if id == self.id {
                continue;
            }
            let Some(progress) = self.tracker.progress.get_mut(id) else {
                continue;
            };
            // No further than the follower is known to match: it might have other entries there.
            let commit = progress.matched.min(committed);
            progress.record_sent_commit(commit);
            let heartbeat = message(MessageType::MsgHeartbeat, id);
            self.send(Message {
                commit,
                context: context.clone(),
                ..heartbeat
            });
        }
    }

    /// Commits what a quorum has, if it ends in an entry of this term. Returns whether that was news.
    pub(super) fn maybe_commit(&mut self) -> Result<bool, Error> {
        let id = EntryId {
            term: self.term,
            index: self.tracker.committed(),
        };
        #[cfg(feature = "seeded-bugs")]
        let id = if self.config.makes(crate::SeededBug::CommitOldTermByCounting) {
            EntryId {
                term: self.log.known_term(id.index)?.unwrap_or(0),
                ..id
            }
        } else {
            id
        };
        let advanced = self.log.maybe_commit(id)?;
        if advanced {
            self.release_early_reads()?;
        }
        Ok(advanced)
    }

    pub(super) fn handle_append_refusal(&mut self, m: &Message) -> Result<(), Error> {
        self.config.logger.debug(format_args!(
            "{:x} received MsgAppResp(rejected, hint: (index {}, term {})) from {:x} for index {}",
            self.id, m.reject_hint, m.log_term, m.from, m.index
        ));
        // The follower says which term it has at the hint. Where this log has a later term, the logs
        // cannot match: skip all of that. Peers before etcd 3.5 do not tell the term.
        let hint = if m.log_term > 0 {
            self.log
                .find_conflict_by_term(m.reject_hint, m.log_term)?
                .index
        } else {
            m.reject_hint
        };
        let Some(progress) = self.tracker.progress.get_mut(m.from) else {
            return Ok(());
        };
        if progress.maybe_decrease_to(m.index, hint) {
            self.config.logger.debug(format_args!(
                "{:x} decreased progress of {:x} to [{progress}]",
                self.id, m.from
            ));
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.send_append(m.from)?;
        }
        Ok(())
    }

    pub(super) fn handle_append_ack(&mut self, m: &Message) -> Result<(), Error> {
        let from = m.from;
        let last = self.log.last_index();
        if m.index > last {
            // It would count towards the commit of entries this leader has yet to write.
            let what = "acknowledges entries this leader does not have";
            return Err(Error::Malformed {
                kind: m.r#type,
                from,
                what,
            });
        }
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        // An acknowledgement of what is known already is news to a leader that was probing.
        let ends_probe = progress.matched == m.index && progress.state == ProgressState::Probe;
        if !progress.maybe_update(m.index) && !ends_probe {
            return Ok(());
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Snapshot { .. } if progress.matched + 1 >= self.log.first_index()? => {
                // Whatever snapshot it was that the follower got, the log continues it.
                self.config.logger.debug(format_args!(
                    "{:x} recovered from needing snapshot, resumed sending replication messages to \
                     {from:x} [{progress}]",
                    self.id
                ));
                progress.become_probe();
                progress.become_replicate();
            }
            ProgressState::Snapshot { .. } => {}
            ProgressState::Replicate => progress.inflights.free_to(m.index),
        }
        let matched = progress.matched;

        if self.maybe_commit()? {
            self.broadcast_append()?;
        } else if from != self.id && self.may_need_commit(from) {
            // Heartbeats tell the commit index too; this tells it now.
            self.send_append(from)?;
        }
        if from != self.id {
            // The window has room again, perhaps for several messages.
            while self.maybe_send_append(from, false)? {}
        }
        let transferee = self.role.leader().map(|leader| leader.transferee);
        if transferee == Some(from) && matched == last {
            self.config.logger.info(format_args!(
                "{:x} sent MsgTimeoutNow to {from:x} after received MsgAppResp",
                self.id
            ));
            self.send(message(MessageType::MsgTimeoutNow, from));
        }
        Ok(())
    }

    fn may_need_commit(&self, id: u64) -> bool {
        let committed = self.log.committed();
        self.tracker
            .progress
            .get(id)
            .is_some_and(|progress| progress.can_bump_commit(committed))
    }
}
