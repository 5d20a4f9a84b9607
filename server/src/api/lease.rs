//! Lease: grant, revoke, keep alive, time to live, list.
//!
//! Only the leader's lessor keeps time; what asks for time is forwarded to it (`cluster`).

use std::sync::Arc;

use bytes::Bytes;
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
use crate::rpc::{Code, EncodedMessage, RequestStream, RpcError, Status, decode};

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
        let ttl = match core.renew_lease(request.id).await {
            // It is unknown or has run out; the client is told by a TTL of 0.
            Err(error) if error.code() == Code::NotFound => 0,
            outcome => outcome?,
        };
        let response = LeaseKeepAliveResponse {
            header: Some(header),
            id: request.id,
            ttl,
        };
        out.send(EncodedMessage::encode(&response)).await?;
    }
}

pub(super) async fn time_to_live(
    core: &Arc<Core>,
    request: LeaseTimeToLiveRequest,
) -> Result<EncodedMessage, Status> {
    let id = request.id;
    let mut response = match core.lease_time_to_live(request).await {
        // What etcd answers for a lease that does not exist, without an error.
        Err(error) if error.code() == Code::NotFound => LeaseTimeToLiveResponse {
            id,
            ttl: -1,
            ..LeaseTimeToLiveResponse::default()
        },
        outcome => outcome?,
    };
    response.header = Some(header::message(&core.header(), core.store().revision()));
    Ok(EncodedMessage::encode(&response))
}

pub(super) fn leases(core: &Core) -> Result<EncodedMessage, Status> {
    let leases = core.store().lessor().leases();
    Ok(EncodedMessage::encode(&LeaseLeasesResponse {
        header: Some(header::message(&core.header(), core.store().revision())),
        leases: leases.into_iter().map(|id| LeaseStatus { id }).collect(),
    }))
}
