//! The cluster version: what the oldest member runs, agreed on through the log.
//!
//! One task per member; only the leader acts. Source: etcd `server/etcdserver/version/monitor.go`.
use std::sync::Arc;
use std::time::Duration;

use super::remote;
use crate::compat::minor;
use crate::core::Core;
use crate::publish;

/// How often the leader asks the members for their versions.
const INTERVAL: Duration = Duration::from_secs(4);
/// How long one may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The version of a cluster of which not all members answer yet.
const MIN_CLUSTER_VERSION: &str = "3.0.0";

/// Decides the version of a new cluster before its leader serves, so that its first clients are told one.
pub(crate) async fn settle(core: &Core) {
    if core.cluster_version().is_none() {
        decide_and_set(core).await;
    }
}

/// Runs until the server stops.
pub(crate) async fn run(core: Arc<Core>) {
    let mut leader = core.leader_watch();
    loop {
        decide_and_set(&core).await;
        tokio::select! {
            () = core.shutdown_signal() => return,
            changed = leader.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn decide_and_set(core: &Core) {
    if core.raft_status().is_leader
        && let Some(version) = decide(core).await
    {
        tracing::info!(cluster_version = version, "setting the cluster version");
        if let Err(error) = publish::cluster_version(core, &version).await {
            tracing::warn!(%error, "failed to update cluster version");
        }
    }
}

/// The version to set, if it should change.
async fn decide(core: &Core) -> Option<String> {
    let agreed = core.cluster_version();
    let oldest = oldest_server(core).await;
    let oldest_text = || oldest.map(|(major, minor)| format!("{major}.{minor}.0"));
    match agreed {
        None => Some(oldest_text().unwrap_or_else(|| MIN_CLUSTER_VERSION.to_owned())),
        Some(agreed) => (minor(&agreed) < oldest).then(oldest_text).flatten(),
    }
}

/// Major and minor of the oldest release that a member runs; `None` unless all members are known.
async fn oldest_server(core: &Core) -> Option<(u32, u32)> {
    let own = core.config().compat.server_version();
    let members: Vec<_> = core.cluster().read().members().cloned().collect();
    let mut oldest = minor(own)?;
    for member in members.iter().filter(|m| m.id != core.member_id()) {
        let versions = remote::fetch_versions(core.peer_client(), member, TIMEOUT).await?;
        let theirs = minor(&versions.server)?;
        if theirs > minor(own)? {
            tracing::warn!(
                local_member_version = own,
                remote_member_id = %format_args!("{:x}", member.id),
                remote_member_version = versions.server,
                "leader found higher-versioned member"
            );
        }
        oldest = oldest.min(theirs);
    }
    Some(oldest)
}
