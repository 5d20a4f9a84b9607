//! The member as its services see it: propose and wait, read, ask for facts.
//!
//! Shared by every connection (`Arc<Core>`); nothing here blocks a runtime thread.
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::watch;
use varve_backend::Export;
use varve_mvcc::{Store, schema};
use varve_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, alarm_request};
use varve_proto::prost::Message as _;
use varve_proto::wire;
use varve_raftnode::{Node, RequestError, RequestIds};

use crate::apply::{Alarms, Applied, ClusterView};
use crate::cluster::{MemberLinks, PeerClient};
use crate::config::Config;
use crate::events::{LeaderElected, LeaderWatch};
use crate::metrics::Metrics;
use crate::reads;
use crate::rpc::{RpcError, Status};
use crate::waiters::Waiters;

/// Field numbers of `InternalRaftRequest` that services propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum RequestKind {
    /// `PutRequest`
    Put = 4,
    /// `DeleteRangeRequest`
    DeleteRange = 5,
    /// `TxnRequest`
    Txn = 6,
    /// `CompactionRequest`
    Compaction = 7,
    /// `LeaseGrantRequest`
    LeaseGrant = 8,
    /// `LeaseRevokeRequest`
    LeaseRevoke = 9,
    /// `AlarmRequest`
    Alarm = 10,
    /// `LeaseCheckpointRequest`
    LeaseCheckpoint = 11,
    /// `ClusterVersionSetRequest`
    ClusterVersionSet = 1300,
    /// `ClusterMemberAttrSetRequest`
    ClusterMemberAttrSet = 1301,
}

/// Field number of the header in `InternalRaftRequest`.
const HEADER_FIELD: u32 = 100;

/// Committed entries that may wait to be applied before new requests are refused
/// (etcd `server/etcdserver/v3_server.go`, maxGapBetweenApplyAndCommitIndex).
const MAX_APPLY_BACKLOG: u64 = 5000;

/// A read round that takes longer is counted as slow.
const SLOW_READ_INDEX: Duration = Duration::from_secs(1);

/// What every response header starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) cluster_id: u64,
    pub(crate) member_id: u64,
    pub(crate) raft_term: u64,
}

/// The figures of raft that services report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RaftStatus {
    pub(crate) leader: u64,
    pub(crate) term: u64,
    pub(crate) commit_index: u64,
    pub(crate) applied_index: u64,
    pub(crate) is_leader: bool,
    pub(crate) is_learner: bool,
}

/// What a core is made of.
pub(crate) struct CoreParts {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) node: Node,
    pub(crate) cluster: ClusterView,
    pub(crate) alarms: Alarms,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) request_ids: RequestIds,
    pub(crate) leader: LeaderWatch,
    pub(crate) elected: LeaderElected,
    pub(crate) links: MemberLinks,
    pub(crate) client: PeerClient,
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The member.
pub(crate) struct Core {
    parts: CoreParts,
    cluster_id: u64,
    member_id: u64,
    request_timeout: Duration,
    max_request_bytes: usize,
    quota_bytes: Option<u64>,
    raising_no_space: AtomicBool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("member_id", &self.member_id)
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(parts: CoreParts) -> Self {
        let (cluster_id, member_id) = {
            let cluster = parts.cluster.read();
            (cluster.cluster_id, cluster.local_id)
        };
        Self {
            cluster_id,
            member_id,
            request_timeout: Duration::from_secs(5) + 2 * parts.config.election_timeout,
            max_request_bytes: parts.config.max_request_bytes,
            quota_bytes: parts.config.quota_bytes(),
            raising_no_space: AtomicBool::new(false),
            parts,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    pub(crate) fn config(&self) -> &Config {
        &self.parts.config
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    pub(crate) fn node(&self) -> &Node {
        &self.parts.node
    }

    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.parts.waiters
    }

    pub(crate) fn cluster(&self) -> &ClusterView {
        &self.parts.cluster
    }

    /// The connections to the other members.
    pub(crate) fn links(&self) -> &MemberLinks {
        &self.parts.links
    }

    /// For what is asked of other members beside raft's traffic.
    pub(crate) fn peer_client(&self) -> &PeerClient {
        &self.parts.client
    }

    pub(crate) fn member_id(&self) -> u64 {
        self.member_id
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            raft_term: self.parts.node.status().term,
        }
    }

    pub(crate) fn raft_status(&self) -> RaftStatus {
        let status = self.parts.node.status();
        RaftStatus {
            leader: status.leader,
            term: status.term,
            commit_index: status.commit,
            applied_index: status.applied,
            is_leader: status.is_leader,
            is_learner: status.is_learner,
        }
    }

    pub(crate) fn has_leader(&self) -> bool {
        self.parts.node.status().leader != 0
    }

    /// Told when the leader changes.
    pub(crate) fn leader_watch(&self) -> LeaderWatch {
        self.parts.leader.clone()
    }

    pub(crate) fn cluster_version(&self) -> Option<String> {
        self.parts.cluster.read().version().map(str::to_owned)
    }

    /// The storage version that the backend records, such as `3.6.0`.
    pub(crate) fn storage_version(&self) -> Option<String> {
        let view = self.parts.store.backend().view();
        let stored = view.get(schema::META, b"storageVersion").ok()??;
        String::from_utf8(stored.to_vec()).ok()
    }

    /// Whether a downgrade job is recorded.
    pub(crate) fn downgrade_enabled(&self) -> bool {
        let view = self.parts.store.backend().view();
        let stored = view.get(schema::CLUSTER, b"downgrade").ok().flatten();
        stored
            .and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok())
            .is_some_and(|job| job["enabled"] == true)
    }

