//! Numbers for metrics; each names the metric of etcd it feeds.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;
use crate::lease::LeaseCounts;

/// A store's numbers at one moment; totals count from opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// `etcd_debugging_mvcc_current_revision`.
    pub current_revision: i64,
    /// `etcd_debugging_mvcc_compact_revision`.
    pub compact_revision: i64,
    /// `etcd_debugging_mvcc_keys_total`: keys alive.
    pub keys: usize,
    /// `etcd_debugging_mvcc_watch_stream_total`.
    pub watch_streams: usize,
    /// `etcd_debugging_mvcc_watcher_total`.
    pub watchers: usize,
    /// `etcd_debugging_mvcc_slow_watcher_total`: watchers that are behind.
    pub slow_watchers: usize,
    /// `etcd_debugging_mvcc_events_total`: events put into queues.
    pub events: u64,
    /// `etcd_debugging_mvcc_pending_events_total`: revisions watchers that are behind must still read.
    pub pending_events: u64,
    /// Bytes of events that wait in streams' queues, and of recent changes kept for watchers that are a
    /// little behind.
    pub watch_bytes: usize,
    /// `etcd_debugging_mvcc_db_compaction_keys_total`: rows removed.
    pub compacted_rows: u64,
    /// Compactions finished.
    pub compactions: u64,
    /// `etcd_mvcc_put_total`.
    pub puts: u64,
    /// `etcd_debugging_mvcc_total_put_size_in_bytes`.
    pub put_bytes: u64,
    /// `etcd_mvcc_delete_total`.
    pub deletes: u64,
    /// `etcd_mvcc_range_total`: views taken to read, and ranges in write transactions.
    pub ranges: u64,
    /// `etcd_mvcc_txn_total`: write transactions of more than one operation.
    pub multi_txns: u64,
    /// Leases.
    pub leases: LeaseCounts,
}

impl Stats {
    pub(crate) fn of(core: &Core) -> Self {
        let published = core.published();
        let hub = core.hub.counts();
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Self {
            current_revision: published.revision,
            compact_revision: published.compacted,
            keys: published.index.live_keys(),
            watch_streams: hub.streams,
            watchers: hub.watchers,
            slow_watchers: hub.unsynced,
            events: hub.events_sent,
            pending_events: hub.pending,
            watch_bytes: hub.bytes,
            compacted_rows: core.compacted_rows(),
            compactions: total(&core.counters.compactions),
            puts: total(&core.counters.puts),
            put_bytes: total(&core.counters.put_bytes),
            deletes: total(&core.counters.deletes),
            ranges: total(&core.counters.ranges.0),
            multi_txns: total(&core.counters.multi_txns),
            leases: core.lessor.counts(),
        }
    }
}
