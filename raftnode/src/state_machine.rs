//! What a member replicates, and what it talks to: the two seams of this crate.
use bytes::Bytes;
use varve_proto::raftpb::{ConfChangeV2, ConfState, Entry, Message, Snapshot};

/// An error after which the member must stop: its state could no longer be trusted.
pub type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// Lets the apply thread change raft's configuration while it applies a conf change.
pub trait Reconfigure {
    /// Makes the change take effect in the consensus core; returns the configuration after it.
    /// A rejected change is passed with its node ids set to zero, which changes nothing.
    fn apply_conf_change(&mut self, change: ConfChangeV2) -> Result<ConfState, Fatal>;
}

/// The replicated state. All methods are called on the apply thread, in log order.
pub trait StateMachine: Send + 'static {
    /// Applies committed entries. Entries up to [`durable_index`](Self::durable_index) may come again
    /// after a restart and must not take effect twice.
    fn apply(&mut self, entries: &[Entry], raft: &mut dyn Reconfigure) -> Result<(), Fatal>;

    /// The index that the state found on disk at start contains.
    fn durable_index(&self) -> u64;

    /// What goes into the raft snapshot that covers everything applied so far.
    fn snapshot(&mut self) -> Result<PendingSnapshot, Fatal>;

    /// Replaces the state by a received snapshot.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Fatal>;
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
    /// Sends without blocking. What cannot be sent now may be dropped: raft repeats itself.
    fn send(&self, messages: Vec<Message>);
}

/// The transport of a member without peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Transport for NoPeers {
    fn send(&self, messages: Vec<Message>) {
        debug_assert!(messages.is_empty(), "a sole member has nobody to write to");
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
