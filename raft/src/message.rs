//! Messages: kinds, who may send them, and what every one that comes from outside must satisfy.

use varve_proto::raftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};

use crate::entry::{EntryId, malformed_run};
use crate::error::Error;
use crate::ids::{Index, NodeId, Term};

/// The id no node has: no leader, no vote.
pub const NONE: u64 = 0;

/// Addressee of [`MessageType::MsgStorageAppend`]: whoever makes the log durable.
pub const LOCAL_APPEND_THREAD: u64 = u64::MAX;

/// Addressee of [`MessageType::MsgStorageApply`]: whoever applies committed entries.
pub const LOCAL_APPLY_THREAD: u64 = u64::MAX - 1;

/// Terms and indexes from outside must stay below this, so that none of ours can overflow.
const MAX_POSITION: u64 = u64::MAX >> 1;

/// Whether an id names one of the two local threads.
pub fn is_local_target(id: u64) -> bool {
    id == LOCAL_APPEND_THREAD || id == LOCAL_APPLY_THREAD
}

/// Whether messages of this kind never cross the network: those a node sends to itself or to its
/// storage threads. A transport drops them on receipt.
///
/// `MsgForgetLeader` is among them; etcd's list omits it, and no member ever sends it.
pub fn is_local_message(kind: MessageType) -> bool {
    use MessageType as T;
    matches!(
        kind,
        T::MsgHup
            | T::MsgBeat
            | T::MsgUnreachable
            | T::MsgSnapStatus
            | T::MsgCheckQuorum
            | T::MsgStorageAppend
            | T::MsgStorageAppendResp
            | T::MsgStorageApply
            | T::MsgStorageApplyResp
            | T::MsgForgetLeader
    )
}

/// Whether messages of this kind answer an earlier one; those of strangers are refused.
pub fn is_response_message(kind: MessageType) -> bool {
    use MessageType as T;
    matches!(
        kind,
        T::MsgAppResp
            | T::MsgVoteResp
            | T::MsgHeartbeatResp
            | T::MsgUnreachable
            | T::MsgReadIndexResp
            | T::MsgPreVoteResp
            | T::MsgStorageAppendResp
            | T::MsgStorageApplyResp
    )
}

/// The kind of a message, unless it is one this version does not know.
pub fn kind_of(message: &Message) -> Option<MessageType> {
    MessageType::try_from(message.r#type).ok()
}

/// Index and term of a snapshot.
pub(crate) fn snapshot_id(snapshot: &Snapshot) -> EntryId {
    EntryId {
        term: Term::new(snapshot.metadata.term),
        index: Index::new(snapshot.metadata.index),
    }
}

/// A snapshot of nothing is no snapshot: older peers put one into every message.
pub fn is_empty_snapshot(snapshot: &Snapshot) -> bool {
    snapshot.metadata.index == 0
}

/// The message's snapshot, if it has one that is not empty.
pub(crate) fn snapshot_of(message: &Message) -> Option<&Snapshot> {
    message
        .snapshot
        .as_ref()
        .filter(|snapshot| !is_empty_snapshot(snapshot))
}

/// Whether nothing was ever saved.
pub fn is_empty_hard_state(state: &HardState) -> bool {
    *state == HardState::default()
}

/// An empty message of this kind to a node. Sender and term are filled in when it is sent.
pub(crate) fn message(kind: MessageType, to: NodeId) -> Message {
    Message {
        to: to.get(),
        ..local(kind)
    }
}

/// An empty message of this kind, to the node itself.
pub(crate) fn local(kind: MessageType) -> Message {
    Message {
        r#type: kind as i32,
        ..Message::default()
    }
}

/// What the numbers of a message are.
pub(crate) trait Fields {
    /// Who sent it; nobody if it is local, or made by the application.
    fn sender(&self) -> Option<NodeId>;

    /// The term it was sent in; for votes the one they are about. Zero: any.
    fn in_term(&self) -> Term;

    /// The position it is about.
    fn at(&self) -> Index;

    /// The entry it is about: that position, and the term there.
    fn entry_id(&self) -> EntryId;

    /// The commit index it tells.
    fn commit_index(&self) -> Index;
}

impl Fields for Message {
    fn sender(&self) -> Option<NodeId> {
        NodeId::new(self.from)
    }

    fn in_term(&self) -> Term {
        Term::new(self.term)
    }

    fn at(&self) -> Index {
        Index::new(self.index)
    }

    fn entry_id(&self) -> EntryId {
        EntryId {
            term: Term::new(self.log_term),
            index: self.at(),
        }
    }

    fn commit_index(&self) -> Index {
        Index::new(self.commit)
    }
}

/// An entry with a payload, as yet without position.
pub(crate) fn proposal(data: bytes::Bytes) -> Entry {
    Entry {
        data: Some(data),
        ..Entry::default()
    }
}

/// Whether the configuration has this node in any role. Who waits to become a learner is an outgoing
/// voter.
pub(crate) fn is_member(state: &ConfState, id: NodeId) -> bool {
    [&state.voters, &state.learners, &state.voters_outgoing]
        .iter()
        .any(|ids| ids.contains(&id.get()))
}

/// Refuses what no correct member sends, before it can do anything.
///
/// Whatever arrives from a peer passes here, and what passes must not be able to break an invariant
/// of the core. `id` is this node.
pub(crate) fn check_incoming(message: &Message, id: NodeId) -> Result<(), Error> {
    use MessageType as T;

    let from_itself = message.sender() == Some(id);
    let malformed = |what: &'static str| {
        Err(Error::Malformed {
            kind: message.r#type,
            from: message.from,
            what,
        })
    };
    let positions = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.reject_hint,
        message
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.metadata.index),
        message
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.metadata.term),
    ];
    if positions.iter().any(|&position| position > MAX_POSITION) {
        return malformed("a term or index is out of range");
    }
    let Some(kind) = kind_of(message) else {
        return Ok(());
    };

    match kind {
        T::MsgApp
        | T::MsgHeartbeat
        | T::MsgSnap
        | T::MsgVote
        | T::MsgPreVote
        | T::MsgTimeoutNow => {
            if message.from == NONE || from_itself {
                return malformed("the sender cannot be right");
            }
            if message.term == 0 {
                return malformed("the term is missing");
            }
        }
        T::MsgAppResp if from_itself && message.reject => {
            return malformed("a node does not refuse its own entries");
        }
        T::MsgHeartbeatResp | T::MsgReadIndexResp if from_itself => {
            return malformed("the sender cannot be right");
        }
        T::MsgAppResp
        | T::MsgVoteResp
        | T::MsgPreVoteResp
        | T::MsgHeartbeatResp
        | T::MsgReadIndexResp
            if message.term == 0 =>
        {
            return malformed("the term is missing");
        }
        T::MsgProp if message.entries.is_empty() => return malformed("there is no proposal in it"),
        T::MsgReadIndex if message.entries.len() != 1 => {
            return malformed("there is not exactly one request in it");
        }
        _ => {}
    }
    if kind == T::MsgApp
        && let Some(what) = malformed_run(message.in_term(), message.entry_id(), &message.entries)
    {
        return malformed(what);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
