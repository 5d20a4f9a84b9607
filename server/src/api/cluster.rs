//! Cluster: the list of members. Changing it is not supported yet.

use std::sync::Arc;

use varve_proto::etcdserverpb::{MemberListRequest, MemberListResponse};

use super::header;
use crate::core::Core;
use crate::rpc::{EncodedMessage, Status};

pub(super) async fn member_list(
    core: &Arc<Core>,
    request: MemberListRequest,
) -> Result<EncodedMessage, Status> {
    if request.linearizable {
        core.linearizable_read().await?;
    }
    let mut members = core.members();
    // etcd lists members by their first peer URL.
    members.sort_by(|a, b| a.peer_urls.first().cmp(&b.peer_urls.first()));
    Ok(EncodedMessage::encode(&MemberListResponse {
        // Responses about members carry no revision.
        header: Some(header::message(&core.header(), 0)),
        members,
    }))
}
