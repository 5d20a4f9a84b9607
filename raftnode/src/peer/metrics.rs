//! What the transport counts, by member.
//!
//! Counted with atomics wherever messages pass; the server reads all of it when metrics are asked for.
//! Names and buckets are etcd's `etcd_network_*`.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Members that are counted apart; ids in received messages could be anything.
const MAX_MEMBERS: usize = 1024;
/// Upper bounds from 0.1 ms, doubling up to 3.28 s.
type RoundTripHistogram = Histogram<16, 100>;
/// Upper bounds from 0.1 s, doubling up to 51.2 s.
type SnapshotHistogram = Histogram<10, 100_000>;

/// All of the transport's figures.
#[derive(Clone, Debug, Default)]
pub struct PeerFigures {
    /// By member, in the order of the ids.
    pub members: Vec<MemberFigures>,
    /// `peer_received_failures_total` of requests that could not be read, by the sender's address.
    pub receive_failures: Vec<(String, u64)>,
}

/// The figures of one other member.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemberFigures {
    /// The member.
    pub id: u64,
    /// `active_peers`: whether it is reached.
    pub active: i64,
    /// Whether it ever was, without which etcd shows no `active_peers` of it.
    pub was_active: bool,
    /// `disconnected_peers_total`.
    pub disconnected: u64,
    /// `peer_sent_bytes_total`.
    pub sent_bytes: u64,
    /// `peer_received_bytes_total`.
    pub received_bytes: u64,
    /// `peer_sent_failures_total`.
    pub sent_failures: u64,
    /// `peer_received_failures_total`: messages that were dropped because too much waited.
    pub received_failures: u64,
    /// `snapshot_send_success`.
    pub snapshot_sent: u64,
    /// `snapshot_send_inflights_total`.
    pub snapshot_sending: i64,
    /// `snapshot_send_failures`.
    pub snapshot_send_failures: u64,
    /// `snapshot_send_total_duration_seconds`.
    pub snapshot_send_seconds: HistogramFigures,
    /// `snapshot_receive_success`.
    pub snapshot_received: u64,
    /// `snapshot_receive_inflights_total`.
    pub snapshot_receiving: i64,
    /// `snapshot_receive_failures`.
    pub snapshot_receive_failures: u64,
    /// `snapshot_receive_total_duration_seconds`.
    pub snapshot_receive_seconds: HistogramFigures,
    /// `peer_round_trip_time_seconds`.
    pub round_trip_seconds: HistogramFigures,
}

/// A histogram in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramFigures {
    /// Upper bounds, and how many were at or below each.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// The counters of one member.
#[derive(Debug, Default)]
pub(crate) struct MemberCounters {
    active: AtomicI64,
    activations: AtomicU64,
    disconnected: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    pub(crate) sent_failures: AtomicU64,
    pub(crate) received_failures: AtomicU64,
    pub(crate) snapshot_send: TransferCounters,
    pub(crate) snapshot_receive: TransferCounters,
    round_trip: RoundTripHistogram,
}

/// The counters of snapshots in one direction.
#[derive(Debug, Default)]
pub(crate) struct TransferCounters {
    success: AtomicU64,
    failures: AtomicU64,
    under_way: AtomicI64,
    duration: SnapshotHistogram,
}

impl TransferCounters {
    pub(crate) fn began(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self, took: Duration) {
        self.success.fetch_add(1, Ordering::Relaxed);
        self.duration.observe(took);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl MemberCounters {
    pub(super) fn active(&self, active: bool) {
        if active {
            self.active.fetch_add(1, Ordering::Relaxed);
            self.activations.fetch_add(1, Ordering::Relaxed);
        } else {
            self.active.fetch_sub(1, Ordering::Relaxed);
            self.disconnected.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn round_trip(&self, time: Duration) {
        self.round_trip.observe(time);
    }

    fn figures(&self, id: u64) -> MemberFigures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (sent, received) = (&self.snapshot_send, &self.snapshot_receive);
        MemberFigures {
            id,
            active: self.active.load(Ordering::Relaxed),
            was_active: get(&self.activations) > 0,
            disconnected: get(&self.disconnected),
            sent_bytes: get(&self.sent_bytes),
            received_bytes: get(&self.received_bytes),
            sent_failures: get(&self.sent_failures),
            received_failures: get(&self.received_failures),
            snapshot_sent: get(&sent.success),
            snapshot_sending: sent.under_way.load(Ordering::Relaxed),
            snapshot_send_failures: get(&sent.failures),
            snapshot_send_seconds: sent.duration.figures(),
            snapshot_received: get(&received.success),
            snapshot_receiving: received.under_way.load(Ordering::Relaxed),
            snapshot_receive_failures: get(&received.failures),
            snapshot_receive_seconds: received.duration.figures(),
            round_trip_seconds: self.round_trip.figures(),
        }
    }
}

/// Counts in buckets whose bounds double.
#[derive(Debug)]
struct Histogram<const N: usize, const LOWEST_MICROS: u64> {
    /// Not cumulative; the last is what is beyond all bounds.
    buckets: [AtomicU64; N],
    beyond: AtomicU64,
    sum_nanos: AtomicU64,
}

impl<const N: usize, const LOWEST_MICROS: u64> Default for Histogram<N, LOWEST_MICROS> {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            beyond: AtomicU64::new(0),
            sum_nanos: AtomicU64::new(0),
        }
    }
}

impl<const N: usize, const LOWEST_MICROS: u64> Histogram<N, LOWEST_MICROS> {
    const LOWEST: Duration = Duration::from_micros(LOWEST_MICROS);

    fn observe(&self, time: Duration) {
        let mut bound = Self::LOWEST;
        let bucket = self.buckets.iter().find(|_| {
            let fits = time <= bound;
            bound *= 2;
            fits
        });
        bucket
            .unwrap_or(&self.beyond)
            .fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn figures(&self) -> HistogramFigures {
        let (mut bound, mut count) = (Self::LOWEST.as_secs_f64(), 0);
        let mut buckets = Vec::with_capacity(N);
        for bucket in &self.buckets {
            count += bucket.load(Ordering::Relaxed);
            buckets.push((bound, count));
            bound *= 2.0;
        }
        let sum = Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed));
        HistogramFigures {
            buckets,
            count: count + self.beyond.load(Ordering::Relaxed),
            sum: sum.as_secs_f64(),
        }
    }
}

/// The counters of all members.
#[derive(Debug, Default)]
pub(crate) struct PeerMetrics {
    members: Mutex<BTreeMap<u64, Arc<MemberCounters>>>,
    receive_failures: Mutex<BTreeMap<String, u64>>,
}

impl PeerMetrics {
    /// The counters of one member; of too many, counters that nobody reads.
    pub(crate) fn member(&self, id: u64) -> Arc<MemberCounters> {
        let mut members = self.members.lock();
        if let Some(counters) = members.get(&id) {
            return Arc::clone(counters);
        }
        let counters = Arc::new(MemberCounters::default());
        if members.len() < MAX_MEMBERS {
            members.insert(id, Arc::clone(&counters));
        }
        counters
    }

    pub(crate) fn receive_failed(&self, from: String) {
        let mut failures = self.receive_failures.lock();
        if failures.len() < MAX_MEMBERS || failures.contains_key(&from) {
            *failures.entry(from).or_default() += 1;
        }
    }

    pub(crate) fn figures(&self) -> PeerFigures {
        let members = self.members.lock();
        let failures = self.receive_failures.lock();
        PeerFigures {
            members: members.iter().map(|(id, c)| c.figures(*id)).collect(),
            receive_failures: failures.iter().map(|(a, n)| (a.clone(), *n)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
