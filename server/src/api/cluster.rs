//! Cluster: the list of members, and its changes.

use std::sync::Arc;

use varve_proto::etcdserverpb::{
    Member as ProtoMember, MemberAddRequest, MemberAddResponse, MemberListRequest,
    MemberListResponse, MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest,
    MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use varve_raftnode::membership::Member;

use super::header;
use crate::core::Core;
use crate::rpc::{EncodedMessage, RequestCtx, Status};

/// Responses about members carry no revision.
fn header(core: &Core) -> Option<ResponseHeader> {
    Some(header::message(&core.header(), 0))
}

fn message(member: Member) -> ProtoMember {
    ProtoMember {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    }
}

/// etcd lists members by their first peer URL.
fn listed(members: Vec<Member>) -> Vec<ProtoMember> {
    let mut members: Vec<_> = members.into_iter().map(message).collect();
    members.sort_by(|a, b| a.peer_urls.first().cmp(&b.peer_urls.first()));
    members
}

pub(super) async fn member_list(
    core: &Arc<Core>,
    request: MemberListRequest,
) -> Result<EncodedMessage, Status> {
    if request.linearizable {
        core.linearizable_read().await?;
    }
    let members = core.cluster().read().members().cloned().collect();
    Ok(EncodedMessage::encode(&MemberListResponse {
        header: header(core),
        members: listed(members),
    }))
}

pub(super) async fn member_add(
    core: &Arc<Core>,
    request: MemberAddRequest,
) -> Result<EncodedMessage, Status> {
    let (member, members) = core
        .add_member(&request.peer_urls, request.is_learner)
        .await?;
    Ok(EncodedMessage::encode(&MemberAddResponse {
        header: header(core),
        member: Some(message(member)),
        members: listed(members),
    }))
}

pub(super) async fn member_remove(
    core: &Arc<Core>,
    request: MemberRemoveRequest,
) -> Result<EncodedMessage, Status> {
    let members = core.remove_member(request.id).await?;
    Ok(EncodedMessage::encode(&MemberRemoveResponse {
        header: header(core),
        members: listed(members),
    }))
}

pub(super) async fn member_update(
    core: &Arc<Core>,
    request: MemberUpdateRequest,
) -> Result<EncodedMessage, Status> {
    let members = core.update_member(request.id, request.peer_urls).await?;
    Ok(EncodedMessage::encode(&MemberUpdateResponse {
        header: header(core),
        members: listed(members),
    }))
}

pub(super) async fn member_promote(
    core: &Arc<Core>,
    request: MemberPromoteRequest,
    ctx: &RequestCtx,
) -> Result<EncodedMessage, Status> {
    let members = core.promote_member(request.id, ctx.token()).await?;
    Ok(EncodedMessage::encode(&MemberPromoteResponse {
        header: header(core),
        members: listed(members),
    }))
}
