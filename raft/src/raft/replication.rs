//! Replication, the leader's side: what to send to whom, and what the answers mean.

use varve_proto::raftpb::{Message, MessageType};

use crate::entry::EntryId;
use crate::error::Error;
use crate::ids::{Index, NodeId, Term};
use crate::message::{Fields as _, message};
use crate::raft::Raft;
use crate::storage::{Storage, StorageError};
use crate::tracker::{ProgressState, Refusal};

impl<S: Storage> Raft<S> {
    /// Sends an append to a member, with whatever entries it lacks, or none.
    pub(super) fn send_append(&mut self, to: NodeId) -> Result<(), Error> {
        self.maybe_send_append(to, true).map(drop)
    }

    /// Sends an append, or the snapshot that must come before one. An append without entries, which
    /// only tells the commit index, goes only if `even_empty`. Returns whether something was sent.
    pub(super) fn maybe_send_append(
        &mut self,
        to: NodeId,
        even_empty: bool,
    ) -> Result<bool, Error> {
        let Some(progress) = self.tracker.progress.get(to) else {
            return Ok(false);
        };
        if progress.is_paused() {
            return Ok(false);
        }
        let previous = progress.next.before();
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
        let commit = self.log.committed();
        if let Some(progress) = self.tracker.progress.get_mut(to) {
            progress.sent_entries(&entries);
            progress.record_sent_commit(commit);
        }
        self.send(Message {
            index: previous.get(),
            log_term: log_term.get(),
            entries,
            commit: commit.get(),
            ..message(MessageType::MsgApp, to)
        });
        Ok(true)
    }

    /// Calls `each` for every other member, in order of ids.
    fn for_each_peer(
        &mut self,
        mut each: impl FnMut(&mut Self, NodeId) -> Result<(), Error>,
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
                commit: commit.get(),
                context: context.clone(),
                ..heartbeat
            });
        }
    }

    /// Commits what a quorum has, if it ends in an entry of this term. Returns whether that was news.
    pub(super) fn maybe_commit(&mut self) -> Result<bool, Error> {
        // Without voters everything would count as acknowledged.
        let Some(index) = self.tracker.committed() else {
            return Ok(false);
        };
        let id = EntryId {
            term: self.term,
            index,
        };
        #[cfg(feature = "seeded-bugs")]
        let id = if self.config.makes(crate::SeededBug::CommitOldTermByCounting) {
            EntryId {
                term: self.log.known_term(id.index)?.unwrap_or_default(),
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

    pub(super) fn handle_append_refusal(&mut self, from: NodeId, m: &Message) -> Result<(), Error> {
        self.config.logger.debug(format_args!(
            "{} received MsgAppResp(rejected, hint: (index {}, term {})) from {from} for index {}",
            self.id, m.reject_hint, m.log_term, m.index
        ));
        // The follower says which term it has at the hint. Where this log has a later term, the logs
        // cannot match: skip all of that. Peers before etcd 3.5 do not tell the term.
        let told = EntryId {
            index: Index::new(m.reject_hint),
            ..m.entry_id()
        };
        let hint = if told.term > Term::ZERO {
            self.log.find_conflict_by_term(told)?.index
        } else {
            told.index
        };
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        let rejected = m.at();
        if progress.maybe_decrease_to(Refusal { rejected, hint }) {
            self.config.logger.debug(format_args!(
                "{} decreased progress of {from} to [{progress}]",
                self.id
            ));
            if progress.state == ProgressState::Replicate {
                progress.become_probe();
            }
            self.send_append(from)?;
        }
        Ok(())
    }

    pub(super) fn handle_append_ack(&mut self, from: NodeId, m: &Message) -> Result<(), Error> {
        let last = self.log.last_index();
        let acknowledged = m.at();
        if acknowledged > last {
            // It would count towards the commit of entries this leader has yet to write.
            let what = "acknowledges entries this leader does not have";
            return Err(Error::Malformed {
                kind: m.r#type,
                from: m.from,
                what,
            });
        }
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        // An acknowledgement of what is known already is news to a leader that was probing.
        let ends_probe = progress.matched == acknowledged && progress.state == ProgressState::Probe;
        if !progress.maybe_update(acknowledged) && !ends_probe {
            return Ok(());
        }
        match progress.state {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Snapshot { .. }
                if progress.matched.next() >= self.log.first_index()? =>
            {
                // Whatever snapshot it was that the follower got, the log continues it.
                self.config.logger.debug(format_args!(
                    "{} recovered from needing snapshot, resumed sending replication messages to \
                     {from} [{progress}]",
                    self.id
                ));
                progress.become_probe();
                progress.become_replicate();
            }
            ProgressState::Snapshot { .. } => {}
            ProgressState::Replicate => progress.inflights.free_to(acknowledged),
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
        let transferee = self.role.leader().and_then(|leader| leader.transferee);
        if transferee == Some(from) && matched == last {
            self.config.logger.info(format_args!(
                "{} sent MsgTimeoutNow to {from} after received MsgAppResp",
                self.id
            ));
            self.send(message(MessageType::MsgTimeoutNow, from));
        }
        Ok(())
    }

    fn may_need_commit(&self, id: NodeId) -> bool {
        let committed = self.log.committed();
        self.tracker
            .progress
            .get(id)
            .is_some_and(|progress| progress.can_bump_commit(committed))
    }
}
