//! Requests to a stepped member, as futures without timers.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use varve_mvcc::Error as StoreError;
use varve_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse,
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
    ResponseOp, TxnRequest, TxnResponse, response_op,
};
use varve_proto::membershippb::ClusterVersionSetRequest;
use varve_proto::mvccpb::KeyValue;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{ConfChange, ConfChangeType};
use varve_raftnode::membership::{Member as Peer, to_json};

use super::Shared;
use crate::apply::{Applied, OpApplied, TxnApplied, range_options};
use crate::cluster::{NOT_PRIMARY, promotion};
use crate::core::{RequestKind, encode_request, request_error};
use crate::lease_expiry::{BATCH, checkpoint_request};
use crate::reads;
use crate::rpc::{RpcError, Status};

/// What a client may ask.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "etcd's own requests")]
pub enum Request {
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    Range(RangeRequest),
    Compact(CompactionRequest),
    LeaseGrant(LeaseGrantRequest),
    LeaseRevoke(LeaseRevokeRequest),
    /// Renews the lease of this id, where the member leads.
    LeaseKeepAlive(i64),
    /// Adds a member that only learns.
    AddLearner(Peer),
    /// Makes a learner a voter, if this member leads and the learner is ready.
    Promote(u64),
    Remove(u64),
    /// Hands leadership over.
    MoveLeader(u64),
    /// Agrees on the cluster's version.
    ClusterVersion(String),
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "etcd's own responses")]
pub enum Response {
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Range(RangeResponse),
    Compact(CompactionResponse),
    LeaseGrant(LeaseGrantResponse),
    LeaseRevoke(LeaseRevokeResponse),
    LeaseKeepAlive(LeaseKeepAliveResponse),
    /// Done, nothing to tell.
    Done,
}

/// An outcome.
pub type Reply = Result<Response, Status>;
/// A request under way.
pub type Call = Pin<Box<dyn Future<Output = Reply> + Send>>;
/// A look at the leases under way.
pub(super) type Look = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) fn begin(shared: &Arc<Shared>, request: Request) -> Call {
    let shared = Arc::clone(shared);
    Box::pin(async move { shared.serve(request).await })
}

/// Revokes what ran out, and tells what is left of the rest.
pub(super) fn look(shared: &Arc<Shared>, term: u64, checkpoints: bool) -> Look {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let careless = shared.seeded.revokes_in_any_term();
        if !careless && !shared.ensure_leadership().await {
            return;
        }
        let lessor = shared.store.lessor();
        if checkpoints && let Some(request) = checkpoint_request(lessor) {
            shared.propose_in_term(RequestKind::LeaseCheckpoint, &request, term);
        }
        for id in lessor.expired(BATCH) {
            let request = LeaseRevokeRequest { id }.encode_to_vec();
            if careless {
                // Proposed when this is first polled; nobody waits for the outcome.
                let mut revoke = begin(&shared, Request::LeaseRevoke(LeaseRevokeRequest { id }));
                drop(super::poll(&mut revoke));
            } else {
                shared.propose_in_term(RequestKind::LeaseRevoke, &request, term);
            }
        }
    })
}

