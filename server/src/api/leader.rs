//! Streams whose client asked to be cut off when the cluster has no leader.

use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;

/// Election timeouts without a leader after which such a stream ends, as in etcd.
const PATIENCE: u32 = 3;

/// Returns once this member has known no leader for three election timeouts in a row.
pub(super) async fn lost(core: &Arc<Core>) {
    let mut leader = core.leader_watch();
    let patience: Duration = PATIENCE * core.config().election_timeout;
    loop {
        // An error means that the member stops; the stream's own end says so.
        let stopped = leader.wait_for(|(id, _)| *id == 0).await.is_err();
        if stopped {
            return std::future::pending().await;
        }
        let found = async { leader.wait_for(|(id, _)| *id != 0).await.is_ok() };
        match tokio::time::timeout(patience, found).await {
            Err(_) => return,
            Ok(true) => {}
            Ok(false) => return std::future::pending().await,
        }
    }
}
