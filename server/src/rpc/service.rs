//! From a request to its method and back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::context::{self, Peer};
use super::frame::MessageReader;
use super::{
    EncodedMessage, Kind, Method, RequestCtx, RequestStream, ResponseBody, ResponseSink, Status,
};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC: &str = "application/grpc";

/// What the methods do.
///
/// One function per shape of call and a `match` over [`Method`] within, instead of a table of boxed
/// functions: the hot methods' futures are then part of the request's own task.
///
/// A call whose client went away or whose deadline passed is dropped where it waits: what must be
/// finished all the same belongs into a task or thread of its own.
pub trait Services: Send + Sync + 'static {
    /// Answers a call of [`Kind::Unary`].
    fn unary(
        &self,
        ctx: RequestCtx,
        message: Bytes,
    ) -> impl Future<Output = Result<EncodedMessage, Status>> + Send;

    /// Serves any other call, on a task of its own, until the future ends.
    fn streaming(
        self: Arc<Self>,
        ctx: RequestCtx,
        requests: RequestStream,
        responses: ResponseSink,
    ) -> impl Future<Output = Result<(), Status>> + Send + 'static;
}

/// Whether the request is for the services here rather than for plain HTTP.
pub(super) fn is_grpc<B>(request: &Request<B>) -> bool {
    if request.version() != http::Version::HTTP_2 {
        return false;
    }
    let value = request.headers().get(header::CONTENT_TYPE);
    value
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .strip_prefix(GRPC)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
        })
}

/// Serves one gRPC request.
pub(super) async fn call<S: Services>(
    services: Arc<S>,
    limit_bytes: usize,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    if parts.method != HttpMethod::POST {
        let text = format!(
            "Received a HEADERS frame with :method {:?} which should be POST",
            parts.method.as_str()
        );
        let mut response = failed(&Status::internal(text));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let timeout = match context::timeout(&parts.headers) {
        Ok(timeout) => timeout,
        Err(status) => {
            let mut response = failed(&status);
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
    };
    let method = match Method::from_path(parts.uri.path()) {
        Ok(method) => method,
        Err(status) => return failed(&status),
    };
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    if timeout == Some(Duration::ZERO) {
        return failed(&Status::deadline_exceeded());
    }
    let ctx = RequestCtx {
        method,
        headers: parts.headers,
        deadline,
        peer,
    };
    if method.kind() == Kind::Unary {
        let reader = MessageReader::new(body, &ctx.headers, limit_bytes);
        unary(&*services, ctx, reader).await
    } else {
        streaming(services, ctx, body, limit_bytes)
    }
}

async fn unary<S: Services>(
    services: &S,
    ctx: RequestCtx,
    mut reader: MessageReader<Incoming>,
) -> Response<ResponseBody> {
    let deadline = ctx.deadline;
    let mut answer = pin!(async {
        let message = reader.single().await?;
        services.unary(ctx, message).await?.into_segments()
    });
    let outcome = match deadline {
        None => answer.await,
        Some(deadline) => timeout_at(deadline, answer.as_mut())
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded())),
    };
    match outcome {
        Ok((head, tail)) => respond(ResponseBody::unary(head, tail)),
        Err(status) => failed(&status),
    }
}

fn streaming<S: Services>(
    services: Arc<S>,
    ctx: RequestCtx,
    body: Incoming,
    limit_bytes: usize,
) -> Response<ResponseBody> {
    let deadline = ctx.deadline;
    let requests = RequestStream::new(body, &ctx.headers, limit_bytes);
    let (sink, receiver) = ResponseSink::new();
    let serving = services.streaming(ctx, requests, sink);
    let handler = tokio::spawn(async move {
        match deadline {
            None => serving.await,
            Some(deadline) => timeout_at(deadline, serving)
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded())),
        }
    });
    respond(ResponseBody::streaming(receiver, handler))
}

fn respond(body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    *response.headers_mut() = headers;
    response
}

/// A response of headers alone.
fn failed(status: &Status) -> Response<ResponseBody> {
    let mut response = respond(ResponseBody::empty());
    status.write_to(response.headers_mut());
    response
}
