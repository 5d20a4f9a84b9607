//! Revokes leases that ran out; only the leader does, through the log.
//!
//! Source of the figures: etcd `server/lease/lessor.go` and `server/etcdserver/server.go`.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use varve_proto::etcdserverpb::LeaseRevokeRequest;
use varve_proto::prost::Message as _;

use crate::core::{Core, RequestKind};
use crate::rpc::Code;

/// How often expired leases are looked for.
const INTERVAL: Duration = Duration::from_millis(500);
/// Leases revoked per look.
const BATCH: usize = 500;
/// Revokes under way at once.
const CONCURRENT: usize = 16;

/// Runs until the server stops.
pub(crate) async fn run(core: Arc<Core>) {
    let slots = Arc::new(Semaphore::new(CONCURRENT));
    let mut leader = core.leader_watch();
    let mut led = false;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.shutdown_signal() => return,
            changed = leader.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
        let leads = leader.borrow_and_update().0 == core.member_id();
        if leads && !led {
            core.store()
                .lessor()
                .promote(core.config().election_timeout);
        } else if !leads && led {
            core.store().lessor().demote();
        }
        led = leads;
        if !leads {
            continue;
        }
        for id in core.store().lessor().expired(BATCH) {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let core = Arc::clone(&core);
            tokio::spawn(async move {
                let request = LeaseRevokeRequest { id }.encode_to_vec();
                match core.process(RequestKind::LeaseRevoke, request.into()).await {
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
