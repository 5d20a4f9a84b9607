//! What a node asks of its driver: write this, send that, apply these.
//!
//! Made by [`crate::RawNode::ready`].

use varve_proto::raftpb::{Entry, HardState, Message, MessageType, Snapshot};

use crate::buffers::Buffers;
use crate::entry::EntryId;
use crate::ids::{NodeId, Term};
use crate::message::{LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, local, message};
use crate::read_index::ReadState;
use crate::role::StateRole;

/// What need not survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftState {
    /// The leader this node knows of, or [`crate::NONE`].
    pub lead: u64,
    /// This node's role.
    pub role: StateRole,
}

/// Work for the driver.
///
/// # Synchronous writes
/// In this order: save `hard_state`, `entries` and `snapshot` (with an fsync if `must_sync`), send
/// `messages`, apply `snapshot` and `committed_entries`, and call [`crate::RawNode::advance`].
/// The next `Ready` can be had only then.
///
/// # Asynchronous writes
/// Everything is in `messages`; the other fields say the same again, for whoever wants to look.
/// - `MsgStorageAppend`, to [`crate::LOCAL_APPEND_THREAD`]: save its entries, its snapshot, and if they
///   are not all zero its term, vote and commit as hard state. If it has responses, these must be
///   durable before the responses are released.
/// - `MsgStorageApply`, to [`crate::LOCAL_APPLY_THREAD`]: apply its entries, then release its response.
///   A snapshot of an earlier `MsgStorageAppend` is applied before; entries it contains may still
///   come after it, and are to be skipped ([`crate::RawNode::apply_conf_change_at`]).
/// - All others may be sent at once, while those are being worked on.
///
/// A response is stepped if it is for this node and sent otherwise. Messages to one thread must be
/// worked on in order and none may be lost; several may be under way.
///
/// What is left of a `Ready` may be given back by [`crate::RawNode::recycle`].
#[must_use = "dropping it loses entries and votes that must be written"]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ready {
    /// Leader and role, if they changed.
    pub soft_state: Option<SoftState>,
    /// Term, vote and commit, if they changed.
    pub hard_state: Option<HardState>,
    /// Entries to save.
    pub entries: Vec<Entry>,
    /// A snapshot to save, then apply; entries continue it.
    pub snapshot: Option<Snapshot>,
    /// Entries to apply.
    pub committed_entries: Vec<Entry>,
    /// Messages to send.
    pub messages: Vec<Message>,
    /// Reads that may be served once their index is applied.
    pub read_states: Vec<ReadState>,
    /// Whether what is to be saved must be durable before `messages` leave. A commit index alone need
    /// not be.
    pub must_sync: bool,
}

/// Whether saving this needs an fsync: term, vote and entries are what promises rest on.
pub(crate) fn must_sync(state: HardState, previous: HardState, entries: usize) -> bool {
    entries != 0 || state.vote != previous.vote || state.term != previous.term
}

/// The order to save `ready`, releasing `responses` after that.
pub(crate) fn storage_append(
    from: NodeId,
    ready: &Ready,
    responses: Vec<Message>,
    buffers: &mut Buffers,
) -> Message {
    let state = ready.hard_state.unwrap_or_default();
    Message {
        from: from.get(),
        to: LOCAL_APPEND_THREAD,
        entries: buffers.copy(&ready.entries),
        term: state.term,
        vote: state.vote,
        commit: state.commit,
        snapshot: ready.snapshot.clone(),
        responses,
        ..local(MessageType::MsgStorageAppend)
    }
}

/// The answer that tells a node that its log is saved up to `last`, and that a snapshot is.
///
/// It names the end of the log as it is now, not the last entry being written, and it carries the
/// term, because of this sequence (the ABA problem): entries of leader A are being written; leader C
/// of a later term replaces them, and the replacements are being written; A leads again and puts the
/// first entries back, which are being written. Now the first write completes. Index and term of its
/// last entry match the log, but dropping the entries from memory would expose what the second write
/// is about to do. So an answer counts only in the term it was asked for in. Lest the entries then
/// stay in memory forever, every write vouches for the whole log while some of it is unstable: each
/// change of term comes with a write of its own.
pub(crate) fn storage_append_response(
    to: NodeId,
    term: Term,
    last: Option<EntryId>,
    snapshot: Option<Snapshot>,
) -> Message {
    let last = last.unwrap_or_default();
    Message {
        from: LOCAL_APPEND_THREAD,
        term: term.get(),
        index: last.index.get(),
        log_term: last.term.get(),
        snapshot,
        ..message(MessageType::MsgStorageAppendResp, to)
    }
}

/// The order to apply entries, releasing [`storage_apply_response`] after that.
pub(crate) fn storage_apply(from: NodeId, entries: &[Entry], buffers: &mut Buffers) -> Message {
    let mut responses = buffers.messages.take();
    responses.push(storage_apply_response(from, entries, buffers));
    Message {
        from: from.get(),
        to: LOCAL_APPLY_THREAD,
        entries: buffers.copy(entries),
        responses,
        ..local(MessageType::MsgStorageApply)
    }
}

/// The answer that tells a node that entries are applied, in whatever term.
fn storage_apply_response(to: NodeId, entries: &[Entry], buffers: &mut Buffers) -> Message {
    Message {
        from: LOCAL_APPLY_THREAD,
        entries: buffers.copy(entries),
        ..message(MessageType::MsgStorageApplyResp, to)
    }
}
