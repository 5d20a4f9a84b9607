//! Responses in the shape Go's net/http gives them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// A response with a body of this type.
pub(super) fn body(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Plain text that browsers must not guess about.
pub(super) fn text(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = body(status, "text/plain; charset=utf-8", text.into());
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Go's `http.Error`: the text and a line feed.
pub(super) fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    text(status, format!("{message}\n"))
}

/// Go's answer to an unknown path.
pub(super) fn not_found() -> Response<Bytes> {
    error(StatusCode::NOT_FOUND, "404 page not found")
}

/// The answer to everything but GET.
pub(super) fn method_not_allowed() -> Response<Bytes> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}
