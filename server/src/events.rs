//! What the member's threads report: to metrics, to waiters, to the log, to the start-up code.
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use varve_raftnode::{Observer, WalWrite};

use crate::metrics::Metrics;
use crate::rpc::RpcError;
use crate::waiters::Waiters;

/// How long a member that was removed goes on.
const REMOVED_GRACE: Duration = Duration::from_secs(1);

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

    /// A received snapshot is being applied, or no longer.
    pub(crate) fn restoring(&self, under_way: bool) {
        self.metrics.applying_snapshot(under_way);
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

/// Why a member ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It cannot go on.
    Failed(String),
    /// The cluster goes on without it, for good: a clean end.
    Removed,
}

/// Told when a member ends by itself; `None` until then.
pub(crate) type EndingWatch = watch::Receiver<Option<Ending>>;

/// When a leader was last elected.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderElected(Arc<Mutex<Option<Instant>>>);

impl LeaderElected {
    /// The time of the last election, if there was one.
    pub(crate) fn at(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// The member's observer.
pub(crate) struct MemberObserver {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) leader: watch::Sender<(u64, u64)>,
    pub(crate) elected: LeaderElected,
    pub(crate) ending: watch::Sender<Option<Ending>>,
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
            *self.elected.0.lock() = Some(Instant::now());
        }
        tracing::info!(leader = %format_args!("{leader:x}"), term, "leader changed");
        self.leader.send_replace((leader, term));
    }

    fn snapshot_saved(&self, index: u64) {
        tracing::info!(snapshot_index = index, "saved snapshot");
    }

    fn heartbeat_late(&self, late: Duration) {
        self.metrics.heartbeat_late();
        tracing::warn!(
            ?late,
            "leader failed to send out heartbeat on time; took too long, leader is overloaded likely \
             from slow disk"
        );
    }

    fn removed(&self) {
        tracing::warn!("the member has been permanently removed from the cluster");
        let ending = self.ending.clone();
        // The others must still learn that the change is committed (etcd waits as long).
        std::thread::spawn(move || {
            std::thread::sleep(REMOVED_GRACE);
            ending.send_if_modified(|ending| {
                let first = ending.is_none();
                if first {
                    *ending = Some(Ending::Removed);
                }
                first
            });
        });
    }

    fn failed(&self, error: &(dyn std::error::Error + Send + Sync)) {
        tracing::error!(error = %error, "the member cannot go on");
        self.waiters.fail_all(RpcError::Stopped);
        self.ending
            .send_replace(Some(Ending::Failed(error.to_string())));
    }
}