impl Shared {
    async fn serve(&self, request: Request) -> Reply {
        match request {
            Request::Put(request) => self.put(request).await,
            Request::DeleteRange(request) => {
                match self.process(RequestKind::DeleteRange, &request).await? {
                    Applied::DeleteRange {
                        revision,
                        deleted,
                        prev_kvs,
                    } => Ok(Response::DeleteRange(DeleteRangeResponse {
                        header: Some(header(revision)),
                        deleted,
                        prev_kvs: pairs(&prev_kvs)?,
                    })),
                    other => Err(unexpected(&other)),
                }
            }
            Request::Txn(request) => match self.process(RequestKind::Txn, &request).await? {
                Applied::Txn(applied) => Ok(Response::Txn(txn(applied)?)),
                other => Err(unexpected(&other)),
            },
            Request::Range(request) => self.range(&request).await,
            Request::Compact(request) => {
                match self.process(RequestKind::Compaction, &request).await? {
                    Applied::Compaction { revision, .. } => {
                        Ok(Response::Compact(CompactionResponse {
                            header: Some(header(revision)),
                        }))
                    }
                    other => Err(unexpected(&other)),
                }
            }
            Request::LeaseGrant(request) => {
                match self.process(RequestKind::LeaseGrant, &request).await? {
                    Applied::LeaseGrant { revision, id, ttl } => {
                        Ok(Response::LeaseGrant(LeaseGrantResponse {
                            header: Some(header(revision)),
                            id,
                            ttl,
                            error: String::new(),
                        }))
                    }
                    other => Err(unexpected(&other)),
                }
            }
            Request::LeaseRevoke(request) => {
                match self.process(RequestKind::LeaseRevoke, &request).await? {
                    Applied::LeaseRevoke { revision } => {
                        Ok(Response::LeaseRevoke(LeaseRevokeResponse {
                            header: Some(header(revision)),
                        }))
                    }
                    other => Err(unexpected(&other)),
                }
            }
            Request::LeaseKeepAlive(id) => self.renew(id).await,
            Request::AddLearner(peer) => {
                let kind = ConfChangeType::ConfChangeAddLearnerNode;
                self.configure(kind, peer.id, to_json(&peer)).await
            }
            Request::Promote(id) => self.promote(id).await,
            Request::Remove(id) => {
                let kind = ConfChangeType::ConfChangeRemoveNode;
                self.configure(kind, id, String::new()).await
            }
            Request::MoveLeader(to) => self.move_leader(to).await,
            Request::ClusterVersion(ver) => {
                let request = ClusterVersionSetRequest { ver };
                self.process(RequestKind::ClusterVersionSet, &request)
                    .await?;
                Ok(Response::Done)
            }
        }
    }

    /// Proposes a request and waits until it is applied.
    async fn process(
        &self,
        kind: RequestKind,
        request: &impl varve_proto::prost::Message,
    ) -> Result<Applied, Status> {
        let id = self.request_ids.next_id();
        let data = encode_request(kind, id, &request.encode_to_vec());
        let outcome = self.waiters.register(id);
        self.node.propose(id, data).map_err(request_error)?;
        outcome.await.map_err(|_| RpcError::Stopped)?
    }

    /// What only the leader of this term may decide; nobody waits for it.
    fn propose_in_term(&self, kind: RequestKind, request: &[u8], term: u64) {
        let id = self.request_ids.next_id();
        let data = encode_request(kind, id, request);
        // Refused, it comes up again with the next look.
        let _refused = self.node.propose_in_term(id, data, term);
    }

    async fn put(&self, request: PutRequest) -> Reply {
        if self.seeded.answers_early() && self.node.status().is_leader {
            let id = self.request_ids.next_id();
            let data = encode_request(RequestKind::Put, id, &request.encode_to_vec());
            self.node.propose(id, data).map_err(request_error)?;
            return Ok(Response::Put(PutResponse {
                header: Some(header(self.store.revision() + 1)),
                prev_kv: None,
            }));
        }
        match self.process(RequestKind::Put, &request).await? {
            Applied::Put { revision, prev_kv } => Ok(Response::Put(PutResponse {
                header: Some(header(revision)),
                prev_kv: prev_kv.map(|kv| pair(&kv)).transpose()?,
            })),
            other => Err(unexpected(&other)),
        }
    }

    async fn range(&self, request: &RangeRequest) -> Reply {
        if !request.serializable {
            if self.node.status().is_learner {
                return Err(RpcError::NotSupportedForLearner.into());
            }
            self.linearizable_read().await?;
        }
        let result = self.store.read().range(&range_options(request))?;
        Ok(Response::Range(RangeResponse {
            header: Some(header(result.revision)),
            kvs: pairs(&result.kvs)?,
            more: result.more,
            count: result.count,
        }))
    }

    async fn linearizable_read(&self) -> Result<(), Status> {
        if self.node.published().reads_are_linearizable() {
            return Ok(());
        }
        let index = reads::read_index(&self.node).await?;
        reads::wait_applied(&self.node, index).await
    }

    async fn ensure_leadership(&self) -> bool {
        if self.node.is_leader_fresh() {
            return true;
        }
        self.linearizable_read().await.is_ok() && self.node.status().is_leader
    }

