//! What the peer URL answers while there are no peers: who the members are and which version runs.
//!
//! The members' own protocol comes with clusters of several members.
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method as HttpMethod, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::core::Core;
use crate::rpc::{
    EncodedMessage, HttpBody, HttpHandler, Peer, RequestCtx, RequestStream, ResponseSink, Services,
    Status,
};

/// A listener without gRPC services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoServices;

impl Services for NoServices {
    async fn unary(&self, ctx: RequestCtx, _: Bytes) -> Result<EncodedMessage, Status> {
        Err(not_here(&ctx))
    }

    fn streaming(
        self: Arc<Self>,
        ctx: RequestCtx,
        _: RequestStream,
        _: ResponseSink,
    ) -> impl Future<Output = Result<(), Status>> + Send + 'static {
        ready(Err(not_here(&ctx)))
    }
}

fn not_here(ctx: &RequestCtx) -> Status {
    let text = format!("{} is served on the client URLs", ctx.method.name());
    Status::new(crate::rpc::Code::Unimplemented, text)
}

/// The peer URL's handler.
#[derive(Debug)]
pub(crate) struct PeerHttp {
    core: Arc<Core>,
}

impl PeerHttp {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    fn respond(&self, method: &HttpMethod, path: &str) -> Response<HttpBody> {
        let json = match path {
            "/members" => self.members(),
            "/version" => self.version(),
            _ => return answer(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        };
        if *method != HttpMethod::GET {
            return answer(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed\n".to_owned(),
            );
        }
        let mut response = answer(StatusCode::OK, json.to_string());
        let headers = response.headers_mut();
        headers.insert(
            "content-type",
            http::HeaderValue::from_static("application/json"),
        );
        let cluster_id = format!("{:x}", self.core.header().cluster_id);
        if let Ok(value) = cluster_id.parse() {
            headers.insert("x-etcd-cluster-id", value);
        }
        response
    }

    /// Go's JSON of the member list: fields in order, empty ones left out.
    fn members(&self) -> Value {
        let members = self.core.members().into_iter().map(|m| {
            let mut member = json!({ "id": m.id, "peerURLs": m.peer_urls });
            if m.is_learner {
                member["isLearner"] = true.into();
            }
            if !m.name.is_empty() {
                member["name"] = m.name.into();
            }
            if !m.client_urls.is_empty() {
                member["clientURLs"] = m.client_urls.into();
            }
            member
        });
        Value::Array(members.collect())
    }

    fn version(&self) -> Value {
        let compat = self.core.config().compat;
        let cluster = self
            .core
            .cluster_version()
            .unwrap_or_else(|| "not_decided".to_owned());
        let mut version = json!({ "etcdserver": compat.server_version(), "etcdcluster": cluster });
        if let Some(storage) = compat.storage_version() {
            version["storage"] = storage.into();
        }
        version
    }
}

fn answer(status: StatusCode, body: String) -> Response<HttpBody> {
    let body = Full::new(Bytes::from(body))
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

impl HttpHandler for PeerHttp {
    fn handle(
        &self,
        request: Request<Incoming>,
        _: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>> {
        let response = self.respond(request.method(), request.uri().path());
        Box::pin(ready(response))
    }
}
