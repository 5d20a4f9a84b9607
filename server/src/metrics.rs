//! etcd's metrics, under etcd's names, fed by this member.
//!
//! One [`Metrics`] is made at start and handed to every part that has something to count; there are
//! no globals. `/metrics` renders it. What a part keeps count of itself (store, raft, engine, process)
//! is sampled at each scrape and costs nothing in between.
//!
//! # Invariants
//! 1. A metric is registered only if something feeds it: an absent series is honest, a constant zero
//!    is not. Counters of etcd's that cannot move here yet are not listed.
//! 2. Recording never blocks and takes no lock on the request path.

mod grpc;
mod network;
mod process;
mod registrar;
mod sample;
mod series;

use std::time::Duration;

use prometheus::{Encoder as _, Registry, TextEncoder};
use varve_backend::CommitStats;
use varve_mvcc::CompactionStep;
use varve_raftnode::WalWrite;

use crate::config::{Config, MetricsLevel};
use grpc::GrpcMetrics;
use process::ProcessMetrics;
use registrar::Registrar;
pub(crate) use sample::{AlarmSample, Sample, StoreSample};
use series::{Disk, Server, Store};

/// Handles of every series of this member.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    server: Server,
    disk: Disk,
    store: Store,
    grpc: GrpcMetrics,
    process: ProcessMetrics,
}

impl Metrics {
    /// Registers every series.
    pub(crate) fn new(config: &Config) -> Self {
        let registrar = Registrar::default();
        let metrics = Self {
            server: Server::new(&registrar, config.compat),
            disk: Disk::new(&registrar),
            store: Store::new(&registrar),
            grpc: GrpcMetrics::new(&registrar, config.metrics == MetricsLevel::Extensive),
            process: ProcessMetrics::new(&registrar),
            registry: registrar.into_registry(),
        };
        metrics
            .server
            .version
            .with_label_values(&[config.compat.server_version()])
            .set(1);
        metrics
            .server
            .quota_bytes
            .set(config.quota_bytes().map_or(0, saturating));
        metrics
    }

    /// Per-method series of the gRPC server.
    pub(crate) fn grpc(&self) -> &GrpcMetrics {
        &self.grpc
    }

