//! Revokes leases that ran out, and tells the members how long others have left; only the leader does,
//! through the log.
//!
//! # Invariants
//! 1. A leader that stood still makes sure that it still leads before it revokes, and its revocations enter
//!    the log in its own term only: its successor may have renewed what ran out here.
//!
//! Source of the figures: etcd `server/lease/lessor.go` and `server/etcdserver/server.go`.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use varve_mvcc::Lessor;
use varve_proto::etcdserverpb::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest};
use varve_proto::prost::Message as _;

use crate::core::{Core, RequestKind};
use crate::rpc::Code;

/// How often expired leases are looked for.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
/// Leases revoked per look.
pub(crate) const BATCH: usize = 500;
/// Revokes under way at once.
const CONCURRENT: usize = 16;

/// Remaining times told with one entry.
const CHECKPOINTS: usize = 1000;

/// Whose duty the leases are.
#[derive(Debug, Default)]
pub(crate) struct Duty {
    /// The term in which this member leads.
    led: Option<u64>,
}

impl Duty {
    /// Takes the leases over, or gives them up, as the leader as last heard of (its id and term) says.
    /// The term in which this member keeps them now.
    pub(crate) fn observe(
        &mut self,
        leader: (u64, u64),
        own: u64,
        lessor: &Lessor,
        extend: Duration,
    ) -> Option<u64> {
        let (id, term) = leader;
        let leads = (id == own).then_some(term);
        if leads != self.led {
            // Also when it leads again: another member kept the leases in between.
            match leads {
                Some(_) => lessor.promote(extend),
                None => lessor.demote(),
            }
            self.led = leads;
        }
        leads
    }
}

/// The entry that tells what long leases have left, if there is anything to tell.
pub(crate) fn checkpoint_request(lessor: &Lessor) -> Option<Bytes> {
    let due = lessor.due_checkpoints(CHECKPOINTS);
    if due.is_empty() {
        return None;
    }
    let checkpoints = due
        .into_iter()
        .map(|lease| LeaseCheckpoint {
            id: lease.id,
            remaining_ttl: lease.remaining_ttl,
        })
        .collect();
    Some(
        LeaseCheckpointRequest { checkpoints }
            .encode_to_vec()
            .into(),
    )
}

/// Tells what long leases have left, so that the next leader does not begin them anew.
async fn checkpoint(core: &Core, term: u64) {
    let Some(request) = checkpoint_request(core.store().lessor()) else {
        return;
    };
    if let Err(error) = core
        .process_in_term(RequestKind::LeaseCheckpoint, request, term)
        .await
    {
        tracing::warn!(%error, "failed to checkpoint leases");
    }
}

/// Runs until the server stops.
pub(crate) async fn run(core: Arc<Core>) {
    let slots = Arc::new(Semaphore::new(CONCURRENT));
    let mut leader = core.leader_watch();
    let mut duty = Duty::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.shutdown_signal() => return,
            changed = leader.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
        let now = *leader.borrow_and_update();
        let extend = core.config().election_timeout;
        let kept = duty.observe(now, core.member_id(), core.store().lessor(), extend);
        let Some(term) = kept else { continue };
        if !core.ensure_leadership().await {
            continue;
        }
        if core.config().lease_checkpoints.enabled {
            checkpoint(&core, term).await;
        }
        for id in core.store().lessor().expired(BATCH) {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let core = Arc::clone(&core);
            tokio::spawn(async move {
                let request = LeaseRevokeRequest { id }.encode_to_vec();
                let revoked = core
                    .process_in_term(RequestKind::LeaseRevoke, request.into(), term)
                    .await;
                match revoked {
                    Ok(_) => core.metrics().lease_expired(),
                    // A client revoked it first.
                    Err(error) if error.code() == Code::NotFound => {}
                    // It comes up again after the lessor's retry time.
                    Err(error) => {
                        tracing::warn!(lease_id = %format_args!("{id:016x}"), %error,
                            "failed to revoke an expired lease");
                    }
                }
                drop(slot);
            });
        }
    }
}