    /// The active alarms.
    pub(crate) fn alarms(&self) -> Vec<AlarmMember> {
        self.parts.alarms.list(AlarmType::None)
    }

    /// A bbolt-format image of everything applied up to now.
    pub(crate) fn backend_export(&self) -> Result<Box<dyn Export>, Status> {
        let backend = self.parts.store.backend();
        backend.force_commit()?;
        Ok(backend.engine().export()?)
    }

    /// Completes when the server begins to stop.
    pub(crate) async fn shutdown_signal(&self) {
        let mut shutdown = self.parts.shutdown.clone();
        // A dropped sender means the same.
        drop(shutdown.wait_for(|stopping| *stopping).await);
    }

    /// Proposes a client's request, unchanged, and waits until it is applied.
    ///
    /// # Errors
    /// What applying it gave; overload, size and quota refusals; a time-out, after which the request
    /// may still be applied.
    pub(crate) async fn process(
        &self,
        kind: RequestKind,
        request: Bytes,
    ) -> Result<Applied, Status> {
        let status = self.parts.node.status();
        if status.commit.saturating_sub(status.applied) > MAX_APPLY_BACKLOG {
            return Err(RpcError::TooManyRequests.into());
        }
        let id = self.parts.request_ids.next_id();
        let data = encode_request(kind, id, &request);
        if data.len() > self.max_request_bytes {
            return Err(RpcError::RequestTooLarge.into());
        }
        self.propose_and_wait(id, data).await
    }

    /// Proposes what only the leader of this term may decide: nothing happens unless this member still is.
    pub(crate) async fn process_in_term(
        &self,
        kind: RequestKind,
        request: Bytes,
        term: u64,
    ) -> Result<Applied, Status> {
        let id = self.parts.request_ids.next_id();
        let data = encode_request(kind, id, &request);
        self.wait_for(id, |core| {
            core.parts
                .node
                .propose_in_term(id, data, term)
                .map_err(|e| request_error(e).into())
        })
        .await
    }

    /// Proposes an encoded entry under this id and waits for its outcome.
    pub(crate) async fn propose_and_wait(&self, id: u64, data: Bytes) -> Result<Applied, Status> {
        self.wait_for(id, |core| {
            core.parts
                .node
                .propose(id, data)
                .map_err(|e| request_error(e).into())
        })
        .await
    }

