//! The series of the server, its disks and its store. Names, types and buckets are etcd's.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::registrar::Registrar;
use super::sample::{Sample, StoreSample};
use super::saturating;
use crate::config::CompatVersion;

const LATENCY: (f64, f64, usize) = (0.001, 2.0, 14);
const FINE_LATENCY: (f64, f64, usize) = (0.0001, 2.0, 20);

/// Operations whose apply histogram is looked up once instead of at every apply.
const HOT_OPS: [&str; 3] = ["Put", "Txn", "DeleteRange"];

/// Raft, requests and health.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) version: IntGaugeVec,
    pub(super) quota_bytes: IntGauge,
    pub(super) proposals_pending: IntGauge,
    pub(super) proposals_failed: IntCounter,
    pub(super) read_indexes_failed: IntCounter,
    pub(super) slow_read_indexes: IntCounter,
    pub(super) slow_apply: IntCounter,
    pub(super) leader_changes: IntCounter,
    pub(super) heartbeat_failures: IntCounter,
    pub(super) promote_successes: IntCounter,
    pub(super) promote_failures: IntCounterVec,
    pub(super) snapshot_apply_in_progress: IntGauge,
    pub(super) client_requests: IntCounterVec,
    pub(super) health_success: IntCounter,
    pub(super) health_failures: IntCounter,
    pub(super) health_check: IntGaugeVec,
    pub(super) health_checks: IntCounterVec,
    apply_duration: HistogramVec,
    hot_applies: [OnceLock<Histogram>; HOT_OPS.len()],
    range_duration: Option<[Histogram; 2]>,
    cluster_version: IntGaugeVec,
    id: IntGaugeVec,
    has_leader: IntGauge,
    is_leader: IntGauge,
    is_learner: IntGauge,
    committed: IntGauge,
    applied: IntGauge,
    alarms: Option<IntGaugeVec>,
}

impl Server {
    pub(super) fn new(r: &Registrar, compat: CompatVersion) -> Self {
        let range_duration = compat.has_36_fields().then(|| {
            let name = "etcd_server_range_duration_seconds";
            let help = "Time of reading a range, by success.";
            let vec = r.histograms(name, help, &["success"], Some(FINE_LATENCY));
            [
                vec.with_label_values(&["false"]),
                vec.with_label_values(&["true"]),
            ]
        });
        let alarms = compat.has_36_fields().then(|| {
            let help = "1 while the alarm is active on the member.";
            r.gauges(
                "etcd_debugging_server_alarms",
                help,
                &["server_id", "alarm_type"],
            )
        });
        Self {
            version: r.gauges(
                "etcd_server_version",
                "1 for the server's version.",
                &["server_version"],
            ),
            quota_bytes: r.gauge("etcd_server_quota_backend_bytes", "Backend quota in bytes."),
            proposals_pending: r.gauge(
                "etcd_server_proposals_pending",
                "Proposals waiting to be applied.",
            ),
            proposals_failed: r.counter(
                "etcd_server_proposals_failed_total",
                "Proposals dropped or timed out.",
            ),
            read_indexes_failed: r.counter(
                "etcd_server_read_indexes_failed_total",
                "Read indexes that failed.",
            ),
            slow_read_indexes: r.counter(
                "etcd_server_slow_read_indexes_total",
                "Read indexes that had to be asked for again or timed out.",
            ),
            slow_apply: r.counter(
                "etcd_server_slow_apply_total",
                "Applies slower than the warning threshold.",
            ),
            leader_changes: r.counter(
                "etcd_server_leader_changes_seen_total",
                "Leader changes seen.",
            ),
            heartbeat_failures: r.counter(
                "etcd_server_heartbeat_send_failures_total",
                "Heartbeats this leader sent late.",
            ),
            promote_successes: r.counter(
                "etcd_server_learner_promote_successes",
                "Learners promoted by this leader.",
            ),
            promote_failures: r.counters(
                "etcd_server_learner_promote_failures",
                "Promotions this leader refused, by reason.",
                &["Reason"],
            ),
            snapshot_apply_in_progress: r.gauge(
                "etcd_server_snapshot_apply_in_progress_total",
                "1 while a received snapshot is applied.",
            ),
            client_requests: r.counters(
                "etcd_server_client_requests_total",
                "Requests by kind and version of the client library.",
                &["type", "client_api_version"],
            ),
            health_success: r.counter(
                "etcd_server_health_success",
                "Health checks that succeeded.",
            ),
            health_failures: r.counter("etcd_server_health_failures", "Health checks that failed."),
            health_check: r.gauges(
                "etcd_server_healthcheck",
                "Last result of each check, 1 is good.",
                &["type", "name"],
            ),
            health_checks: r.counters(
                "etcd_server_healthchecks_total",
                "Checks run, by result.",
                &["type", "name", "status"],
            ),
            apply_duration: r.histograms(
                "etcd_server_apply_duration_seconds",
                "Time of applying one request.",
                &["version", "op", "success"],
                Some(FINE_LATENCY),
            ),
            hot_applies: std::array::from_fn(|_| OnceLock::new()),
            range_duration,
            cluster_version: r.gauges(
                "etcd_cluster_version",
                "1 for the cluster's version.",
                &["cluster_version"],
            ),
            id: r.gauges(
                "etcd_server_id",
                "1 for this member's id in hexadecimal.",
                &["server_id"],
            ),
            has_leader: r.gauge("etcd_server_has_leader", "Whether a leader is known."),
            is_leader: r.gauge("etcd_server_is_leader", "Whether this member leads."),
            is_learner: r.gauge(
                "etcd_server_is_learner",
                "Whether this member is a learner.",
            ),
            committed: r.gauge(
                "etcd_server_proposals_committed_total",
                "Index of the last committed entry.",
            ),
            applied: r.gauge(
                "etcd_server_proposals_applied_total",
                "Index of the last applied entry.",
            ),
            alarms,
        }
    }

