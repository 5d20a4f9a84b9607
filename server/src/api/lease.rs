//! Lease: grant, revoke, keep alive, time to live, list.
//!
//! Only the leader's lessor keeps time. While this member does not lead, renewals and remaining times
//! wait for it to, up to the request timeout: requests are not forwarded to another member yet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use varve_mvcc::Error;
use varve_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use varve_proto::prost::Message as _;

use super::header;
use super::kv::unexpected;
use super::outbound::Outbound;
use crate::apply::Applied;
use crate::core::{Core, RequestKind};
use crate::quota;
use crate::rpc::{EncodedMessage, RequestStream, RpcError, Status, decode};

/// How often a member that does not lead looks whether it does by now.
const RETRY: Duration = Duration::from_millis(50);

pub(super) async fn grant(
    core: &Arc<Core>,
    mut request: LeaseGrantRequest,
) -> Result<EncodedMessage, Status> {
    core.check_quota(quota::LEASE_COST).await?;
    while request.id == 0 {
        // Positive: the sign bit is cleared.
        request.id = (core.next_request_id() & (u64::MAX >> 1)).cast_signed();
    }
    let message = request.encode_to_vec().into();
    match core.process(RequestKind::LeaseGrant, message).await? {
        Applied::LeaseGrant { revision, id, ttl } => {
            core.metrics().lease_ttl(ttl);
            Ok(EncodedMessage::encode(&LeaseGrantResponse {
                header: Some(header::message(&core.header(), revision)),
                id,
                ttl,
                error: String::new(),
            }))
        }
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn revoke(core: &Arc<Core>, message: Bytes) -> Result<EncodedMessage, Status> {
    match core.process(RequestKind::LeaseRevoke, message).await? {
        Applied::LeaseRevoke { revision } => Ok(EncodedMessage::encode(&LeaseRevokeResponse {
            header: Some(header::message(&core.header(), revision)),
        })),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn keep_alive(
    core: &Arc<Core>,
    mut requests: RequestStream,
    out: Outbound,
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            message = requests.next() => message,
            () = out.closed() => return Ok(()),
            () = core.shutdown_signal() => return Err(RpcError::Stopped.into()),
        };
        let Some(message) = message else {
            return Ok(());
        };
        let message = message?;
        out.received(message.len());
        let request: LeaseKeepAliveRequest = decode(message)?;
        // Taken before the renewal: the revision must not be newer than the renewal.
        let header = header::message(&core.header(), core.store().revision());
        let ttl = match renew(core, request.id).await {
            Err(Renewal::Gone) => 0,
            Err(Renewal::Failed(status)) => return Err(status),
            Ok(ttl) => ttl,
        };
        let response = LeaseKeepAliveResponse {
            header: Some(header),
            id: request.id,
            ttl,
        };
        out.send(EncodedMessage::encode(&response)).await?;
    }
}

/// Why a lease was not renewed.
enum Renewal {
    /// It is unknown or has run out; the client is told by a TTL of 0.
    Gone,
    Failed(Status),
}

async fn renew(core: &Core, id: i64) -> Result<i64, Renewal> {
    let renewed = as_leader(core, || match core.store().lessor().renew(id) {
        Err(Error::NotPrimary) => None,
        outcome => Some(outcome),
    });
    match renewed.await {
        Ok(Ok(ttl)) => Ok(ttl),
        Ok(Err(Error::LeaseNotFound)) => Err(Renewal::Gone),
        Ok(Err(e)) => Err(Renewal::Failed(e.into())),
        Err(status) => Err(Renewal::Failed(status)),
    }
}

/// Asks until there is an answer, that is, until this member leads, or the request times out.
async fn as_leader<T>(core: &Core, mut ask: impl FnMut() -> Option<T>) -> Result<T, Status> {
    let deadline = tokio::time::Instant::now() + core.config().request_timeout();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(if core.has_leader() {
                RpcError::Timeout
            } else {
                RpcError::NoLeader
            }
            .into());
        }
        tokio::time::sleep(RETRY).await;
    }
}

pub(super) async fn time_to_live(
    core: &Arc<Core>,
    request: LeaseTimeToLiveRequest,
) -> Result<EncodedMessage, Status> {
    let info = as_leader(core, || {
        let status = core.raft_status();
        status
            .is_leader
            .then(|| core.store().lessor().time_to_live(request.id))
    })
    .await?;
    let mut response = LeaseTimeToLiveResponse {
        header: Some(header::message(&core.header(), core.store().revision())),
        id: request.id,
        // What etcd answers for a lease that does not exist, without an error.
        ttl: -1,
        ..LeaseTimeToLiveResponse::default()
    };
    if let Some(info) = info {
        response.ttl = info.remaining_ttl;
        response.granted_ttl = info.granted_ttl;
        if request.keys {
            response.keys = info.keys;
        }
    }
    Ok(EncodedMessage::encode(&response))
}

pub(super) fn leases(core: &Core) -> Result<EncodedMessage, Status> {
    let leases = core.store().lessor().leases();
    Ok(EncodedMessage::encode(&LeaseLeasesResponse {
        header: Some(header::message(&core.header(), core.store().revision())),
        leases: leases.into_iter().map(|id| LeaseStatus { id }).collect(),
    }))
}
