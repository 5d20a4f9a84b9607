//! What a member replicates, and what it talks to: the two seams of this crate.
use std::path::Path;

use bytes::Bytes;
use varve_proto::raftpb::{ConfChangeV2, ConfState, Entry, Message, Snapshot};

/// An error after which the member must stop: its state could no longer be trusted.
pub type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// Lets the apply thread change raft's configuration while it applies a conf change.
pub trait Reconfigure {
    /// Makes the change of the entry at `index` take effect in the consensus core; returns the
    /// configuration after it. A rejected change is passed with its node ids set to zero, which changes
    /// nothing. Where the core has taken over a snapshot of that index or a later one meanwhile, it
    /// leaves its configuration as it is.
    ///
    /// A member that is no longer in the configuration afterwards stops a second later, see
    /// [`Observer::removed`]: `apply` need not, and must not, fail because of it.
    fn apply_conf_change(&mut self, index: u64, change: ConfChangeV2) -> Result<ConfState, Fatal>;
}

/// The replicated state. All methods are called in log order, by one thread at a time: the apply thread, or
/// the one that takes a turn of the raft role.
pub trait StateMachine: Send + 'static {
    /// Applies committed entries. Entries up to [`durable_index`](Self::durable_index) may come again
    /// after a restart and must not take effect twice.
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal>;

    /// Whether applying these takes microseconds and waits for nothing: then they may be applied in a turn of
    /// the raft role, where a wait would hold up heartbeats. `false` is always right.
    fn is_quick(&self, _entries: &[Entry]) -> bool {
        false
    }

    /// The index that the state found on disk at start contains.
    fn durable_index(&self) -> u64;

    /// What goes into the raft snapshot that covers everything applied so far.
    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal>;

    /// The whole state at exactly the last applied entry, for a member that needs a snapshot. What the
    /// export reads must not change while entries are applied further; it is read on another thread.
    fn export(&mut self) -> Result<StateExport, Fatal>;

    /// Replaces the state by a received snapshot, which has become part of the log already: its `.snap`
    /// file and the WAL record are durable. `database` is where the transport has put what the sender's
    /// [`export`](Self::export) read, durably. When this returns, a restart must find the new state: one
    /// that stops before is started with [`Bootstrapped::snapshot_index`](crate::Bootstrapped) above the
    /// index of the state on disk, and the received database still in place.
    fn restore(&mut self, snapshot: &Snapshot, database: &Path) -> Result<(), Fatal>;
}

/// The state at one index, on its way to another member.
pub struct StateExport {
    /// The payload of the snapshot message (etcd: the v2 store's JSON). Taken out and put into the message
    /// before the transport gets both.
    pub data: Bytes,
    /// Bytes that `reader` gives.
    pub len: u64,
    /// The database, in bbolt's format.
    pub reader: Box<dyn std::io::Read + Send>,
}

impl std::fmt::Debug for StateExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateExport")
            .field("data_len", &self.data.len())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// A snapshot that is being taken.
pub struct PendingSnapshot {
    /// The payload of the `.snap` file.
    pub data: Bytes,
    /// Waits until the state that the snapshot stands for is durable. Runs on the snapshot thread, so
    /// that applying goes on. The log is released only after it returned `Ok`.
    pub make_durable: Box<dyn FnOnce() -> Result<(), Fatal> + Send>,
}

impl std::fmt::Debug for PendingSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingSnapshot")
            .field("data_len", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Carries messages to the other members.
pub trait Transport: Send + Sync + 'static {
    /// Sends without blocking. What cannot be sent now may be dropped: raft repeats itself. Whoever drops
    /// something says so with [`Node::report_unreachable`](crate::Node::report_unreachable).
    fn send(&self, messages: Vec<Message>);

    /// Sends a `MsgSnap`, complete with its metadata and data, followed by the database, without blocking.
    /// The outcome must come back through [`Node::report_snapshot`](crate::Node::report_snapshot): until
    /// then the receiver gets nothing else and the log is kept. Called on the apply thread.
    fn send_snapshot(&self, message: Message, state: StateExport);
}

/// The transport of a member without peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Transport for NoPeers {
    fn send(&self, messages: Vec<Message>) {
        debug_assert!(messages.is_empty(), "a sole member has nobody to write to");
    }

    fn send_snapshot(&self, message: Message, _: StateExport) {
        debug_assert!(false, "a sole member has no follower {:x}", message.to);
    }
}

/// Told of what happens, for metrics, waiters and the log. Called on the member's threads: return soon.
pub trait Observer: Send + Sync + 'static {
    /// A proposal was dropped before it reached the log; `id` is what it was proposed with.
    fn proposal_dropped(&self, id: u64);
    /// One batch went to the WAL.
    fn wal_written(&self, write: WalWrite);
    /// The leader as known here changed (0 = none).
    fn leader_changed(&self, leader: u64, term: u64);
    /// A raft snapshot was saved up to this index.
    fn snapshot_saved(&self, index: u64);
    /// This leader sends a heartbeat later than it should, by this time after the interval had passed.
    fn heartbeat_late(&self, _late: std::time::Duration) {}
    /// A conf change that was just applied took this member out of the cluster. Its threads stop by
    /// themselves one second later, so that the others still learn that the change is committed.
    fn removed(&self) {}
    /// The member cannot go on and stops.
    fn failed(&self, error: &(dyn std::error::Error + Send + Sync));
}

/// Figures of one WAL batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalWrite {
    /// Entries in the batch.
    pub entries: usize,
    /// Time of the batch, the write and the sync together.
    pub duration: std::time::Duration,
    /// Whether the batch was synced.
    pub synced: bool,
    /// Bytes handed to the file.
    pub bytes: u64,
}
