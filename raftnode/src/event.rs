//! What the raft thread is told, and what it tells the apply and the snapshot thread.
use bytes::Bytes;
use varve_proto::raftpb::{ConfChange, ConfChangeV2, ConfState, Message, Snapshot};

use crate::error::RequestError;
use crate::progress::ClusterProgress;
use crate::state_machine::Fatal;

/// Called with the outcome of a request, on a thread of the member: it must return soon.
pub type Done<T> = Box<dyn FnOnce(Result<T, RequestError>) + Send>;

pub(crate) enum Event {
    /// A normal entry; `id` names it if it is dropped.
    Propose { id: u64, data: Bytes },
    /// A normal entry that makes sense only while this member leads in this term.
    ProposeInTerm { id: u64, data: Bytes, term: u64 },
    /// A change of membership; called back when it entered the log or was refused.
    ProposeConfChange { change: ConfChange, done: Done<()> },
    /// Wants an index that covers everything committed before now.
    ReadIndex { done: Done<u64> },
    /// Hands leadership over; called back with the new leader.
    TransferLeader { to: Option<u64>, done: Done<u64> },
    /// Wants to know how far the members are.
    Progress { done: Done<ClusterProgress> },
    /// From a peer.
    Message(Box<Message>),
    /// The transport lost something to this member.
    Unreachable { id: u64 },
    /// The outcome of a snapshot that was sent to this member.
    SnapshotSent { id: u64, ok: bool },
    /// An append is durable; these may go out now.
    Appended {
        jobs: usize,
        responses: Vec<Message>,
    },
    /// Jobs of the apply thread are done.
    Applied {
        jobs: usize,
        responses: Vec<Message>,
    },
    /// The apply thread met a conf change and waits for the configuration after it.
    ApplyConfChange {
        index: u64,
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

/// What the apply thread does, in order.
#[derive(Debug)]
pub(crate) enum ApplyJob {
    /// A `MsgStorageApply`.
    Entries(Message),
    /// A snapshot from the leader, whose file and record are durable.
    Restore(Snapshot),
    /// A `MsgSnap` that lacks its content.
    Export(Message),
}