    pub(super) fn apply(&self, op: &'static str, success: bool, took: Duration) {
        let child = |ok: &str| self.apply_duration.with_label_values(&["v3", op, ok]);
        let seconds = took.as_secs_f64();
        match HOT_OPS.iter().position(|hot| *hot == op) {
            Some(at) if success => self.hot_applies[at]
                .get_or_init(|| child("true"))
                .observe(seconds),
            _ => child(if success { "true" } else { "false" }).observe(seconds),
        }
    }

    pub(super) fn range(&self, success: bool, took: Duration) {
        if let Some([failed, succeeded]) = &self.range_duration {
            (if success { succeeded } else { failed }).observe(took.as_secs_f64());
        }
    }

    pub(super) fn sample(&self, s: &Sample) {
        self.id
            .with_label_values(&[&format!("{:x}", s.member_id)])
            .set(1);
        self.has_leader.set(i64::from(s.has_leader));
        self.is_leader.set(i64::from(s.is_leader));
        self.is_learner.set(i64::from(s.is_learner));
        self.committed.set(saturating(s.commit_index));
        self.applied.set(saturating(s.applied_index));
        if let Some(version) = &s.cluster_version {
            self.cluster_version.reset();
            self.cluster_version
                .with_label_values(&[version.as_str()])
                .set(1);
        }
        if let Some(alarms) = &self.alarms {
            alarms.reset();
            for alarm in &s.alarms {
                let id = format!("{:x}", alarm.member_id);
                alarms.with_label_values(&[id.as_str(), alarm.kind]).set(1);
            }
        }
    }
}

/// The log and the backend's file.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) wal_fsync: Histogram,
    pub(super) wal_bytes: IntGauge,
    pub(super) backend_commit: Histogram,
    pub(super) backend_snapshot: Histogram,
    pub(super) backend_defrag: Histogram,
    pub(super) defrag_inflight: IntGauge,
}

impl Disk {
    pub(super) fn new(r: &Registrar) -> Self {
        Self {
            wal_fsync: r.histogram(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time of making a batch durable in the log.",
                LATENCY,
            ),
            wal_bytes: r.gauge(
                "etcd_disk_wal_write_bytes_total",
                "Bytes written to the log.",
            ),
            backend_commit: r.histogram(
                "etcd_disk_backend_commit_duration_seconds",
                "Time of a backend commit.",
                LATENCY,
            ),
            backend_snapshot: r.histogram(
                "etcd_disk_backend_snapshot_duration_seconds",
                "Time of streaming a database image.",
                (0.01, 2.0, 17),
            ),
            backend_defrag: r.histogram(
                "etcd_disk_backend_defrag_duration_seconds",
                "Time of giving space back.",
                (0.1, 2.0, 13),
            ),
            defrag_inflight: r.gauge(
                "etcd_disk_defrag_inflight",
                "1 while space is being given back.",
            ),
        }
    }
}

/// Keys, watches and leases.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) hash: Histogram,
    pub(super) hash_rev: Histogram,
    lease_granted: IntCounter,
    lease_revoked: IntCounter,
    lease_renewed: IntCounter,
    pub(super) lease_expired: IntCounter,
    pub(super) lease_ttl: Histogram,
    current_revision: IntGauge,
    compact_revision: IntGauge,
    keys: IntGauge,
    watchers: IntGauge,
    slow_watchers: IntGauge,
    watch_streams: IntGauge,
    pending_events: IntGauge,
    events: IntCounter,
    puts: IntCounter,
    deletes: IntCounter,
    ranges: IntCounter,
    txns: IntCounter,
    put_bytes: IntGauge,
    compacted_keys: IntCounter,
    pub(super) compaction_index_pause: Histogram,
    pub(super) compaction_rows_pause: Histogram,
    pub(super) compaction_total: Histogram,
    pub(super) compaction_last: IntGauge,
    total_bytes: IntGauge,
    in_use_bytes: IntGauge,
    open_readers: IntGauge,
}

