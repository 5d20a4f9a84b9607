//! The operational endpoints beside gRPC: health, readiness, metrics, version.
//!
//! Called by the connection tasks (tokio) for every request that is not gRPC. Paths, bodies, status
//! codes and headers are etcd's.
//!
//! # Not here
//! The JSON gateway, the v2 API, `/debug`: not supported yet; their paths answer 404 like any other.

mod access;
mod checks;
mod health;
mod response;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::config::{CompatVersion, Config};
use crate::metrics::{Metrics, Sample};
use crate::rpc::{HttpBody, HttpHandler, Peer};
use access::AccessControl;

/// What the endpoints ask the member.
pub(crate) trait Probe: Send + Sync + 'static {
    /// Names of the active alarms, such as `NOSPACE`.
    fn alarms(&self) -> Vec<&'static str>;
    /// Whether a leader is known.
    fn has_leader(&self) -> bool;
    /// Whether this member is a learner.
    fn is_learner(&self) -> bool;
    /// The cluster version in full, once decided.
    fn cluster_version(&self) -> Option<String>;
    /// The storage version in full, where the backend records one.
    fn storage_version(&self) -> Option<String>;
    /// State for the metrics.
    fn sample(&self) -> Sample;
    /// Reads one key, with a round to the leader or without.
    fn read(&self, linearizable: bool) -> impl Future<Output = Result<(), String>> + Send;
}

/// Which endpoints a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    /// A client URL: everything.
    Client,
    /// A metrics URL: metrics and health only.
    Metrics,
}

/// The endpoints of one member.
#[derive(Debug)]
pub(crate) struct Operations<P> {
    probe: Arc<P>,
    metrics: Arc<Metrics>,
    access: AccessControl,
    compat: CompatVersion,
}

impl<P: Probe> Operations<P> {
    pub(crate) fn new(probe: Arc<P>, metrics: Arc<Metrics>, config: &Config) -> Self {
        let access = AccessControl::new(config.cors.clone(), config.host_whitelist.clone());
        Self {
            probe,
            metrics,
            access,
            compat: config.compat,
        }
    }

    /// Answers a request; bodies of requests are not looked at.
    pub(crate) async fn respond<B>(
        &self,
        request: &Request<B>,
        listener: Listener,
    ) -> Response<Bytes> {
        // The metrics listener has neither check in etcd.
        if listener == Listener::Client {
            if let Some(refusal) = self.access.refuse(request) {
                return refusal;
            }
            if *request.method() == Method::OPTIONS && self.access.allowed(request).is_some() {
                let mut response = response::empty(StatusCode::OK);
                self.access.mark(request, response.headers_mut());
                return response;
            }
        }
        let uri = request.uri();
        let query = Query(uri.query().unwrap_or(""));
        let mut response = self
            .route(request.method(), uri.path(), query, listener)
            .await;
        if listener == Listener::Client {
            self.access.mark(request, response.headers_mut());
        }
        response
    }

    async fn route(
        &self,
        method: &Method,
        path: &str,
        query: Query<'_>,
        listener: Listener,
    ) -> Response<Bytes> {
        match path {
            "/metrics" => self.metrics(),
            "/health" => get(method, health::health(&*self.probe, &self.metrics, query)).await,
            "/version" if listener == Listener::Client => {
                get(method, async { self.version() }).await
            }
            _ => match checks::find(path) {
                Some(set) => {
                    get(method, checks::run(&*self.probe, &self.metrics, set, query)).await
                }
                None => response::not_found(),
            },
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        match self.metrics.render(&self.probe.sample()) {
            Ok(text) => response::body(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                text.into(),
            ),
            Err(e) => response::error(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
        }
    }

    fn version(&self) -> Response<Bytes> {
        let cluster = self
            .probe
            .cluster_version()
            .unwrap_or_else(|| "not_decided".to_owned());
        let mut versions = serde_json::json!({
            "etcdserver": self.compat.server_version(),
            "etcdcluster": cluster,
        });
        if self.compat.has_36_fields() {
            let storage = self
                .probe
                .storage_version()
                .unwrap_or_else(|| "unknown".to_owned());
            versions["storage"] = storage.into();
        }
        response::body(
            StatusCode::OK,
            "application/json",
            versions.to_string().into(),
        )
    }
}

/// Everything but GET is refused before anything is looked up.
async fn get(method: &Method, answer: impl Future<Output = Response<Bytes>>) -> Response<Bytes> {
    if *method == Method::GET {
        answer.await
    } else {
        response::method_not_allowed()
    }
}

/// The endpoints as one kind of listener shows them.
#[derive(Debug)]
pub(crate) struct HttpListener<P> {
    operations: Arc<Operations<P>>,
    listener: Listener,
}

impl<P: Probe> HttpListener<P> {
    pub(crate) fn new(operations: Arc<Operations<P>>, listener: Listener) -> Self {
        Self {
            operations,
            listener,
        }
    }
}

impl<P: Probe> HttpHandler for HttpListener<P> {
    fn handle(
        &self,
        request: Request<Incoming>,
        _: Peer,
    ) -> Pin<Box<dyn Future<Output = Response<HttpBody>> + Send + '_>> {
        // No endpoint reads a body; without it the rest can be shared across threads.
        let (parts, _) = request.into_parts();
        let request = Request::from_parts(parts, ());
        Box::pin(async move {
            let response = self.operations.respond(&request, self.listener).await;
            response.map(|body| {
                Full::new(body)
                    .map_err(|never| match never {})
                    .boxed_unsync()
            })
        })
    }
}

/// The query of a URI.
#[derive(Clone, Copy, Debug)]
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let parts = self.0.split('&').filter(|part| !part.is_empty());
        parts.map(|part| part.split_once('=').unwrap_or((part, "")))
    }

    /// The values of a name, without empty ones. The names we compare them with need no decoding.
    fn all(self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs()
            .filter(move |(n, v)| *n == name && !v.is_empty())
            .map(|(_, v)| v)
    }

    fn has(self, name: &str) -> bool {
        self.pairs().any(|(n, _)| n == name)
    }
}

/// The host a request names: the `Host` header without its port.
fn host_of<B>(request: &Request<B>) -> &str {
    let host = header(request.headers(), &http::header::HOST)
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or("");
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
