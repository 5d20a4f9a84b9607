//! Compaction without a request: by age or by number of revisions (`--auto-compaction-*`).
//!
//! Source: etcd `server/etcdserver/api/v3compactor/{periodic,revision}.go`. Only the leader proposes.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use varve_proto::etcdserverpb::CompactionRequest;
use varve_proto::prost::Message as _;

use crate::config::AutoCompaction;
use crate::core::{Core, RequestKind};
use crate::rpc::Code;

/// How often the revision mode looks.
const REVISION_INTERVAL: Duration = Duration::from_mins(5);
/// Longest time between two compactions of the periodic mode.
const MAX_PERIOD: Duration = Duration::from_hours(1);
/// Samples of the revision per compaction of the periodic mode.
const SAMPLES_PER_PERIOD: u32 = 10;

/// Decides what to compact from one look at the revision after another.
#[derive(Debug)]
struct Plan {
    mode: AutoCompaction,
    samples: VecDeque<i64>,
    since_last: u32,
    last: i64,
}

impl Plan {
    fn new(mode: AutoCompaction) -> Self {
        Self {
            mode,
            samples: VecDeque::new(),
            since_last: 0,
            last: 0,
        }
    }

    /// Time between two looks; `None` when there is nothing to do, ever.
    fn interval(&self) -> Option<Duration> {
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Revision(_) => Some(REVISION_INTERVAL),
            AutoCompaction::Periodic(period) => {
                Some((period.min(MAX_PERIOD) / SAMPLES_PER_PERIOD).max(Duration::from_millis(1)))
            }
        }
    }

    /// Takes the revision of this moment; the revision to compact at, if one is due.
    fn look(&mut self, revision: i64) -> Option<i64> {
        let due = match self.mode {
            AutoCompaction::Off => return None,
            AutoCompaction::Revision(keep) => revision - keep,
            AutoCompaction::Periodic(period) => {
                let interval = self.interval()?;
                let window = period.as_nanos().div_ceil(interval.as_nanos().max(1));
                self.samples.push_back(revision);
                self.since_last += 1;
                if self.samples.len() as u128 <= window || self.since_last < SAMPLES_PER_PERIOD {
                    return None;
                }
                self.since_last = 0;
                let keep = usize::try_from(window).unwrap_or(usize::MAX);
                self.samples
                    .drain(..self.samples.len().saturating_sub(keep + 1));
                self.samples.front().copied()?
            }
        };
        (due > 0 && due > self.last).then_some(due)
    }

    fn compacted(&mut self, revision: i64) {
        self.last = revision;
    }
}

/// Runs until the server stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut plan = Plan::new(core.config().auto_compaction);
    let Some(interval) = plan.interval() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.shutdown_signal() => return,
            _ = ticks.tick() => {}
        }
        let Some(revision) = plan.look(core.store().revision()) else {
            continue;
        };
        if !core.raft_status().is_leader {
            continue;
        }
        let request = CompactionRequest {
            revision,
            physical: false,
        }
        .encode_to_vec();
        match core.process(RequestKind::Compaction, request.into()).await {
            Ok(_) => {
                tracing::info!(revision, "completed auto compaction");
                plan.compacted(revision);
            }
            // Somebody compacted further already.
            Err(error) if error.code() == Code::OutOfRange => plan.compacted(revision),
            Err(error) => tracing::warn!(revision, %error, "auto compaction failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_mode_keeps_that_many_and_never_goes_back() {
        let mut plan = Plan::new(AutoCompaction::Revision(100));
        assert_eq!(plan.look(80), None);
        assert_eq!(plan.look(150), Some(50));
        plan.compacted(50);
        assert_eq!(plan.look(150), None);
        assert_eq!(plan.look(151), Some(51));
    }

    /// One look a minute, ten minutes to keep: the revision compacted is always ten minutes old.
    #[test]
    fn the_periodic_mode_keeps_its_period() {
        let mut plan = Plan::new(AutoCompaction::Periodic(Duration::from_mins(10)));
        assert_eq!(plan.interval(), Some(Duration::from_mins(1)));
        let mut due = Vec::new();
        for minute in 0..40 {
            if let Some(at) = plan.look(1000 + minute) {
                due.push((minute, at));
                plan.compacted(at);
            }
        }
        assert_eq!(due.first(), Some(&(10, 1000)));
        assert!(
            due.iter().all(|(minute, at)| at - 1000 == minute - 10),
            "{due:?}"
        );
        assert!(due.len() >= 3);
    }
}
