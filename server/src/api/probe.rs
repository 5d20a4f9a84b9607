//! What the operational endpoints learn about the member.

use std::sync::Arc;

use varve_mvcc::RangeOptions;
use varve_proto::etcdserverpb::{AlarmMember, AlarmType};

use crate::core::Core;
use crate::http::Probe;
use crate::metrics::{AlarmSample, Sample, StoreSample};

fn kind(alarm: &AlarmMember) -> &'static str {
    AlarmType::try_from(alarm.alarm).map_or("UNKNOWN", |kind| kind.as_str_name())
}

/// The member as the endpoints see it.
#[derive(Debug)]
pub(crate) struct CoreProbe {
    core: Arc<Core>,
}

impl CoreProbe {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl Probe for CoreProbe {
    fn alarms(&self) -> Vec<&'static str> {
        self.core.alarms().iter().map(kind).collect()
    }

    fn has_leader(&self) -> bool {
        self.core.has_leader()
    }

    fn is_learner(&self) -> bool {
        self.core.raft_status().is_learner
    }

    fn cluster_version(&self) -> Option<String> {
        self.core.cluster_version()
    }

    fn storage_version(&self) -> Option<String> {
        self.core.storage_version()
    }

    fn sample(&self) -> Sample {
        let core = &self.core;
        let raft = core.raft_status();
        let alarms = core.alarms();
        Sample {
            member_id: core.member_id(),
            has_leader: raft.leader != 0,
            is_leader: raft.is_leader,
            is_learner: raft.is_learner,
            commit_index: raft.commit_index,
            applied_index: raft.applied_index,
            cluster_version: core.cluster_version().as_deref().map(major_minor),
            alarms: alarms
                .iter()
                .map(|alarm| AlarmSample {
                    member_id: alarm.member_id,
                    kind: kind(alarm),
                })
                .collect(),
            known_peers: {
                let cluster = core.cluster().read();
                let ids = cluster.members().map(|m| m.id);
                ids.filter(|id| *id != core.member_id()).collect()
            },
            peers: core.links().figures(),
            store: store_sample(core),
        }
    }

    async fn read(&self, linearizable: bool) -> Result<(), String> {
        if linearizable {
            self.core
                .linearizable_read()
                .await
                .map_err(|status| status.message().to_owned())?;
        }
        // etcd's health check asks for an empty key, which exists nowhere.
        let options = RangeOptions {
            limit: 1,
            keys_only: true,
            ..RangeOptions::default()
        };
        self.core
            .store()
            .read()
            .range(&options)
            .map(drop)
            .map_err(|e| e.to_string())
    }
}

/// `3.6` of `3.6.0`: what the metric's label holds.
fn major_minor(version: &str) -> String {
    version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

fn store_sample(core: &Core) -> StoreSample {
    let store = core.store();
    let stats = store.stats();
    let sizes = store.backend().sizes();
    StoreSample {
        current_revision: stats.current_revision,
        compact_revision: stats.compact_revision,
        keys: count(stats.keys),
        watchers: count(stats.watchers),
        slow_watchers: count(stats.slow_watchers),
        watch_streams: count(stats.watch_streams),
        pending_events: stats.pending_events,
        events_total: stats.events,
        puts_total: stats.puts,
        deletes_total: stats.deletes,
        ranges_total: stats.ranges,
        txns_total: stats.multi_txns,
        put_bytes_total: stats.put_bytes,
        compacted_keys_total: stats.compacted_rows,
        leases_granted_total: stats.leases.granted,
        leases_revoked_total: stats.leases.revoked,
        leases_renewed_total: stats.leases.renewed,
        total_bytes: sizes.total_bytes,
        in_use_bytes: sizes.in_use_bytes,
        open_readers: sizes.open_readers,
    }
}

fn count(n: usize) -> u64 {
    n as u64
}
