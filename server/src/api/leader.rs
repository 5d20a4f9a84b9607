//! Streams whose client asked to be cut off when the cluster has no leader.

use std::time::Duration;

use crate::core::Core;
use crate::events::LeaderWatch;

/// Election timeouts without a leader after which such a stream ends, as in etcd.
const PATIENCE: u32 = 3;

/// Returns once this member has known no leader for three election timeouts in a row.
pub(super) async fn lost(core: &Core) {
    without_leader(
        core.leader_watch(),
        PATIENCE * core.config().election_timeout,
    )
    .await;
}

async fn without_leader(mut leader: LeaderWatch, patience: Duration) {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::watch;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn a_cluster_that_stays_without_a_leader_is_given_up() {
        run(async {
            let (sender, leader) = watch::channel((1, 1));
            let waiting = without_leader(leader, Duration::from_millis(1));
            sender.send_replace((0, 2));
            waiting.await;
        });
    }

    #[test]
    fn a_leader_or_the_end_of_the_member_is_no_loss() {
        run(async {
            let patience = Duration::from_hours(1);
            for state in [1, 0] {
                let (sender, leader) = watch::channel((state, 1));
                let mut waiting = std::pin::pin!(without_leader(leader, patience));
                assert!(waiting.as_mut().now_or_never().is_none());
                sender.send_replace((7, 2));
                assert!(waiting.as_mut().now_or_never().is_none());
                drop(sender);
                assert!(waiting.as_mut().now_or_never().is_none());
            }
        });
    }
}
