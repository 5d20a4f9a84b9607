//! Requests to other members' peer URLs beside raft's own traffic: who belongs to the cluster, which
//! version runs, what a lease has left, what the content's hash is.
//!
//! Runs on the tokio runtime, over the peer transport's client (connections, TLS, limits are its).
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};

/// Why a member gave no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PeerError {
    /// It gave none.
    #[error(transparent)]
    NoAnswer(#[from] varve_raftnode::PeerError),
    /// The answer is not what was asked for.
    #[error("{url}: unexpected answer: {what}")]
    Unexpected { url: String, what: String },
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text, for errors; without the line end that Go appends.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// Asks members.
#[derive(Clone, Debug)]
pub(crate) struct PeerClient {
    inner: varve_raftnode::PeerClient,
}

impl PeerClient {
    pub(crate) fn new(inner: varve_raftnode::PeerClient) -> Self {
        Self { inner }
    }

    /// GET of `path` at `url`.
    pub(crate) async fn get(
        &self,
        url: &str,
        path: &str,
        timeout: Duration,
    ) -> Result<Answer, PeerError> {
        let nothing = (HeaderMap::new(), Bytes::new());
        self.ask(Method::GET, url, path, nothing, timeout).await
    }

    /// Any request.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        path: &str,
        (headers, body): (HeaderMap, Bytes),
        timeout: Duration,
    ) -> Result<Answer, PeerError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.uri_mut() =
            path.parse()
                .map_err(|e: http::uri::InvalidUri| PeerError::Unexpected {
                    url: url.to_owned(),
                    what: format!("{path}: {e}"),
                })?;
        let response = self
            .inner
            .request(&[url.to_owned()], request, timeout)
            .await?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}

#[cfg(test)]
mod tests;
