//! Linearizable reads on the leader.

use varve_proto::raftpb::{Message, MessageType};

use crate::config::ReadOnlyOption;
use crate::error::Error;
use crate::ids::{Index, NodeId};
use crate::message::{Fields as _, message};
use crate::raft::Raft;
use crate::read_index::ReadState;
use crate::storage::Storage;

impl<S: Storage> Raft<S> {
    /// A read arrives, from the application or from a follower.
    pub(super) fn handle_read_request(&mut self, m: Message) -> Result<(), Error> {
        // Before its first commit a leader may not know of all that earlier ones committed. That holds
        // for a single voter too: the commit index it restarted with can be behind what it had
        // acknowledged, since a commit index alone is not worth an fsync.
        let too_early = !self.committed_in_this_term()?;
        #[cfg(feature = "seeded-bugs")]
        let too_early = too_early && !self.config.makes(crate::SeededBug::ReadBeforeFirstCommit);
        if too_early {
            if let Some(leader) = self.role.leader_mut() {
                leader.early_reads.push(m);
            }
            return Ok(());
        }
        self.start_read(m);
        Ok(())
    }

    fn committed_in_this_term(&self) -> Result<bool, Error> {
        Ok(self.log.known_term(self.log.committed())? == Some(self.term))
    }

    /// The commit index moved: if that was this term's first commit, the reads that waited for it go
    /// on.
    pub(super) fn release_early_reads(&mut self) -> Result<(), Error> {
        let Some(leader) = self.role.leader() else {
            return Ok(());
        };
        if leader.early_reads.is_empty() || !self.committed_in_this_term()? {
            return Ok(());
        }
        let reads = self
            .role
            .leader_mut()
            .map(|leader| std::mem::take(&mut leader.early_reads));
        for read in reads.unwrap_or_default() {
            self.start_read(read);
        }
        Ok(())
    }

    fn start_read(&mut self, request: Message) {
        let committed = self.log.committed();
        // Alone it needs nobody; but a leader that was removed, and leads until it learns who follows,
        // is not the one voter that is left.
        let votes = self.tracker.config.voters.contains(self.id);
        #[cfg(feature = "seeded-bugs")]
        let votes = votes || self.config.makes(crate::SeededBug::ReadAloneWhenRemoved);
        let alone = self.tracker.is_singleton() && votes;
        let needs_quorum = self.config.read_only_option == ReadOnlyOption::Safe && !alone;
        #[cfg(feature = "seeded-bugs")]
        let needs_quorum = needs_quorum && !self.config.makes(crate::SeededBug::ReadWithoutQuorum);
        let id = self.id;
        match self.role.leader_mut() {
            Some(leader) if needs_quorum => {
                leader.reads.push(committed, request);
                leader.reads.acknowledge_all(id);
                self.broadcast_heartbeat();
            }
            _ => self.answer_read(request, committed),
        }
    }

    /// A member answered a heartbeat that asked for confirmation.
    pub(super) fn handle_read_ack(&mut self, from: NodeId, context: &[u8]) {
        if self.config.read_only_option == ReadOnlyOption::Safe
            && let Some(leader) = self.role.leader_mut()
        {
            leader.reads.echoed(from, context);
            self.answer_confirmed_reads();
        }
    }

    /// Answers the reads that a quorum has confirmed.
    pub(super) fn answer_confirmed_reads(&mut self) {
        let Some(leader) = self.role.leader_mut() else {
            return;
        };
        for read in leader.reads.take_confirmed(&self.tracker.config.voters) {
            self.answer_read(read.request, read.index);
        }
    }

    fn answer_read(&mut self, mut request: Message, index: Index) {
        let index = index.get();
        let asker = request.sender().filter(|asker| *asker != self.id);
        let Some(asker) = asker else {
            let request_ctx = request
                .entries
                .first_mut()
                .and_then(|entry| entry.data.take())
                .unwrap_or_default();
            self.read_states.push(ReadState { index, request_ctx });
            self.buffers.reclaim(&mut request);
            return;
        };
        self.send(Message {
            index,
            entries: request.entries,
            ..message(MessageType::MsgReadIndexResp, asker)
        });
    }
}
