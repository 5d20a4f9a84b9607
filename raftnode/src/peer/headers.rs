//! What members say of themselves in every request, and whether they may talk to each other.
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::Hex;
use super::config::PeerConfig;
use super::error::PeerError;
use super::handler::PeerBody;
use super::url::PeerUrl;
use super::version::{MIN_CLUSTER_VERSION, Release};

pub(crate) const SERVER_FROM: HeaderName = HeaderName::from_static("x-server-from");
pub(crate) const SERVER_VERSION: HeaderName = HeaderName::from_static("x-server-version");
pub(crate) const MIN_CLUSTER: HeaderName = HeaderName::from_static("x-min-cluster-version");
pub(crate) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
pub(crate) const PEER_URLS: HeaderName = HeaderName::from_static("x-peerurls");
pub(crate) const RAFT_TO: HeaderName = HeaderName::from_static("x-raft-to");

pub(crate) const INCOMPATIBLE_VERSION: &str = "incompatible version";
pub(crate) const CLUSTER_ID_MISMATCH: &str = "cluster ID mismatch";

/// Who this member is, ready for headers.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) local_id: u64,
    pub(crate) cluster_id: u64,
    pub(crate) release: Release,
    /// Of every request.
    headers: HeaderMap,
    version: HeaderValue,
    cluster: HeaderValue,
}

impl Identity {
    /// Checks what a real member would stumble over: the version and the URLs.
    pub(crate) fn new(config: &PeerConfig) -> Result<Self, PeerError> {
        let no_version = || PeerError::Version(config.server_version.clone());
        let release = Release::parse(&config.server_version).ok_or_else(no_version)?;
        let version = value(&config.server_version).ok_or_else(no_version)?;
        let cluster = hex(config.cluster_id);
        let mut headers = HeaderMap::new();
        headers.insert(SERVER_FROM, hex(config.local_id));
        headers.insert(SERVER_VERSION, version.clone());
        headers.insert(MIN_CLUSTER, HeaderValue::from_static(MIN_CLUSTER_VERSION));
        headers.insert(CLUSTER_ID, cluster.clone());
        if !config.advertised_urls.is_empty() {
            let urls = PeerUrl::parse_all(&config.advertised_urls)?;
            let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
            if let Some(urls) = value(&urls.join(",")) {
                headers.insert(PEER_URLS, urls);
            }
        }
        Ok(Self {
            local_id: config.local_id,
            cluster_id: config.cluster_id,
            release,
            headers,
            version,
            cluster,
        })
    }

    /// A request that opens a stream of the member `to`.
    pub(crate) fn get(&self, path: &str, to: u64, body: PeerBody) -> Request<PeerBody> {
        let mut request = self.request(Method::GET, path, body);
        request.headers_mut().insert(RAFT_TO, hex(to));
        request
    }

    /// A request that hands something over.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: PeerBody,
    ) -> Request<PeerBody> {
        let mut request = self.request(Method::POST, path, body);
        let content_type = HeaderValue::from_static(content_type);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        request
    }

    fn request(&self, method: Method, path: &str, body: PeerBody) -> Request<PeerBody> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// What every answer says.
    pub(crate) fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(CLUSTER_ID, self.cluster.clone());
    }

    /// What the answer to a stream's request says beside.
    pub(crate) fn sign_version(&self, headers: &mut HeaderMap) {
        headers.insert(SERVER_VERSION, self.version.clone());
    }

    /// Whether the sender of a request may talk to this member; otherwise what to answer with 412.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        // A version that is none: where a real member panics and drops the connection, it is refused.
        let release = Release::of_header(text(headers, &SERVER_VERSION));
        let min_cluster = Release::of_header(text(headers, &MIN_CLUSTER));
        let compatible = release
            .zip(min_cluster)
            .is_some_and(|(release, min)| release.may_send_to(min, self.release));
        if !compatible {
            tracing::warn!(
                local_member_id = %Hex(self.local_id),
                remote_peer_server_name = text(headers, &SERVER_FROM),
                remote_peer_server_version = text(headers, &SERVER_VERSION),
                remote_peer_server_minimum_cluster_version = text(headers, &MIN_CLUSTER),
                "failed version compatibility check"
            );
            return Err(INCOMPATIBLE_VERSION);
        }
        if headers.get(CLUSTER_ID) != Some(&self.cluster) {
            tracing::warn!(
                local_member_id = %Hex(self.local_id),
                local_member_cluster_id = %Hex(self.cluster_id),
                remote_peer_server_name = text(headers, &SERVER_FROM),
                remote_peer_cluster_id = text(headers, &CLUSTER_ID),
                "request cluster ID mismatch"
            );
            return Err(CLUSTER_ID_MISMATCH);
        }
        Ok(())
    }
}

/// Who sends, and where it can be reached, when the request says both.
pub(crate) fn sender(headers: &HeaderMap) -> Option<(u64, Vec<String>)> {
    let from = Hex::parse(text(headers, &SERVER_FROM)?)?;
    Some((from, peer_urls(headers)?))
}

/// Where the sender can be reached.
pub(crate) fn peer_urls(headers: &HeaderMap) -> Option<Vec<String>> {
    let urls = text(headers, &PEER_URLS).filter(|urls| !urls.is_empty())?;
    Some(urls.split(',').map(str::to_owned).collect())
}

/// A header as text.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

fn hex(id: u64) -> HeaderValue {
    HeaderValue::from_str(&Hex(id).to_string()).expect("hexadecimal digits make a header")
}
