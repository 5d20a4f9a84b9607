//! What a member tells the cluster of itself through the log: its attributes and the cluster version.
//!
//! etcd 3.5 writes both as v2 requests, which 3.4 members understand; 3.6 as requests 1301 and 1300.
//! Source: etcd `server/etcdserver/server.go` (publishV3, updateClusterVersion).
use varve_proto::etcdserverpb::Request;
use varve_proto::membershippb::{
    Attributes as ProtoAttributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest,
};
use varve_proto::prost::Message as _;
use varve_raftnode::membership::{Attributes, to_json};

use crate::compat::publishes_through_v2;
use crate::core::{Core, RequestKind};
use crate::rpc::Status;

/// Publishes this member's name and client URLs.
pub(crate) async fn attributes(core: &Core) -> Result<(), Status> {
    let config = core.config();
    let name = config.name.clone();
    let client_urls: Vec<String> = config
        .advertise_client_urls
        .iter()
        .map(ToString::to_string)
        .collect();
    if publishes_through_v2(config.compat) {
        let path = format!("/0/members/{:x}/attributes", core.member_id());
        let value = to_json(&Attributes { name, client_urls });
        return v2_put(core, path, value).await;
    }
    let request = ClusterMemberAttrSetRequest {
        member_id: core.member_id(),
        member_attributes: Some(ProtoAttributes { name, client_urls }),
    };
    core.process(
        RequestKind::ClusterMemberAttrSet,
        request.encode_to_vec().into(),
    )
    .await
    .map(drop)
}

/// Sets the cluster version; only the leader decides it.
pub(crate) async fn cluster_version(core: &Core, version: &str) -> Result<(), Status> {
    if publishes_through_v2(core.config().compat) {
        return v2_put(core, "/0/version".to_owned(), version.to_owned()).await;
    }
    let request = ClusterVersionSetRequest {
        ver: version.to_owned(),
    };
    core.process(
        RequestKind::ClusterVersionSet,
        request.encode_to_vec().into(),
    )
    .await
    .map(drop)
}

async fn v2_put(core: &Core, path: String, val: String) -> Result<(), Status> {
    let id = core.next_request_id();
    let request = Request {
        id,
        method: "PUT".to_owned(),
        path,
        val,
        ..Request::default()
    };
    core.propose_and_wait(id, request.encode_to_vec().into())
        .await
        .map(drop)
}
