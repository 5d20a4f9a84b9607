//! Who may ask: the host whitelist and cross-origin rules of etcd's client listener.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};

use super::{header as value_of, host_of, response};
use crate::config::Access;

const METHODS: &str = "POST, GET, OPTIONS, PUT, DELETE";
const HEADERS: &str = "accept, content-type, authorization";

/// The rules of one member.
#[derive(Debug)]
pub(super) struct AccessControl {
    origins: Access,
    hosts: Access,
}

impl AccessControl {
    pub(super) fn new(origins: Access, hosts: Access) -> Self {
        Self { origins, hosts }
    }

    /// Refuses a request that names a host we are not known by: it may come from a page that had its
    /// own name resolved to our address.
    pub(super) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let host = host_of(request);
        if self.hosts.allows(host) {
            return None;
        }
        tracing::warn!(
            host,
            "rejected HTTP request from a host that is not in --host-whitelist"
        );
        let hint = format!(
            "the host {host:?} of this request is not one this server answers for.\n\
             The operator can add it with --host-whitelist={host:?} (or '*' for any host)"
        );
        Some(response::error(StatusCode::MISDIRECTED_REQUEST, &hint))
    }

    /// The origin to be named in the answer, if any is allowed.
    pub(super) fn allowed<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        if self.origins == Access::Any {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = value_of(request.headers(), &header::ORIGIN)?;
        if self.origins.allows(origin) {
            HeaderValue::from_str(origin).ok()
        } else {
            None
        }
    }

    /// Tells a browser what it may do.
    pub(super) fn mark<B>(&self, request: &Request<B>, headers: &mut HeaderMap) {
        let Some(origin) = self.allowed(request) else {
            return;
        };
        let fields: [(HeaderName, HeaderValue); 3] = [
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(HEADERS),
            ),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(METHODS),
            ),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        ];
        for (name, value) in fields {
            headers.insert(name, value);
        }
    }
}
