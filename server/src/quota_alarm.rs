//! Raises the NOSPACE alarm when an applied entry went beyond this member's quota: a follower's database
//! may be full while nobody asks that member for anything.
//!
//! Those who wait for such an entry are told after the alarm stands in the log, so that nobody is
//! refused at one member and served at another afterwards (etcd does the same in its apply loop).
use std::sync::Arc;

use crate::core::Core;
use crate::waiters::Held;

/// Runs until the member stops.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        let held = core.waiters().exceeded().await;
        if !core.is_out_of_space() {
            tracing::warn!("an applied request exceeded the backend quota; raising the alarm");
            if let Err(status) = core.raise_no_space().await {
                // The next entry beyond the quota tries again.
                tracing::warn!(error = %status, "failed to raise the NOSPACE alarm");
            }
        }
        held.into_iter().for_each(Held::tell);
    }
}
