//! Leases are kept by the leader: renewals and remaining times are asked of it.
//!
//! Called by the gRPC services and the peer listener. Only the leader's lessor counts time; a follower
//! forwards over the leader's peer URL. A leader that was not heard of for three heartbeats first makes
//! sure that it still leads, since its lessor may be renewing what another one already revoked.
//! Source: etcd `server/etcdserver/v3_server.go` and `server/lease/leasehttp/http.go`.
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use varve_mvcc::Error as StoreError;
use varve_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use varve_proto::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use varve_proto::prost::Message;

use super::reconfigure::RETRY;
use crate::core::Core;
use crate::rpc::{RpcError, Status};

/// How long this member may take to apply what is committed, before it answers for a lease.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1);

impl Core {
    /// Renews a lease; its TTL in seconds.
    ///
    /// # Errors
    /// [`RpcError::LeaseNotFound`] when it is unknown or has run out.
    pub(crate) async fn renew_lease(&self, id: i64) -> Result<i64, Status> {
        if self.raft_status().is_leader {
            if !self.ensure_leadership().await {
                return Err(Status::unknown(NOT_PRIMARY));
            }
            self.wait_applied_to_commit().await?;
            match self.store().lessor().renew(id) {
                Err(StoreError::NotPrimary) => {}
                Err(StoreError::LeaseNotFound) => return Err(RpcError::LeaseNotFound.into()),
                outcome => return Ok(outcome?),
            }
        }
        let request = LeaseKeepAliveRequest { id }.encode_to_vec();
        let response: LeaseKeepAliveResponse = self.ask_leader("/leases", request.into()).await?;
        Ok(response.ttl)
    }

    /// What a lease has left.
    ///
    /// # Errors
    /// [`RpcError::LeaseNotFound`].
    pub(crate) async fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> Result<LeaseTimeToLiveResponse, Status> {
        if self.raft_status().is_leader {
            self.wait_applied_to_commit().await?;
            let lessor = self.store().lessor();
            let info = lessor.time_to_live(request.id);
            // A lessor that was demoted meanwhile has answered with the full time.
            if lessor.is_primary() {
                let info = info.ok_or(RpcError::LeaseNotFound)?;
                return Ok(LeaseTimeToLiveResponse {
                    header: None,
                    id: request.id,
                    ttl: info.remaining_ttl,
                    granted_ttl: info.granted_ttl,
                    keys: if request.keys { info.keys } else { Vec::new() },
                });
            }
        }
        let request = LeaseInternalRequest {
            lease_time_to_live_request: Some(request),
        };
        let body = request.encode_to_vec().into();
        let response: LeaseInternalResponse = self.ask_leader("/leases/internal", body).await?;
        response
            .lease_time_to_live_response
            .ok_or_else(|| Status::unknown("the leader's answer about a lease is empty"))
    }

    /// Whether this member surely leads: its raft thread ran lately, or a read round says so.
    pub(crate) async fn ensure_leadership(&self) -> bool {
        if self.node().is_leader_fresh() {
            return true;
        }
        match self.linearizable_read().await {
            Ok(()) => self.raft_status().is_leader,
            Err(error) => {
                tracing::warn!(%error, "failed to check current member's leadership");
                false
            }
        }
    }

    /// Returns when everything that is committed now is applied.
    pub(crate) async fn wait_applied_to_commit(&self) -> Result<(), Status> {
        let commit = self.raft_status().commit_index;
        match tokio::time::timeout(APPLY_TIMEOUT, self.wait_applied(commit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RpcError::TimeoutWaitAppliedIndex.into()),
        }
    }

    /// Posts to the leader until it answers or the request times out.
    async fn ask_leader<T: Message + Default>(&self, path: &str, body: Bytes) -> Result<T, Status> {
        let timeout = self.config().request_timeout();
        match tokio::time::timeout(timeout, self.keep_asking(path, body, timeout)).await {
            Ok(answer) => answer,
            Err(_) if self.has_leader() => Err(RpcError::Timeout.into()),
            Err(_) => Err(RpcError::NoLeader.into()),
        }
    }

    async fn keep_asking<T: Message + Default>(
        &self,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<T, Status> {
        let mut headers = HeaderMap::new();
        let protobuf = HeaderValue::from_static("application/protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        loop {
            let leader = self.wait_leader().await?;
            for url in &leader.peer_urls {
                let (headers, body) = (headers.clone(), body.clone());
                let asking =
                    self.peer_client()
                        .ask(Method::POST, url, path, (headers, body), timeout);
                match asking.await {
                    Ok(answer) if answer.status == StatusCode::OK => {
                        return T::decode(answer.body)
                            .map_err(|e| Status::unknown(format!("{url}{path}: {e}")));
                    }
                    Ok(answer)
                        if answer.status == StatusCode::NOT_FOUND
                            && answer.text().contains(NOT_FOUND) =>
                    {
                        return Err(RpcError::LeaseNotFound.into());
                    }
                    Ok(answer) => tracing::debug!(
                        url,
                        path,
                        status = answer.status.as_u16(),
                        answer = answer.text(),
                        "the leader did not answer for a lease"
                    ),
                    Err(error) => tracing::debug!(%error, path, "could not ask the leader"),
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What etcd's lessor calls an unknown lease, on the wire between members.
pub(crate) const NOT_FOUND: &str = "lease not found";
/// What it says while it does not keep time.
pub(crate) const NOT_PRIMARY: &str = "not a primary lessor";
/// What a member says that has not applied everything in time.
pub(crate) const APPLY_LAGS: &str = "waiting for node to catch up its applied index has timed out";
