//! What the raft thread is told.
use bytes::Bytes;
use varve_proto::raftpb::{ConfChange, ConfChangeV2, ConfState, Message, Snapshot};

use crate::error::RequestError;
use crate::state_machine::Fatal;

/// Called with the outcome of a request, on a thread of the member: it must return soon.
pub type Done<T> = Box<dyn FnOnce(Result<T, RequestError>) + Send>;

pub(crate) enum Event {
    /// A normal entry; `id` names it if it is dropped.
    Propose { id: u64, data: Bytes },
    /// A change of membership; called back when it entered the log or was refused.
    ProposeConfChange { change: ConfChange, done: Done<()> },
    /// Wants an index that covers everything committed before now.
    ReadIndex { done: Done<u64> },
    /// Hands leadership over.
    TransferLeader { to: u64 },
    /// From a peer.
    Message(Box<Message>),
    /// An append is durable; these may go out now.
    Appended {
        jobs: usize,
        responses: Vec<Message>,
    },
    /// Committed entries were applied.
    Applied {
        jobs: usize,
        responses: Vec<Message>,
    },
    /// The apply thread met a conf change and waits for the configuration after it.
    ApplyConfChange {
        change: ConfChangeV2,
        reply: std::sync::mpsc::SyncSender<ConfState>,
    },
    /// A raft snapshot is on disk; the log before it may shrink.
    SnapshotSaved { snapshot: Box<Snapshot> },
    /// A thread failed; everything stops.
    Failed(Fatal),
    /// Clean stop.
    Stop,
}
