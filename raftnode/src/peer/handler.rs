//! What members ask of this one: everything under `/raft` of the peer URL.
//!
//! Called by the server's connection tasks. The order in which a request is judged, the statuses and the
//! texts are etcd's; members of other releases act on them.
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::Message;

use super::codec::MAX_MESSAGE_BYTES;
use super::direct::DirectSocket;
use super::headers::{PEER_URLS, RAFT_TO, peer_urls, sender, text};
use super::host::ReceiveError;
use super::metrics::count;
use super::peers::Peers;
use super::received::ReceivedBody;
use super::snapshot::{self, ReceiveFailure};
use super::stream::StreamKind;
use super::{Hex, probing, respond};

/// Body of requests and answers between members.
pub type PeerBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// No body.
pub(crate) fn empty() -> PeerBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is there already.
pub(crate) fn full(body: Bytes) -> PeerBody {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

impl Peers {
    /// Answers a request to the peer URL under `/raft`; 404 for any other path. `remote` is where it came
    /// from, for the figures.
    ///
    /// The answer to a stream's request ends when the member goes or [`stop`](Self::stop) is called: the
    /// server must limit neither how long it takes nor how long the connection's reads wait meanwhile.
    /// Writes should have a deadline ([`DeadlineIo`](super::DeadlineIo)), so that a stream whose receiver
    /// hangs is given up. Bodies are read with a limit on the wait for each piece. A server that gives the
    /// request its connection's [`DirectSocket`] as an extension has short messages written past it.
    pub async fn handle<B>(&self, request: Request<B>, remote: Option<IpAddr>) -> Response<PeerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        match request.uri().path() {
            "/raft" => self.pipeline(request, remote).await,
            "/raft/snapshot" => self.snapshot(request, remote).await,
            probing::PATH => respond::plain(probing::answer()),
            path if path.starts_with("/raft/stream/") => self.stream(&request),
            _ => respond::error(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    async fn pipeline<B>(&self, request: Request<B>, remote: Option<IpAddr>) -> Response<PeerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        if request.method() != Method::POST {
            return respond::method_not_allowed("POST");
        }
        let mut response = match self.identity().check(request.headers()) {
            Err(text) => respond::error(StatusCode::PRECONDITION_FAILED, text),
            Ok(()) => {
                self.add_sender(&request);
                self.message(request.into_body(), remote).await
            }
        };
        self.identity().sign(response.headers_mut());
        response
    }

    async fn message<B>(&self, body: B, remote: Option<IpAddr>) -> Response<PeerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let refuse = |text: &str, error: &dyn std::fmt::Display| {
            tracing::warn!(local_member_id = %Hex(self.identity().local_id), %error, "{text}");
            self.metrics().receive_failed(address(remote));
            respond::error(StatusCode::BAD_REQUEST, text)
        };
        let body = ReceivedBody::new(body, self.timings().read);
        let bytes = match body.whole(MAX_MESSAGE_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) => return refuse("error reading raft message", &error),
        };
        let len = bytes.len();
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => return refuse("error unmarshalling raft message", &error),
        };
        self.count_received(message.from, len);
        match self.receive(message) {
            Ok(()) => respond::no_content(),
            Err(error) => self.not_received(&error, "error processing raft message"),
        }
    }

    /// 403 only for what is really removed or misaddressed: a real sender stops itself upon it.
    fn not_received(&self, error: &ReceiveError, text: &str) -> Response<PeerBody> {
        match error {
            ReceiveError::Removed | ReceiveError::NotForUs => {
                respond::json_error(StatusCode::FORBIDDEN, &error.to_string())
            }
            ReceiveError::Busy | ReceiveError::Other(_) => {
                tracing::warn!(
                    local_member_id = %Hex(self.identity().local_id),
                    %error,
                    "failed to process Raft message"
                );
                let mut response = respond::error(StatusCode::INTERNAL_SERVER_ERROR, text);
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                response
            }
        }
    }

    async fn snapshot<B>(&self, request: Request<B>, remote: Option<IpAddr>) -> Response<PeerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        if request.method() != Method::POST {
            return respond::method_not_allowed("POST");
        }
        let mut response = match self.identity().check(request.headers()) {
            Err(text) => respond::error(StatusCode::PRECONDITION_FAILED, text),
            Ok(()) => {
                self.add_sender(&request);
                self.receive_snapshot(request.into_body(), remote).await
            }
        };
        self.identity().sign(response.headers_mut());
        response
    }

    async fn receive_snapshot<B>(&self, body: B, remote: Option<IpAddr>) -> Response<PeerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let began = Instant::now();
        let mut under_way = None;
        let body = ReceivedBody::new(body, self.timings().read);
        let received = snapshot::receive(body, self.snapshotter(), |message, index| {
            tracing::info!(
                local_member_id = %Hex(self.identity().local_id),
                remote_snapshot_sender_id = %Hex(message.from),
                incoming_snapshot_index = index,
                incoming_snapshot_message_size_bytes = message.encoded_len(),
                "receiving database snapshot"
            );
            self.count_received(message.from, message.encoded_len());
            under_way = Some(UnderWay::new(self, message.from));
        });
        let (message, database_bytes) = match received.await {
            Ok(received) => (received.message, received.database_bytes),
            Err(failure) => return self.no_snapshot(&failure, remote),
        };
        let from = message.from;
        let index = message.snapshot.as_ref().map_or(0, |s| s.metadata.index);
        self.count_received(from, usize::try_from(database_bytes).unwrap_or(usize::MAX));
        tracing::info!(
            local_member_id = %Hex(self.identity().local_id),
            remote_snapshot_sender_id = %Hex(from),
            incoming_snapshot_index = index,
            incoming_snapshot_size_bytes = database_bytes,
            download_took = ?began.elapsed(),
            "received and saved database snapshot"
        );
        let counters = self.metrics().member(from);
        match self.receive(message) {
            Ok(()) => {
                counters.snapshot_receive.succeeded(began.elapsed());
                respond::no_content()
            }
            Err(error) => {
                counters.snapshot_receive.failed();
                let text = format!("failed to process raft message ({error})");
                self.not_received(&error, &text)
            }
        }
    }

    fn no_snapshot(&self, failure: &ReceiveFailure, remote: Option<IpAddr>) -> Response<PeerBody> {
        let (status, from) = match failure {
            ReceiveFailure::Envelope { .. } => {
                self.metrics().receive_failed(address(remote));
                (StatusCode::BAD_REQUEST, None)
            }
            ReceiveFailure::WrongType { from } => (StatusCode::BAD_REQUEST, Some(from)),
            ReceiveFailure::Save { from, .. } => (StatusCode::INTERNAL_SERVER_ERROR, Some(from)),
        };
        if let Some(from) = from {
            self.metrics().member(*from).snapshot_receive.failed();
        }
        tracing::warn!(
            local_member_id = %Hex(self.identity().local_id),
            remote_snapshot_sender_id = %Hex(from.copied().unwrap_or_default()),
            error = %failure,
            "failed to receive a database snapshot"
        );
        let mut response = respond::error(status, &failure.to_string());
        // What is left of the body is not worth reading.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response
    }

    fn stream<B>(&self, request: &Request<B>) -> Response<PeerBody> {
        if request.method() != Method::GET {
            return respond::method_not_allowed("GET");
        }
        let mut response = self
            .open_stream(request)
            .unwrap_or_else(|(status, text)| respond::error(status, text));
        self.identity().sign(response.headers_mut());
        self.identity().sign_version(response.headers_mut());
        response
    }

    fn open_stream<B>(
        &self,
        request: &Request<B>,
    ) -> Result<Response<PeerBody>, (StatusCode, &'static str)> {
        let headers = request.headers();
        self.identity()
            .check(headers)
            .map_err(|text| (StatusCode::PRECONDITION_FAILED, text))?;
        let path = request.uri().path();
        let (endpoint, from) = path.rsplit_once('/').unwrap_or_default();
        let kind = [StreamKind::Append, StreamKind::Message]
            .into_iter()
            .find(|kind| kind.endpoint() == endpoint)
            .ok_or((StatusCode::NOT_FOUND, "invalid path"))?;
        let local_member_id = Hex(self.identity().local_id);
        let Some(from) = Hex::parse(from) else {
            tracing::warn!(%local_member_id, path = from, "failed to parse path into ID");
            return Err((StatusCode::NOT_FOUND, "invalid from"));
        };
        if self.is_removed(from) {
            tracing::warn!(
                %local_member_id,
                remote_peer_id_from = %Hex(from),
                "rejected stream from remote peer because it was removed"
            );
            return Err((StatusCode::GONE, "removed member"));
        }
        let Some(writer) = self.writer(from, kind) else {
            // We may lag behind the change that added it: then it must be able to send us that.
            if headers.contains_key(PEER_URLS)
                && let Some(urls) = peer_urls(headers)
            {
                self.add_remote(from, &urls);
            }
            tracing::warn!(
                %local_member_id,
                remote_peer_id_from = %Hex(from),
                cluster_id = %Hex(self.identity().cluster_id),
                "failed to find remote peer in cluster"
            );
            return Err((StatusCode::NOT_FOUND, "error sender not found"));
        };
        let to = text(headers, &RAFT_TO).unwrap_or_default();
        if to != local_member_id.to_string() {
            tracing::warn!(
                %local_member_id,
                remote_peer_id_header = to,
                remote_peer_id_from = %Hex(from),
                cluster_id = %Hex(self.identity().cluster_id),
                "ignored streaming request; ID mismatch"
            );
            return Err((StatusCode::PRECONDITION_FAILED, "to field mismatch"));
        }
        // Only this version has bodies in chunks.
        let socket = request.extensions().get::<DirectSocket>();
        let socket = socket.filter(|_| request.version() == Version::HTTP_11);
        Ok(Response::new(writer.attach(socket.cloned()).boxed_unsync()))
    }

    /// Whoever posts something can be answered, even if we do not know it yet.
    fn add_sender<B>(&self, request: &Request<B>) {
        if let Some((from, urls)) = sender(request.headers()) {
            self.add_remote(from, &urls);
        }
    }

    fn count_received(&self, from: u64, bytes: usize) {
        count(&self.metrics().member(from).received_bytes, bytes);
    }
}

fn address(remote: Option<IpAddr>) -> String {
    remote.map_or_else(|| "@".to_owned(), |address| address.to_string())
}

/// Counts a snapshot as under way for as long as it lives.
struct UnderWay<'p> {
    peers: &'p Peers,
    from: u64,
}

impl<'p> UnderWay<'p> {
    fn new(peers: &'p Peers, from: u64) -> Self {
        peers.metrics().member(from).snapshot_receive.began();
        Self { peers, from }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let counters = self.peers.metrics().member(self.from);
        counters.snapshot_receive.ended();
    }
}