    /// Registers for the outcome of the entry `id`, has it proposed, and waits.
    pub(crate) async fn wait_for(
        &self,
        id: u64,
        propose: impl FnOnce(&Self) -> Result<(), Status>,
    ) -> Result<Applied, Status> {
        let began = Instant::now();
        let outcome = self.parts.waiters.register(id);
        let waiting = Waiting {
            waiters: &self.parts.waiters,
            id,
        };
        self.parts.metrics.proposal_started();
        let result = match propose(self) {
            Err(error) => Err(error),
            Ok(()) => match tokio::time::timeout(self.request_timeout, outcome).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(RpcError::Stopped.into()),
                Err(_) => {
                    self.parts.metrics.proposal_failed();
                    Err(self.why_no_answer(began).into())
                }
            },
        };
        self.parts.metrics.proposal_ended();
        drop(waiting);
        result
    }

    /// What kept a proposal from being applied in time, as far as this member can tell
    /// (etcd `server/etcdserver/server.go`, parseProposeCtxErr).
    fn why_no_answer(&self, began: Instant) -> RpcError {
        if let Some(elected) = self.parts.elected.at() {
            let lost = elected.checked_sub(2 * self.parts.config.election_timeout);
            if lost.is_none_or(|lost| began > lost) && began < elected {
                return RpcError::TimeoutDueToLeaderFail;
            }
        }
        let links = &self.parts.links;
        let connected = match self.parts.node.status().leader {
            0 => true,
            leader if leader == self.member_id => {
                let members: Vec<u64> = self.parts.cluster.read().members().map(|m| m.id).collect();
                links.count_connected_since(members.iter().copied(), began) > members.len() / 2
            }
            leader => links.connected_since(leader, began),
        };
        if connected {
            RpcError::Timeout
        } else {
            RpcError::TimeoutDueToConnectionLost
        }
    }

    /// A new request id.
    pub(crate) fn next_request_id(&self) -> u64 {
        self.parts.request_ids.next_id()
    }

    /// Refuses what would not fit the quota, and has the NOSPACE alarm raised for everybody.
    pub(crate) async fn check_quota(&self, cost: u64) -> Result<(), Status> {
        let Some(quota) = self.quota_bytes else {
            return Ok(());
        };
        if cost == 0 {
            return Ok(());
        }
        let size = self.parts.store.backend().sizes().total_bytes;
        if size.saturating_add(cost) < quota {
            return Ok(());
        }
        // One request raises the alarm; the others that are refused meanwhile need not.
        if !self.raising_no_space.swap(true, Ordering::SeqCst) {
            // However this ends, a client that goes away included, the next request may raise it.
            let _raising = Raising(&self.raising_no_space);
            self.raise_no_space().await?;
        }
        Err(RpcError::NoSpace.into())
    }

    /// Has this member's NOSPACE alarm raised for everybody.
    pub(crate) async fn raise_no_space(&self) -> Result<(), Status> {
        let alarm = AlarmRequest {
            member_id: self.member_id,
            action: alarm_request::AlarmAction::Activate.into(),
            alarm: AlarmType::Nospace.into(),
        };
        let alarm = alarm.encode_to_vec().into();
        self.process(RequestKind::Alarm, alarm).await.map(drop)
    }

    /// Whether any member has raised the NOSPACE alarm.
    pub(crate) fn is_out_of_space(&self) -> bool {
        self.parts.alarms.is_active(AlarmType::Nospace)
    }

    /// Returns once a read of the applied state is linearizable.
    ///
    /// The only voter of a cluster needs no round (see `Published::reads_are_linearizable`); otherwise
    /// the leader names an index, and the read waits until that is applied.
    pub(crate) async fn linearizable_read(&self) -> Result<(), Status> {
        if self.parts.node.published().reads_are_linearizable() {
            return Ok(());
        }
        // The raft thread asks again by itself when no answer comes.
        let mut round = pin!(reads::read_index(&self.parts.node));
        let index = match tokio::time::timeout(SLOW_READ_INDEX, &mut round).await {
            Ok(index) => index?,
            Err(_) => {
                self.parts.metrics.read_index_slow();
                let rest = self.request_timeout.saturating_sub(SLOW_READ_INDEX);
                match tokio::time::timeout(rest, round).await {
                    Ok(index) => index?,
                    Err(_) => {
                        self.parts.metrics.read_index_failed();
                        return Err(RpcError::Timeout.into());
                    }
                }
            }
        };
        match tokio::time::timeout(self.request_timeout, self.wait_applied(index)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RpcError::Timeout.into()),
        }
    }

    /// Returns when the entry at `index` is applied here.
    pub(crate) async fn wait_applied(&self, index: u64) -> Result<(), Status> {
        reads::wait_applied(&self.parts.node, index).await
    }
}

/// One request is raising the NOSPACE alarm.
struct Raising<'a>(&'a AtomicBool);

impl Drop for Raising<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Takes a request off the table however its future ends.
struct Waiting<'a> {
    waiters: &'a Waiters,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.forget(self.id);
    }
}

pub(crate) fn request_error(error: RequestError) -> RpcError {
    match error {
        RequestError::Stopped => RpcError::Stopped,
        RequestError::LeaderChanged => RpcError::LeaderChanged,
        RequestError::NoLeader => RpcError::NoLeader,
        RequestError::NoTransferee => RpcError::BadLeaderTransferee,
        _ => RpcError::TooManyRequests,
    }
}

/// `InternalRaftRequest` around the client's bytes: fields ascending, so the header precedes the
/// requests from 1000 on.
pub(crate) fn encode_request(kind: RequestKind, id: u64, request: &[u8]) -> Bytes {
    let field = kind as u32;
    let mut header = BytesMut::with_capacity(11);
    wire::put_uint64(&mut header, 1, id);
    let mut out = BytesMut::with_capacity(
        wire::len_delimited_size(field, request.len())
            + wire::len_delimited_size(HEADER_FIELD, header.len()),
    );
    if field > HEADER_FIELD {
        wire::put_len_delimited(&mut out, HEADER_FIELD, &header);
    }
    wire::put_len_delimited(&mut out, field, request);
    if field < HEADER_FIELD {
        wire::put_len_delimited(&mut out, HEADER_FIELD, &header);
    }
    debug_assert!(
        out.remaining_mut() > 0 || out.len() == out.capacity(),
        "sized exactly"
    );
    out.freeze()
}

/// Whether an entry is a put. Members of any kind propose entries whose first field is the request.
pub(crate) fn is_put(entry: &[u8]) -> bool {
    /// The tag of [`RequestKind::Put`], length-delimited.
    const PUT: u8 = 4 << 3 | 2;
    entry.first() == Some(&PUT)
}

#[cfg(test)]
mod tests;
