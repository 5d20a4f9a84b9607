//! What can be chosen when a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// How a [`Store`](crate::Store) behaves. The defaults are etcd's.
#[derive(Clone)]
pub struct StoreOptions {
    /// No background thread: the caller drives [`step_compaction`](crate::Store::step_compaction) and
    /// [`step_watchers`](crate::Store::step_watchers). For simulation and tests.
    pub manual: bool,
    /// Rows a compaction looks at or deletes at most before it pauses.
    pub compaction_batch_limit: usize,
    /// How long the background thread leaves the store to others between two such batches, at least:
    /// while others write, it works a twelfth of the time.
    pub compaction_pause: Duration,
    /// Whether each compaction hashes what it keeps, for comparison between members. Costs one read of
    /// all rows up to the compaction revision, in the background.
    pub compaction_hash: bool,
    /// Shortest time to live a lease gets, in seconds. etcd: 1.5 election timeouts, rounded up.
    pub lease_min_ttl_seconds: i64,
    /// Whether checkpointed remaining times are stored with the lease.
    /// [`Lessor::set_checkpoint_persist`](crate::Lessor::set_checkpoint_persist) changes it later.
    pub lease_checkpoint_persist: bool,
    /// Time between two checkpoints of a lease. etcd: five minutes.
    pub lease_checkpoint_interval: Duration,
    /// Where lease time comes from.
    pub clock: Arc<dyn Clock>,
    /// Bounds of watch.
    pub watch: WatchLimits,
    /// When readers get the picture a transaction leaves.
    pub publish: Publish,
    /// Told about the steps of a compaction, on the thread that makes them; for metrics.
    pub on_compaction: Option<Arc<dyn Fn(CompactionStep) + Send + Sync>>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            manual: false,
            compaction_batch_limit: 1000,
            compaction_pause: Duration::from_millis(10),
            compaction_hash: true,
            lease_min_ttl_seconds: 2,
            lease_checkpoint_persist: false,
            lease_checkpoint_interval: Duration::from_mins(5),
            clock: Arc::new(SystemClock::new()),
            watch: WatchLimits::default(),
            publish: Publish::Always,
            on_compaction: None,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("manual", &self.manual)
            .field("compaction_batch_limit", &self.compaction_batch_limit)
            .field("compaction_pause", &self.compaction_pause)
            .field("compaction_hash", &self.compaction_hash)
            .field("lease_min_ttl_seconds", &self.lease_min_ttl_seconds)
            .field("lease_checkpoint_persist", &self.lease_checkpoint_persist)
            .field("clock", &self.clock)
            .field("watch", &self.watch)
            .field("publish", &self.publish)
            .finish_non_exhaustive()
    }
}

/// When a write is safe against loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// With the backend's next commit, at most its batch interval later. Right when another log (raft's)
    /// holds what is not yet committed, or when losing the last moment is acceptable. What survives is
    /// always a whole prefix of the transactions.
    Batch,
    /// Before [`WriteTxn::end_with`](crate::WriteTxn::end_with) returns.
    Immediate,
}

/// When readers get the picture of the index that a transaction leaves.
///
/// Either way a reader sees every transaction that ended before it asked. A picture that somebody might
/// read makes the next transaction copy the nodes it changes: about a microsecond of each put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Each transaction leaves one: readers wait for nobody.
    Always,
    /// Transactions leave one while there are readers, and before deleting many keys. A reader after many
    /// unread transactions waits for the one that runs to end, or for a compaction's slice (a fraction
    /// of a millisecond). The thread that holds a [`WriteTxn`](crate::WriteTxn) must not take a
    /// [`ReadView`](crate::ReadView) or [`Stats`](crate::Stats): it would wait for itself.
    WhenRead,
}

/// Bounds of watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Bytes of events that wait on one stream before its watchers fall back to catching up from the
    /// backend. One item is always accepted.
    pub queue_bytes: usize,
    /// Bytes of the newest changes that are kept for watchers that are a little behind, once for all of
    /// them; further back they read from the backend. Nothing is kept while nobody watches.
    pub recent_bytes: usize,
    /// Revisions one catch-up step reads at most. etcd: 1000.
    pub catch_up_revisions: i64,
    /// Bytes of rows after which a catch-up step ends at the next revision.
    pub catch_up_bytes: usize,
    /// Watchers one catch-up step serves at most. etcd: 512.
    pub catch_up_watchers: usize,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            queue_bytes: 16 << 20,
            recent_bytes: 4 << 20,
            catch_up_revisions: 1000,
            catch_up_bytes: 4 << 20,
            catch_up_watchers: 512,
        }
    }
}

/// What a compaction just did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactionStep {
    /// A part of the index was cleaned under the writer's lock;
    /// `etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds`.
    Index {
        /// How long the lock was held.
        held: Duration,
    },
    /// A batch of rows was read and its dead ones deleted;
    /// `etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds`.
    Rows {
        /// Rows deleted.
        deleted: usize,
        /// How long it took, without waiting for writers.
        took: Duration,
    },
    /// All dead rows are gone and the backend has committed it;
    /// `etcd_debugging_mvcc_db_compaction_total_duration_milliseconds`.
    Finished {
        /// The compaction's revision.
        revision: i64,
        /// Time since it began, in milliseconds of the store's clock.
        took_ms: u64,
    },
}