impl Store {
    pub(super) fn new(r: &Registrar) -> Self {
        Self {
            hash: r.histogram(
                "etcd_mvcc_hash_duration_seconds",
                "Time of hashing the backend.",
                (0.01, 2.0, 15),
            ),
            hash_rev: r.histogram(
                "etcd_mvcc_hash_rev_duration_seconds",
                "Time of hashing the revisions.",
                (0.01, 2.0, 15),
            ),
            lease_granted: r.counter("etcd_debugging_lease_granted_total", "Leases granted."),
            lease_revoked: r.counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
            lease_renewed: r.counter(
                "etcd_debugging_lease_renewed_total",
                "Leases renewed by this leader.",
            ),
            lease_expired: r.counter(
                "etcd_debugging_server_lease_expired_total",
                "Leases that ran out on this leader.",
            ),
            lease_ttl: r.histogram(
                "etcd_debugging_lease_ttl_total",
                "TTLs of granted leases in seconds.",
                (1.0, 2.0, 24),
            ),
            current_revision: r.gauge("etcd_debugging_mvcc_current_revision", "Current revision."),
            compact_revision: r.gauge(
                "etcd_debugging_mvcc_compact_revision",
                "Revision of the last compaction.",
            ),
            keys: r.gauge("etcd_debugging_mvcc_keys_total", "Keys in the index."),
            watchers: r.gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
            slow_watchers: r.gauge(
                "etcd_debugging_mvcc_slow_watcher_total",
                "Watchers that are catching up.",
            ),
            watch_streams: r.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams."),
            pending_events: r.gauge(
                "etcd_debugging_mvcc_pending_events_total",
                "Events that wait to be sent.",
            ),
            events: r.counter(
                "etcd_debugging_mvcc_events_total",
                "Events sent to watchers.",
            ),
            puts: r.counter("etcd_mvcc_put_total", "Puts applied."),
            deletes: r.counter("etcd_mvcc_delete_total", "Deletes applied."),
            ranges: r.counter("etcd_mvcc_range_total", "Ranges read."),
            txns: r.counter(
                "etcd_mvcc_txn_total",
                "Writes of more than one operation applied.",
            ),
            put_bytes: r.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", "Bytes put."),
            compacted_keys: r.counter(
                "etcd_debugging_mvcc_db_compaction_keys_total",
                "Revisions removed by compaction.",
            ),
            compaction_index_pause: r.histogram(
                "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
                "Time that a compaction held writers up for the index.",
                (0.5, 2.0, 14),
            ),
            compaction_rows_pause: r.histogram(
                "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
                "Time of reading and deleting one batch of compacted rows.",
                (1.0, 2.0, 13),
            ),
            compaction_total: r.histogram(
                "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
                "Time of a whole compaction.",
                (100.0, 2.0, 14),
            ),
            compaction_last: r.gauge(
                "etcd_debugging_mvcc_db_compaction_last",
                "Unix time of the last compaction that ended, 0 after a start.",
            ),
            total_bytes: r.gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Size of the backend's file.",
            ),
            in_use_bytes: r.gauge(
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Part of the backend's file in use.",
            ),
            open_readers: r.gauge(
                "etcd_mvcc_db_open_read_transactions",
                "Open snapshots of the backend.",
            ),
        }
    }

    pub(super) fn sample(&self, s: &StoreSample) {
        self.current_revision.set(s.current_revision);
        self.compact_revision.set(s.compact_revision);
        for (gauge, value) in [
            (&self.keys, s.keys),
            (&self.watchers, s.watchers),
            (&self.slow_watchers, s.slow_watchers),
            (&self.watch_streams, s.watch_streams),
            (&self.pending_events, s.pending_events),
            (&self.put_bytes, s.put_bytes_total),
            (&self.total_bytes, s.total_bytes),
            (&self.in_use_bytes, s.in_use_bytes),
            (&self.open_readers, s.open_readers),
        ] {
            gauge.set(saturating(value));
        }
        for (counter, total) in [
            (&self.events, s.events_total),
            (&self.puts, s.puts_total),
            (&self.deletes, s.deletes_total),
            (&self.ranges, s.ranges_total),
            (&self.txns, s.txns_total),
            (&self.compacted_keys, s.compacted_keys_total),
            (&self.lease_granted, s.leases_granted_total),
            (&self.lease_revoked, s.leases_revoked_total),
            (&self.lease_renewed, s.leases_renewed_total),
        ] {
            // Two scrapes at once may see totals out of order; a counter only grows.
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