    /// See `Core::renew_lease`; others than the leader say that they are not primary.
    async fn renew(&self, id: i64) -> Reply {
        let not_primary = || Status::unknown(NOT_PRIMARY);
        if !self.node.status().is_leader || !self.ensure_leadership().await {
            return Err(not_primary());
        }
        let revision = self.store.revision();
        reads::wait_applied(&self.node, self.node.status().commit).await?;
        match self.store.lessor().renew(id) {
            Ok(ttl) => Ok(Response::LeaseKeepAlive(LeaseKeepAliveResponse {
                header: Some(header(revision)),
                id,
                ttl,
            })),
            Err(StoreError::NotPrimary) => Err(not_primary()),
            Err(StoreError::LeaseNotFound) => Err(RpcError::LeaseNotFound.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn promote(&self, id: u64) -> Reply {
        let (done, answer) = oneshot::channel();
        self.node
            .progress(Box::new(move |progress| {
                // The client may have given up.
                let _gone = done.send(progress);
            }))
            .map_err(request_error)?;
        let progress = answer
            .await
            .map_err(|_| RpcError::Stopped)?
            .map_err(request_error)?;
        if progress.leader != self.id || progress.members.is_empty() {
            return Err(RpcError::NotLeader.into());
        }
        if !progress.is_ready_to_vote(id, self.id) {
            return Err(RpcError::LearnerNotReady.into());
        }
        self.configure(ConfChangeType::ConfChangeAddNode, id, promotion(id))
            .await
    }

    async fn move_leader(&self, to: u64) -> Reply {
        let (done, moved) = oneshot::channel();
        self.node
            .transfer_leader(
                Some(to),
                Box::new(move |outcome| {
                    // The client may have given up.
                    let _gone = done.send(outcome);
                }),
            )
            .map_err(request_error)?;
        moved
            .await
            .map_err(|_| RpcError::Stopped)?
            .map_err(request_error)?;
        Ok(Response::Done)
    }

    /// Proposes a conf change and waits until it is applied.
    async fn configure(&self, kind: ConfChangeType, node_id: u64, context: String) -> Reply {
        let id = self.request_ids.next_id();
        let change = ConfChange {
            id,
            r#type: kind.into(),
            node_id,
            context: (!context.is_empty()).then(|| context.into_bytes().into()),
        };
        let outcome = self.waiters.register(id);
        let waiters = Arc::clone(&self.waiters);
        self.node
            .propose_conf_change(
                change,
                Box::new(move |accepted| {
                    // What is accepted is answered when it is applied.
                    if let Err(refused) = accepted {
                        waiters.complete(id, Err(request_error(refused).into()));
                    }
                }),
            )
            .map_err(request_error)?;
        outcome.await.map_err(|_| RpcError::Stopped)??;
        Ok(Response::Done)
    }
}

fn header(revision: i64) -> ResponseHeader {
    ResponseHeader {
        revision,
        ..ResponseHeader::default()
    }
}

fn pair(stored: &Bytes) -> Result<KeyValue, Status> {
    KeyValue::decode(stored.clone()).map_err(|e| Status::internal(e.to_string()))
}

fn pairs(stored: &[Bytes]) -> Result<Vec<KeyValue>, Status> {
    stored.iter().map(pair).collect()
}

fn txn(applied: TxnApplied) -> Result<TxnResponse, Status> {
    let responses = applied
        .responses
        .into_iter()
        .map(|op| {
            let response = match op {
                OpApplied::Range(result) => response_op::Response::ResponseRange(RangeResponse {
                    header: None,
                    kvs: pairs(&result.kvs)?,
                    more: result.more,
                    count: result.count,
                }),
                OpApplied::Put { revision, prev_kv } => {
                    response_op::Response::ResponsePut(PutResponse {
                        header: Some(header(revision)),
                        prev_kv: prev_kv.map(|kv| pair(&kv)).transpose()?,
                    })
                }
                OpApplied::DeleteRange {
                    revision,
                    deleted,
                    prev_kvs,
                } => response_op::Response::ResponseDeleteRange(DeleteRangeResponse {
                    header: Some(header(revision)),
                    deleted,
                    prev_kvs: pairs(&prev_kvs)?,
                }),
                OpApplied::Txn(inner) => response_op::Response::ResponseTxn(txn(inner)?),
            };
            Ok(ResponseOp {
                response: Some(response),
            })
        })
        .collect::<Result<_, Status>>()?;
    Ok(TxnResponse {
        header: Some(header(applied.revision)),
        succeeded: applied.succeeded,
        responses,
    })
}

fn unexpected(applied: &Applied) -> Status {
    Status::internal(format!("unexpected outcome of a proposal: {applied:?}"))
}
