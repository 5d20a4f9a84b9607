//! Answers in the shape Go's net/http gives them.
use http::{HeaderValue, Response, StatusCode, header};

use super::handler::{PeerBody, empty, full};

/// Go's `http.Error`: the text and a line feed.
pub(crate) fn error(status: StatusCode, text: &str) -> Response<PeerBody> {
    let mut response = Response::new(full(format!("{text}\n").into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Only this method is allowed.
pub(crate) fn method_not_allowed(allow: &'static str) -> Response<PeerBody> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Done, and nothing to say.
pub(crate) fn no_content() -> Response<PeerBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A refusal as JSON, the way etcd's v2 API has it.
pub(crate) fn json_error(status: StatusCode, message: &str) -> Response<PeerBody> {
    let json = serde_json::json!({ "message": message }).to_string();
    let mut response = Response::new(full(json.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// JSON that Go writes without saying that it is.
pub(crate) fn plain(body: String) -> Response<PeerBody> {
    let mut response = Response::new(full(body.into()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
