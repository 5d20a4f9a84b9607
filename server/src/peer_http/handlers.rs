//! The answers: members, versions, promotions, hashes, leases.
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json as object;
use varve_mvcc::Error as StoreError;
use varve_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveResponse, ResponseHeader,
};
use varve_proto::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use varve_proto::prost::Message as _;
use varve_raftnode::membership::{Member, to_json};

use super::{PeerHttp, answer, json, read_body, text, wrong_method};
use crate::cluster::{APPLY_LAGS, HashAnswer, HashRequest, NOT_FOUND, NOT_PRIMARY, hash};
use crate::rpc::{HttpBody, RpcError, Status};

impl PeerHttp {
    /// Answered from what this member knows, without asking another.
    pub(super) fn members(&self, method: &Method) -> Response<HttpBody> {
        if *method != Method::GET {
            return wrong_method("GET");
        }
        let members: Vec<Member> = self.core.cluster().read().members().cloned().collect();
        self.of_this_cluster(json(StatusCode::OK, format!("{}\n", to_json(&members))))
    }

    pub(super) fn version(&self, method: &Method) -> Response<HttpBody> {
        if *method != Method::GET {
            return wrong_method("GET");
        }
        let compat = self.core.config().compat;
        let cluster = self
            .core
            .cluster_version()
            .unwrap_or_else(|| "not_decided".to_owned());
        let mut version =
            object!({ "etcdserver": compat.server_version(), "etcdcluster": cluster });
        if compat.has_36_fields() {
            let storage = self
                .core
                .storage_version()
                .unwrap_or_else(|| "unknown".to_owned());
            version["storage"] = storage.into();
        }
        json(StatusCode::OK, version.to_string())
    }

    pub(super) async fn promote(
        &self,
        request: &Request<Incoming>,
        id: &str,
    ) -> Response<HttpBody> {
        if *request.method() != Method::POST {
            return wrong_method("POST");
        }
        let response = match id.parse::<u64>() {
            Err(_) => text(
                StatusCode::NOT_FOUND,
                &format!("member {id} not found in cluster"),
            ),
            Ok(id) => {
                let authorization = request
                    .headers()
                    .get(header::AUTHORIZATION)
                    .and_then(|v| v.to_str().ok());
                match self.core.promote_member(id, authorization).await {
                    Ok(members) => json(StatusCode::OK, format!("{}\n", to_json(&members))),
                    Err(error) => {
                        tracing::warn!(member_id = %format_args!("{id:x}"), %error,
                            "failed to promote a member");
                        promotion_refused(&error)
                    }
                }
            }
        };
        self.of_this_cluster(response)
    }

