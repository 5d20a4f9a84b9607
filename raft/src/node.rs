//! A node as its driver sees it.
//!
//! One thread owns it, feeds it ticks, messages and proposals, and works off what [`RawNode::ready`]
//! hands out. It never blocks, unless [`Storage`] does.
//!
//! # Failure model
//! Storage that cannot answer stops the node: every later call returns [`Error::Stopped`] and no
//! [`Ready`] asks for anything. [`RawNode::failure`] tells why. The driver ends the process then; a
//! node that cannot read its log must not vote.

use bytes::Bytes;
use varve_proto::raftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, ConfState, HardState, Message, MessageType,
};

use crate::confchange::ConfChangeExt;
use crate::config::Config;
use crate::error::Error;
use crate::ids::Index;
use crate::message::{
    Fields as _, check_incoming, is_local_message, is_local_target, is_response_message, kind_of,
    local, proposal,
};
use crate::raft::{AppliedEntries, Raft};
use crate::ready::{
    Ready, SoftState, must_sync, storage_append, storage_append_response, storage_apply,
};
use crate::status::{BasicStatus, Status};
use crate::storage::Storage;

/// Whether a snapshot reached its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotStatus {
    /// It arrived.
    Finish,
    /// It did not, or was not accepted.
    Failure,
}

/// A member of a cluster that is being created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: u64,
    /// What the application wants to find in the entry that adds it.
    pub context: Bytes,
}

/// A node. Not shared between threads.
#[derive(Debug)]
pub struct RawNode<S> {
    raft: Raft<S>,
    /// What was handed out last.
    soft_state: SoftState,
    hard_state: HardState,
    /// Synchronous writes: what the node tells itself once a `Ready` is worked off.
    on_advance: Vec<Message>,
    /// Synchronous writes: what of the log is applied then.
    applied_on_advance: Option<AppliedEntries>,
    failed: Option<Error>,
}

impl<S: Storage> RawNode<S> {
    /// A node that continues from what `storage` holds, as a follower.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that contradict each other; errors of storage, and of a hard
    /// state or configuration in it that does not fit its log.
    pub fn new(config: Config, storage: S) -> Result<Self, Error> {
        let raft = Raft::new(config, storage)?;
        Ok(Self {
            soft_state: raft.soft_state(),
            hard_state: raft.hard_state(),
            raft,
            on_advance: Vec::new(),
            applied_on_advance: None,
            failed: None,
        })
    }

    /// Puts the entries that add the first members into an empty log, as committed. Every member of a
    /// new cluster does this with the same peers in the same order.
    ///
    /// The members are in the configuration at once, so that this node may campaign; the entries are
    /// handed out to be applied like any others, which adds the members again, to no effect.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if the log has entries, [`Error::Config`] without peers.
    pub fn bootstrap(&mut self, peers: &[Peer]) -> Result<(), Error> {
        if peers.is_empty() {
            return Err(Error::Config("must provide at least one peer to Bootstrap"));
        }
        if self.raft.log.storage.last_index()? != 0 || self.raft.log.last_index() != Index::ZERO {
            return Err(Error::NotEmpty);
        }
        // So that the first Ready has a hard state.
        self.hard_state = HardState::default();
        self.raft.bootstrap(peers.iter().map(|peer| ConfChange {
            id: 0,
            r#type: ConfChangeType::ConfChangeAddNode as i32,
            node_id: peer.id,
            context: Some(peer.context.clone()),
        }))
    }

    /// Storage, as it was given to [`RawNode::new`].
    pub fn storage(&self) -> &S {
        &self.raft.log.storage
    }

