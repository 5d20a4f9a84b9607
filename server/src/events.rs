//! What the member's threads report: to metrics, to waiters, to the log, to the start-up code.
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use varve_raftnode::{Observer, WalWrite};

use crate::metrics::Metrics;
use crate::rpc::RpcError;
use crate::waiters::Waiters;

/// Figures of applying requests.
#[derive(Debug)]
pub(crate) struct AppliedObserver {
    metrics: Arc<Metrics>,
    slow: Duration,
}

impl AppliedObserver {
    pub(crate) fn new(metrics: Arc<Metrics>, slow: Duration) -> Self {
        Self { metrics, slow }
    }

    /// One request was applied.
    pub(crate) fn applied(&self, op: &'static str, success: bool, took: Duration) {
        self.metrics.observe_apply(op, success, took);
        if took > self.slow {
            self.metrics.slow_apply();
            tracing::warn!(took = ?took, expected = ?self.slow, op, "apply request took too long");
        }
    }
}

/// Told of leader changes: the leader's id (0 = none) and the term.
pub(crate) type LeaderWatch = watch::Receiver<(u64, u64)>;

/// The member's observer.
pub(crate) struct MemberObserver {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) leader: watch::Sender<(u64, u64)>,
    pub(crate) failure: watch::Sender<Option<String>>,
    pub(crate) last: Mutex<u64>,
}

impl Observer for MemberObserver {
    fn proposal_dropped(&self, id: u64) {
        self.metrics.proposal_failed();
        self.waiters
            .complete(id, Err(RpcError::TooManyRequests.into()));
    }

    fn wal_written(&self, write: WalWrite) {
        self.metrics.observe_wal(write);
    }

    fn leader_changed(&self, leader: u64, term: u64) {
        let mut last = self.last.lock();
        if leader != 0 && *last != leader {
            *last = leader;
            self.metrics.leader_changed();
        }
        tracing::info!(leader = %format_args!("{leader:x}"), term, "leader changed");
        self.leader.send_replace((leader, term));
    }

    fn snapshot_saved(&self, index: u64) {
        tracing::info!(snapshot_index = index, "saved snapshot");
    }

    fn failed(&self, error: &(dyn std::error::Error + Send + Sync)) {
        tracing::error!(error = %error, "the member cannot go on");
        self.waiters.fail_all(RpcError::Stopped);
        self.failure.send_replace(Some(error.to_string()));
    }
}