    pub(super) async fn hash_kv(&self, request: Request<Incoming>) -> Response<HttpBody> {
        if *request.method() != Method::GET {
            return wrong_method("GET");
        }
        let own = format!("{:x}", self.core.header().cluster_id);
        let theirs = request.headers().get("x-etcd-cluster-id");
        if theirs.is_some_and(|id| !id.is_empty() && id.as_bytes() != own.as_bytes()) {
            return text(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch");
        }
        let body = match read_body(request.into_body()).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let Ok(request) = serde_json::from_slice::<HashRequest>(&body) else {
            return text(StatusCode::BAD_REQUEST, "error unmarshalling request");
        };
        match hash(&self.core, request.revision).await {
            Ok(hash) => {
                let answer = to_json(&HashAnswer::from(hash));
                self.of_this_cluster(json(StatusCode::OK, answer))
            }
            Err(error) => {
                tracing::warn!(requested_revision = request.revision, %error,
                    "failed to get hashKV");
                text(StatusCode::BAD_REQUEST, error.message())
            }
        }
    }

    pub(super) async fn lease(&self, request: Request<Incoming>) -> Response<HttpBody> {
        if *request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        let renews = request.uri().path() == "/leases";
        let body = match read_body(request.into_body()).await {
            Ok(body) => body,
            Err(refused) => return refused,
        };
        let malformed = || text(StatusCode::BAD_REQUEST, "error unmarshalling request");
        if renews {
            let Ok(request) = LeaseKeepAliveRequest::decode(body) else {
                return malformed();
            };
            self.renew(request.id).await
        } else {
            let Ok(request) = LeaseInternalRequest::decode(body) else {
                return malformed();
            };
            self.time_to_live(request).await
        }
    }

    async fn renew(&self, id: i64) -> Response<HttpBody> {
        if self.core.wait_applied_to_commit().await.is_err() {
            return text(StatusCode::REQUEST_TIMEOUT, APPLY_LAGS);
        }
        if self.core.raft_status().is_leader && !self.core.ensure_leadership().await {
            return text(StatusCode::BAD_REQUEST, NOT_PRIMARY);
        }
        match self.core.store().lessor().renew(id) {
            Ok(ttl) => protobuf(
                LeaseKeepAliveResponse {
                    header: None,
                    id,
                    ttl,
                }
                .encode_to_vec(),
            ),
            Err(StoreError::LeaseNotFound) => text(StatusCode::NOT_FOUND, NOT_FOUND),
            Err(StoreError::NotPrimary) => text(StatusCode::BAD_REQUEST, NOT_PRIMARY),
            Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    async fn time_to_live(&self, request: LeaseInternalRequest) -> Response<HttpBody> {
        if self.core.wait_applied_to_commit().await.is_err() {
            return text(StatusCode::REQUEST_TIMEOUT, APPLY_LAGS);
        }
        let request = request.lease_time_to_live_request.unwrap_or_default();
        let lessor = self.core.store().lessor();
        let Some(info) = lessor.time_to_live(request.id) else {
            return text(StatusCode::NOT_FOUND, NOT_FOUND);
        };
        if !lessor.is_primary() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, NOT_PRIMARY);
        }
        let response = LeaseTimeToLiveResponse {
            header: Some(ResponseHeader::default()),
            id: request.id,
            ttl: info.remaining_ttl,
            granted_ttl: info.granted_ttl,
            keys: if request.keys { info.keys } else { Vec::new() },
        };
        let response = LeaseInternalResponse {
            lease_time_to_live_response: Some(response),
        };
        protobuf(response.encode_to_vec())
    }

    pub(super) async fn downgrade_enabled(&self, method: &Method) -> Response<HttpBody> {
        if *method != Method::GET {
            return wrong_method("GET");
        }
        let response = match self.core.linearizable_read().await {
            Ok(()) => {
                let enabled = self.core.downgrade_enabled();
                answer(StatusCode::OK, "text/plain", enabled.to_string())
            }
            Err(error) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("failed linearized read: {}", error.message()),
            ),
        };
        self.of_this_cluster(response)
    }
}

/// The caller tells refusals apart by status and text.
fn promotion_refused(error: &Status) -> Response<HttpBody> {
    let message = error.message();
    if message == RpcError::MemberNotFound.text() {
        return text(StatusCode::NOT_FOUND, "membership: ID not found");
    }
    if message == RpcError::MemberNotLearner.text() {
        let what = "membership: can only promote a learner member";
        return text(StatusCode::PRECONDITION_FAILED, what);
    }
    if message == RpcError::LearnerNotReady.text() {
        return text(StatusCode::PRECONDITION_FAILED, message);
    }
    let timed_out = [
        RpcError::Timeout,
        RpcError::TimeoutDueToLeaderFail,
        RpcError::TimeoutDueToConnectionLost,
        RpcError::TimeoutWaitAppliedIndex,
    ];
    if timed_out.iter().any(|e| e.text() == message) {
        return text(StatusCode::REQUEST_TIMEOUT, message);
    }
    let body = object!({ "message": message }).to_string();
    json(StatusCode::INTERNAL_SERVER_ERROR, body)
}

fn protobuf(body: Vec<u8>) -> Response<HttpBody> {
    answer(StatusCode::OK, "application/protobuf", body)
}
