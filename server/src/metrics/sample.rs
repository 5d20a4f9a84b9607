//! What is read from the member's parts when somebody scrapes.

/// State of the whole member at one scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) member_id: u64,
    pub(crate) has_leader: bool,
    pub(crate) is_leader: bool,
    pub(crate) is_learner: bool,
    pub(crate) commit_index: u64,
    pub(crate) applied_index: u64,
    /// Major and minor of the cluster version, once decided.
    pub(crate) cluster_version: Option<String>,
    pub(crate) alarms: Vec<AlarmSample>,
    /// Ids of the other members.
    pub(crate) known_peers: Vec<u64>,
    /// What the peer transport counted.
    pub(crate) peers: varve_raftnode::PeerFigures,
    pub(crate) store: StoreSample,
}

/// One active alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlarmSample {
    pub(crate) member_id: u64,
    pub(crate) kind: &'static str,
}

/// Figures of the store and the engine under it. Totals count since the store was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreSample {
    pub(crate) current_revision: i64,
    pub(crate) compact_revision: i64,
    pub(crate) keys: u64,
    pub(crate) watchers: u64,
    pub(crate) slow_watchers: u64,
    pub(crate) watch_streams: u64,
    pub(crate) pending_events: u64,
    pub(crate) events_total: u64,
    pub(crate) puts_total: u64,
    pub(crate) deletes_total: u64,
    pub(crate) ranges_total: u64,
    pub(crate) txns_total: u64,
    pub(crate) put_bytes_total: u64,
    pub(crate) compacted_keys_total: u64,
    pub(crate) leases_granted_total: u64,
    pub(crate) leases_revoked_total: u64,
    pub(crate) leases_renewed_total: u64,
    pub(crate) total_bytes: u64,
    pub(crate) in_use_bytes: u64,
    pub(crate) open_readers: u64,
}
