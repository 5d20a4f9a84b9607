//! Whether a member is reached.
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::Hex;
use super::metrics::MemberCounters;

/// Since when a member is reached, as its links tell. Any link that works makes it active, any that
/// fails makes it inactive.
#[derive(Debug)]
pub(crate) struct PeerStatus {
    id: u64,
    counters: Arc<MemberCounters>,
    since: Mutex<Option<Instant>>,
}

impl PeerStatus {
    pub(crate) fn new(id: u64, counters: Arc<MemberCounters>) -> Self {
        Self {
            id,
            counters,
            since: Mutex::new(None),
        }
    }

    pub(crate) fn activate(&self) {
        let mut since = self.since.lock();
        if since.is_none() {
            *since = Some(Instant::now());
            self.counters.active(true);
            tracing::info!(peer_id = %Hex(self.id), "peer became active");
        }
    }

    /// `what` failed, such as "dial stream Message".
    pub(crate) fn deactivate(&self, what: impl fmt::Display, error: &dyn std::error::Error) {
        let mut since = self.since.lock();
        if since.take().is_some() {
            self.counters.active(false);
            tracing::warn!(
                peer_id = %Hex(self.id),
                error = %format_args!("failed to {what} on {} ({error})", Hex(self.id)),
                "peer became inactive (message send to peer failed)"
            );
        } else {
            tracing::debug!(
                peer_id = %Hex(self.id),
                error = %format_args!("failed to {what} on {} ({error})", Hex(self.id)),
                "peer deactivated again"
            );
        }
    }

    /// The peer is given up: it no longer counts as active.
    pub(crate) fn retire(&self) {
        if self.since.lock().take().is_some() {
            self.counters.active(false);
        }
    }

    pub(crate) fn active_since(&self) -> Option<Instant> {
        *self.since.lock()
    }
}
