//! What the peer URL answers: raft's own traffic goes to the peer transport, the rest is here.
//!
//! Called by the connection tasks (tokio). Paths, bodies, status codes and headers are etcd's, of
//! `server/etcdserver/api/etcdhttp/peer.go`; Go ends every textual error with a line end.
mod handlers;
mod listener;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use varve_raftnode::{DirectSocket, Peers};

pub(crate) use listener::PeerListener;

use crate::core::Core;
use crate::rpc::{
    EncodedMessage, HttpBody, HttpHandler, Peer, RequestCtx, RequestStream, ResponseSink, Services,
    Status,
};

/// Longest request body taken; the longest one asks for a lease.
const MAX_BODY_BYTES: usize = 64 << 10;

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
#[derive(Clone)]
pub(crate) struct PeerHttp {
    core: Arc<Core>,
    peers: Peers,
    /// The way past HTTP to the connection.
    socket: Option<DirectSocket>,
}

impl std::fmt::Debug for PeerHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerHttp")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl PeerHttp {
    pub(crate) fn new(core: Arc<Core>, peers: Peers) -> Self {
        Self {
            core,
            peers,
            socket: None,
        }
    }

    /// The handler of one connection.
    fn over(&self, socket: DirectSocket) -> Self {
        Self {
            socket: Some(socket),
            ..self.clone()
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<HttpBody> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/members" => self.members(request.method()),
            "/version" => self.version(request.method()),
            "/members/hashkv" => self.hash_kv(request).await,
            "/leases" | "/leases/internal" => self.lease(request).await,
            "/downgrade/enabled" => self.downgrade_enabled(request.method()).await,
            _ => match path.strip_prefix("/members/promote/") {
                Some(id) => self.promote(&request, id).await,
                None => text(StatusCode::NOT_FOUND, "404 page not found"),
            },
        }
    }

    /// Marks an answer with the cluster it comes from: a joining member learns it so.
    fn of_this_cluster(&self, mut response: Response<HttpBody>) -> Response<HttpBody> {
        let id = format!("{:x}", self.core.header().cluster_id);
        if let Ok(value) = id.parse() {
            response.headers_mut().insert("x-etcd-cluster-id", value);
        }
        response
    }
}

/// An error or a word as Go writes it.
fn text(status: StatusCode, text: &str) -> Response<HttpBody> {
    let mut response = answer(status, "text/plain; charset=utf-8", format!("{text}\n"));
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn json(status: StatusCode, body: String) -> Response<HttpBody> {
    answer(status, "application/json", body)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<HttpBody> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Refuses another method than the one that is meant.
fn wrong_method(allowed: &'static str) -> Response<HttpBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A request's whole body.
async fn read_body(body: Incoming) -> Result<Bytes, Response<HttpBody>> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request body too large",
        )),
        Err(_) => Err(text(StatusCode::BAD_REQUEST, "error reading body")),
    }
}

impl HttpHandler for PeerHttp {
    fn handle(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>> {
        let path = request.uri().path();
        if path == "/raft" || path.starts_with("/raft/") {
            if let Some(socket) = &self.socket {
                request.extensions_mut().insert(socket.clone());
            }
            let remote = peer.address.map(|address| address.ip());
            return Box::pin(self.peers.handle(request, remote));
        }
        Box::pin(self.respond(request))
    }
}