    /// Why the node stopped, if it did.
    pub fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            Some(error) => Err(Error::Stopped(Box::new(error.clone()))),
            None => Ok(()),
        }
    }

    /// Stops the node if storage failed.
    fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error @ Error::Storage(_)) = &result {
            self.stop(error.clone());
        }
        result
    }

    fn stop(&mut self, error: Error) {
        self.raft
            .config
            .logger
            .error(format_args!("{} stops: {error}", self.raft.id));
        self.failed.get_or_insert(error);
    }

    /// For calls without a result: an error that is not a refusal stops the node.
    fn settle(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => {}
            Err(error) if error.is_fatal() => self.stop(error),
            Err(error) => {
                self.raft
                    .config
                    .logger
                    .debug(format_args!("{} refused: {error}", self.raft.id));
            }
        }
    }

    fn step_checked(&mut self, mut message: Message) -> Result<(), Error> {
        self.check()?;
        let result = self.raft.step(&mut message);
        self.raft.buffers.reclaim(&mut message);
        self.note(result)
    }

    /// One unit of the node's time has passed.
    pub fn tick(&mut self) {
        if self.failed.is_none() {
            let result = self.raft.tick();
            self.settle(result);
        }
    }

    /// Starts an election now, unless this node leads or cannot.
    pub fn campaign(&mut self) -> Result<(), Error> {
        self.step_checked(local(MessageType::MsgHup))
    }

    /// Proposes an entry.
    ///
    /// # Errors
    /// [`Error::ProposalDropped`]. That it was taken says nothing yet: it is in the log for good once
    /// it comes back among the committed entries.
    pub fn propose(&mut self, data: Bytes) -> Result<(), Error> {
        self.propose_entries(std::iter::once(data))
    }

    /// Proposes entries, in one message and in this order; either all or none are taken.
    pub fn propose_batch(&mut self, batch: Vec<Bytes>) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.propose_entries(batch.into_iter())
    }

    fn propose_entries(&mut self, payloads: impl Iterator<Item = Bytes>) -> Result<(), Error> {
        let from = self.raft.id.get();
        let mut entries = self.raft.buffers.entries.take();
        entries.extend(payloads.map(proposal));
        self.step_checked(Message {
            from,
            entries,
            ..local(MessageType::MsgProp)
        })
    }

    /// Proposes a configuration change. A leader for which it is not possible at present puts an empty
    /// entry in its place.
    ///
    /// `ConfChangeV2` must not be proposed while an etcd server of a version up to 3.6 is a member:
    /// those cannot apply it.
    pub fn propose_conf_change(&mut self, change: &impl ConfChangeExt) -> Result<(), Error> {
        let entries = vec![change.to_entry()];
        self.step_checked(Message {
            entries,
            ..local(MessageType::MsgProp)
        })
    }

    /// Adopts a configuration change, when the application applies its entry; returns the
    /// configuration it leads to. Not called for a change that the application rejects.
    ///
    /// A change that cannot be carried out stops the node, since other members may do differently; the
    /// result is the unchanged configuration then. [`RawNode::try_apply_conf_change`] leaves that
    /// decision to the caller.
    pub fn apply_conf_change(&mut self, change: ConfChangeV2) -> ConfState {
        match self.try_apply_conf_change(&change) {
            Ok(conf_state) => conf_state,
            Err(error) => {
                self.stop(error);
                self.raft.tracker.conf_state()
            }
        }
    }

    /// Adopts a configuration change, or reports why it cannot be and changes nothing.
    pub fn try_apply_conf_change(
        &mut self,
        change: &impl ConfChangeExt,
    ) -> Result<ConfState, Error> {
        self.check()?;
        let result = self.raft.apply_conf_change(&change.to_v2());
        self.note(result)
    }

    /// Adopts the configuration change of the entry at `index`, like
    /// [`RawNode::try_apply_conf_change`], unless the node has taken over a snapshot of that index or a
    /// later one meanwhile: then its configuration has the change, and perhaps later ones, already.
    ///
    /// With asynchronous writes that can happen, since entries handed out before may be applied after
    /// the snapshot arrived; drivers that write so use this. What it returns then is not the
    /// configuration as of `index`: [`RawNode::is_superseded`] tells.
    pub fn apply_conf_change_at(
        &mut self,
        index: u64,
        change: &impl ConfChangeExt,
    ) -> Result<ConfState, Error> {
        if self.is_superseded(index) {
            self.check()?;
            return Ok(self.raft.tracker.conf_state());
        }
        self.try_apply_conf_change(change)
    }

    /// Whether the node's configuration is that of a snapshot which has the entry at `index`, while the
    /// application may still be about to apply that entry. A configuration returned for such an entry
    /// must not be recorded as that of its index.
    pub fn is_superseded(&self, index: u64) -> bool {
        Index::new(index) <= self.raft.config_snapshot
    }

    /// Takes a message from a peer or from a storage thread.
    ///
    /// Storage threads are known by their ids. A transport must not let those in as senders from
    /// outside: it checks that a message comes from the peer it names, or drops
    /// [`crate::is_local_message`].
    ///
    /// # Errors
    /// [`Error::StepLocalMessage`], [`Error::StepPeerNotFound`] and [`Error::Malformed`] refuse the
    /// message. One for which [`Error::is_fatal`] says so means that this node's log contradicts the
    /// cluster's.
    pub fn step(&mut self, message: Message) -> Result<(), Error> {
        let from_storage = is_local_target(message.from);
        if let Some(kind) = kind_of(&message) {
            if is_local_message(kind) && !from_storage {
                return Err(Error::StepLocalMessage);
            }
            if is_response_message(kind)
                && !from_storage
                && !message
                    .sender()
                    .is_some_and(|from| self.raft.tracker.progress.contains(from))
            {
                return Err(Error::StepPeerNotFound);
            }
        }
        check_incoming(&message, self.raft.id)?;
        self.step_checked(message)
    }

    /// Whether [`RawNode::ready`] has anything to say.
    pub fn has_ready(&self) -> bool {
        let raft = &self.raft;
        let hard_state = raft.hard_state();
        self.failed.is_none()
            && (!raft.messages.is_empty()
                || !raft.after_append.is_empty()
                || !raft.read_states.is_empty()
                || !raft.log.next_unstable_entries().is_empty()
                || raft.log.has_next_committed(self.applies_unstable())
                || raft.log.next_unstable_snapshot().is_some()
                || raft.soft_state() != self.soft_state
                || (hard_state != HardState::default() && hard_state != self.hard_state))
    }

    /// Entries that are committed by others may be applied before they are saved here, if saving
    /// comes first in the same `Ready`.
    fn applies_unstable(&self) -> bool {
        !self.raft.config.async_storage_writes
    }

    /// Everything there is to do now. Each piece of work is handed out once.
    ///
    /// # Panics
    /// With synchronous writes, if the `Ready` before was not passed to [`RawNode::advance`].
    pub fn ready(&mut self) -> Ready {
        assert!(
            self.on_advance.is_empty() && self.applied_on_advance.is_none(),
            "the Ready before has to be advanced first"
        );
        if self.failed.is_some() {
            return Ready::default();
        }
        match self.collect() {
            Ok(ready) => ready,
            Err(error) => {
                self.stop(error);
                Ready::default()
            }
        }
    }

    fn collect(&mut self) -> Result<Ready, Error> {
        let allow_unstable = self.applies_unstable();
        let raft = &mut self.raft;
        // What can fail comes first: an error leaves everything in place.
        let mut committed_entries = Vec::new();
        if raft.log.has_next_committed(allow_unstable) {
            committed_entries = raft.buffers.entries.take();
            raft.log
                .next_committed(allow_unstable, &mut committed_entries)?;
        }
        let last = if raft.log.has_unstable_entries() {
            Some(raft.log.last_id()?)
        } else {
            None
        };

        let (soft_state, hard_state) = (raft.soft_state(), raft.hard_state());
        let entries = raft.buffers.copy(raft.log.next_unstable_entries());
        let mut ready = Ready {
            soft_state: (soft_state != self.soft_state).then_some(soft_state),
            hard_state: (hard_state != self.hard_state).then_some(hard_state),
            must_sync: must_sync(hard_state, self.hard_state, entries.len()),
            entries,
            snapshot: raft.log.next_unstable_snapshot().cloned(),
            committed_entries,
            messages: std::mem::replace(&mut raft.messages, raft.buffers.messages.take()),
            read_states: std::mem::take(&mut raft.read_states),
        };
        self.soft_state = soft_state;
        self.hard_state = hard_state;

        let saved = (last.is_some() || ready.snapshot.is_some())
            .then(|| storage_append_response(raft.id, raft.term, last, ready.snapshot.clone()));
        if raft.config.async_storage_writes {
            let to_save = !ready.entries.is_empty()
                || ready.hard_state.is_some()
                || ready.snapshot.is_some()
                || !raft.after_append.is_empty();
            if to_save {
                let mut after_append =
                    std::mem::replace(&mut raft.after_append, raft.buffers.messages.take());
                // Last, so that the leader's own acknowledgement finds the terms of these entries
                // still in memory.
                after_append.extend(saved);
                ready.messages.push(storage_append(
                    raft.id,
                    &ready,
                    after_append,
                    &mut raft.buffers,
                ));
            }
            if !ready.committed_entries.is_empty() {
                let apply = storage_apply(raft.id, &ready.committed_entries, &mut raft.buffers);
                ready.messages.push(apply);
            }
        } else {
            for message in raft.after_append.drain(..) {
                if message.to == raft.id.get() {
                    self.on_advance.push(message);
                } else {
                    ready.messages.push(message);
                }
            }
            self.on_advance.extend(saved);
        }
        raft.log.accept_unstable();
        if let Some(last) = ready.committed_entries.last() {
            let given = AppliedEntries::of(last, &ready.committed_entries);
            raft.log
                .accept_applying(given.last, given.size, allow_unstable);
            if !raft.config.async_storage_writes {
                self.applied_on_advance = Some(given);
            }
        }
        Ok(ready)
    }

    /// The work of the last `Ready` is done. Only with synchronous writes.
    ///
    /// # Panics
    /// With asynchronous writes: the responses in the messages say this there.
    pub fn advance(&mut self, ready: Ready) {
        assert!(
            !self.raft.config.async_storage_writes,
            "Advance must not be called when using AsyncStorageWrites"
        );
        self.recycle(ready);
        let mut on_advance = std::mem::take(&mut self.on_advance);
        for message in on_advance.drain(..) {
            let result = self.step_checked(message);
            self.settle(result);
        }
        self.on_advance = on_advance;
        if let Some(applied) = self.applied_on_advance.take()
            && self.failed.is_none()
        {
            let result = self.raft.entries_applied(applied);
            let result = self.note(result);
            self.settle(result);
        }
    }

    /// Takes back what is left of a `Ready` whose work is done, for the vectors in it: the next ones need
    /// not be allocated. [`RawNode::advance`] does it by itself. With asynchronous writes it is optional;
    /// a driver that takes messages and responses out (`drain`, `take`) and leaves the vectors gains most.
    ///
    /// Everything still in it is dropped, so nothing must be left in it that has yet to be done.
    pub fn recycle(&mut self, ready: Ready) {
        let buffers = &mut self.raft.buffers;
        buffers.entries.give(ready.entries);
        buffers.entries.give(ready.committed_entries);
        let mut messages = ready.messages;
        for message in &mut messages {
            buffers.reclaim(message);
        }
        buffers.messages.give(messages);
    }

    /// Asks for an index at which a linearizable read may be served; it comes as a
    /// [`crate::ReadState`] with the same `ctx`, or never, if no leader is known or messages get lost.
    /// A retry needs a `ctx` of its own: a leader of an older version could otherwise take a late
    /// acknowledgement of the first try for one of the second.
    pub fn read_index(&mut self, ctx: Bytes) {
        let mut entries = self.raft.buffers.entries.take();
        entries.push(proposal(ctx));
        let result = self.step_checked(Message {
            entries,
            ..local(MessageType::MsgReadIndex)
        });
        self.settle(result);
    }

    /// Asks the leader to hand over to this member.
    pub fn transfer_leader(&mut self, transferee: u64) {
        let from = transferee;
        let result = self.step_checked(Message {
            from,
            ..local(MessageType::MsgTransferLeader)
        });
        self.settle(result);
    }

    /// Forgets who leads, so that this follower votes for anyone up to date. For drivers that know
    /// better that the leader is gone. Of no effect with lease-based reads, which rest on that memory.
    pub fn forget_leader(&mut self) {
        let result = self.step_checked(local(MessageType::MsgForgetLeader));
        self.settle(result);
    }

    /// The last message to this member did not get through.
    pub fn report_unreachable(&mut self, id: u64) {
        let result = self.step_checked(Message {
            from: id,
            ..local(MessageType::MsgUnreachable)
        });
        self.settle(result);
    }

    /// What became of the snapshot sent to this member. Must follow every `MsgSnap`: until then the
    /// member gets nothing else.
    pub fn report_snapshot(&mut self, id: u64, status: SnapshotStatus) {
        let reject = status == SnapshotStatus::Failure;
        let result = self.step_checked(Message {
            from: id,
            reject,
            ..local(MessageType::MsgSnapStatus)
        });
        self.settle(result);
    }

    /// Everything the node can tell about itself.
    pub fn status(&self) -> Status {
        Status::of(&self.raft)
    }

    /// The essentials.
    pub fn basic_status(&self) -> BasicStatus {
        BasicStatus::of(&self.raft)
    }

    /// Pins the randomized election timeout until the next change of role. For tests and simulations
    /// that script elections.
    pub fn set_randomized_election_timeout(&mut self, ticks: usize) {
        self.raft.randomized_election_timeout = ticks;
    }
}

#[cfg(test)]
mod tests;