    /// The text of `/metrics`, after taking over what was sampled.
    ///
    /// # Errors
    /// The encoder refuses a series; a defect of ours.
    pub(crate) fn render(&self, sample: &Sample) -> Result<Vec<u8>, prometheus::Error> {
        self.server.sample(sample);
        self.store.sample(&sample.store);
        self.process.refresh();
        let mut out = Vec::with_capacity(128 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        network::write(
            &mut out,
            sample.member_id,
            &sample.known_peers,
            &sample.peers,
        );
        Ok(out)
    }

    /// A proposal begins to wait.
    pub(crate) fn proposal_started(&self) {
        self.server.proposals_pending.inc();
    }

    /// A proposal stopped waiting, however it ended.
    pub(crate) fn proposal_ended(&self) {
        self.server.proposals_pending.dec();
    }

    /// A proposal was dropped or timed out.
    pub(crate) fn proposal_failed(&self) {
        self.server.proposals_failed.inc();
    }

    /// A read index was not answered in time.
    pub(crate) fn read_index_failed(&self) {
        self.server.read_indexes_failed.inc();
    }

    /// A round of read index had to be asked for again.
    pub(crate) fn read_index_slow(&self) {
        self.server.slow_read_indexes.inc();
    }

    /// A request was applied. `op` is etcd's name of the operation.
    pub(crate) fn observe_apply(&self, op: &'static str, success: bool, took: Duration) {
        self.server.apply(op, success, took);
    }

    /// An apply took longer than the warning threshold.
    pub(crate) fn slow_apply(&self) {
        self.server.slow_apply.inc();
    }

    /// Another leader was seen.
    pub(crate) fn leader_changed(&self) {
        self.server.leader_changes.inc();
    }

    /// This leader sent its heartbeats late.
    pub(crate) fn heartbeat_late(&self) {
        self.server.heartbeat_failures.inc();
    }

    /// A learner was promoted here, or why not.
    pub(crate) fn learner_promoted(&self, refused: Option<&str>) {
        match refused {
            None => self.server.promote_successes.inc(),
            Some(reason) => self
                .server
                .promote_failures
                .with_label_values(&[reason])
                .inc(),
        }
    }

    /// A received snapshot is being applied, or no longer.
    pub(crate) fn applying_snapshot(&self, under_way: bool) {
        self.server
            .snapshot_apply_in_progress
            .set(i64::from(under_way));
    }

    /// This leader revoked a lease that ran out.
    pub(crate) fn lease_expired(&self) {
        self.store.lease_expired.inc();
    }

    /// A lease was granted with this effective TTL in seconds.
    pub(crate) fn lease_ttl(&self, seconds: i64) {
        self.store.lease_ttl.observe(float(seconds));
    }

    /// A batch reached the log.
    pub(crate) fn observe_wal(&self, write: WalWrite) {
        self.disk.wal_bytes.add(saturating(write.bytes));
        // One call writes and syncs; etcd measures the sync, which is nearly all of it.
        if write.synced {
            self.disk.wal_fsync.observe(write.duration.as_secs_f64());
        }
    }

    /// A step of a compaction, at this time; called on the store's background thread.
    pub(crate) fn observe_compaction(&self, step: CompactionStep, unix_seconds: u64) {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        match step {
            CompactionStep::Index { held } => self.store.compaction_index_pause.observe(ms(held)),
            CompactionStep::Rows { took, .. } => {
                self.store.compaction_rows_pause.observe(ms(took));
            }
            CompactionStep::Finished { took_ms, .. } => {
                let took = Duration::from_millis(took_ms);
                self.store.compaction_total.observe(ms(took));
                let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
                self.store.compaction_last.set(now);
            }
            _ => {}
        }
    }

    /// The backend made a batch durable.
    pub(crate) fn observe_backend_commit(&self, stats: CommitStats) {
        self.disk
            .backend_commit
            .observe(stats.duration.as_secs_f64());
    }

    /// A database image was streamed to a client.
    pub(crate) fn observe_snapshot(&self, took: Duration) {
        self.disk.backend_snapshot.observe(took.as_secs_f64());
    }

    /// Space is being given back, until [`Self::defrag_ended`].
    pub(crate) fn defrag_started(&self) {
        self.disk.defrag_inflight.inc();
    }

    /// Giving space back ended, whatever came of it.
    pub(crate) fn defrag_ended(&self, took: Duration) {
        self.disk.defrag_inflight.dec();
        self.disk.backend_defrag.observe(took.as_secs_f64());
    }

    /// A hash over the whole backend was computed.
    pub(crate) fn observe_hash(&self, took: Duration) {
        self.store.hash.observe(took.as_secs_f64());
    }

    /// A hash over the revisions was computed.
    pub(crate) fn observe_hash_kv(&self, took: Duration) {
        self.store.hash_rev.observe(took.as_secs_f64());
    }

    /// A serializable or linearizable range was read for a client.
    pub(crate) fn observe_range(&self, success: bool, took: Duration) {
        self.server.range(success, took);
    }

    /// A client's request begins. `kind` is `unary` or `stream`.
    pub(crate) fn client_request(&self, kind: &'static str, client_api_version: &str) {
        self.server
            .client_requests
            .with_label_values(&[kind, client_api_version])
            .inc();
    }

    /// `/health` was answered.
    pub(crate) fn health(&self, healthy: bool) {
        if healthy {
            self.server.health_success.inc();
        } else {
            self.server.health_failures.inc();
        }
    }

    /// One check of `/livez` or `/readyz` ran. `kind` is the endpoint's name.
    pub(crate) fn health_check(&self, kind: &'static str, name: &'static str, healthy: bool) {
        self.server
            .health_check
            .with_label_values(&[kind, name])
            .set(i64::from(healthy));
        let status = if healthy { "success" } else { "error" };
        self.server
            .health_checks
            .with_label_values(&[kind, name, status])
            .inc();
    }
}

/// A gauge's value; sizes beyond `i64` do not occur.
fn saturating(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram's sum is an approximation"
)]
fn float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
