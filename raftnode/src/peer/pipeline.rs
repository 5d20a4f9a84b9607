//! Messages that no stream takes, each posted alone.
//!
//! Whoever sends puts a message into the queue; four tasks for each member post what is there, each over
//! a connection of its own that it keeps while it is used.
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::{Mutex, mpsc};
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Message, MessageType};

use super::Hex;
use super::client::{Link as Connection, PeerClient};
use super::error::PeerError;
use super::handler::full;
use super::headers::{CLUSTER_ID, CLUSTER_ID_MISMATCH, INCOMPATIBLE_VERSION, Identity, text};
use super::metrics::count;
use super::peers::Link;
use super::url::PeerUrl;

const PATH: &str = "/raft";
const CONTENT_TYPE: &str = "application/protobuf";
/// Posts under way for one member (etcd's number).
const POSTERS: usize = 4;
/// Messages that may wait: enough for a network that is away for less than a second.
const QUEUE_MESSAGES: usize = 64;
/// The error of a member that says so in JSON: it removed us. (The other 403, a message to an id it does
/// not have, comes of an address that changed hands, and is no reason to stop.)
const REMOVED: &str = "removed member";

/// The queue of one member.
#[derive(Debug)]
pub(crate) struct Pipeline {
    queue: mpsc::Sender<Message>,
}

impl Pipeline {
    /// A queue, and the tasks that empty it.
    pub(crate) fn new(
        link: &Arc<Link>,
        client: &PeerClient,
        identity: &Arc<Identity>,
    ) -> (Self, Vec<Poster>) {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let messages = Arc::new(Mutex::new(messages));
        let posters = (0..POSTERS).map(|_| Poster {
            link: Arc::clone(link),
            client: client.clone(),
            identity: Arc::clone(identity),
            messages: Arc::clone(&messages),
            connection: None,
        });
        (Self { queue }, posters.collect())
    }

    /// Queues a message; false when there is no room and it was dropped.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.queue.try_send(message).is_ok()
    }
}

/// Posts what waits, one message after the other.
#[derive(Debug)]
pub(crate) struct Poster {
    link: Arc<Link>,
    client: PeerClient,
    identity: Arc<Identity>,
    messages: Arc<Mutex<mpsc::Receiver<Message>>>,
    connection: Option<Connection>,
}

impl Poster {
    /// Runs until the queue is dropped or the task is aborted.
    pub(crate) async fn run(mut self) {
        loop {
            let next = self.messages.lock().await.recv().await;
            let Some(message) = next else { return };
            let is_snapshot = message.r#type == i32::from(MessageType::MsgSnap);
            let body = Bytes::from(message.encode_to_vec());
            let len = body.len();
            let sent = self.post(body).await;
            match &sent {
                Ok(()) => {
                    self.link.status.activate();
                    count(&self.link.counters.sent_bytes, len);
                }
                Err(error) => {
                    self.link.status.deactivate("write pipeline", error);
                    count(&self.link.counters.sent_failures, 1);
                    self.link.report_unreachable();
                }
            }
            if is_snapshot {
                self.link.report_snapshot(sent.is_ok());
            }
        }
    }

    async fn post(&mut self, body: Bytes) -> Result<(), PeerError> {
        let url = self.link.picker.pick();
        let posted = match self.exchange(&url, body).await {
            Ok(answer) => check_answer(&self.link, &self.identity, &url, &answer),
            Err(error) => Err(error),
        };
        if let Err(error) = &posted {
            self.connection = None;
            self.link.picker.unreachable(&url);
            if matches!(error, PeerError::Removed) {
                self.link.removed_from_cluster();
            }
        }
        posted
    }

    /// Over the connection that is there, or a new one; over a new one also when the old one turns out
    /// to have been closed: the peer may do so at any moment.
    async fn exchange(&mut self, url: &PeerUrl, body: Bytes) -> Result<Response<Bytes>, PeerError> {
        let timings = self.client.timings();
        let kept = self.connection.take();
        if let Some(mut connection) = kept.filter(|c| c.is_fresh(url, timings)) {
            let request = self.identity.post(PATH, CONTENT_TYPE, full(body.clone()));
            if let Ok(answer) = connection.exchange(request).await {
                self.connection = Some(connection);
                return Ok(answer);
            }
        }
        let mut connection = self.client.open(url).await?;
        let request = self.identity.post(PATH, CONTENT_TYPE, full(body));
        let answer = connection.exchange(request).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// What a member answered to something posted.
pub(crate) fn check_answer(
    link: &Link,
    identity: &Identity,
    url: &PeerUrl,
    answer: &Response<Bytes>,
) -> Result<(), PeerError> {
    let body = String::from_utf8_lossy(answer.body());
    let said = body.trim_end_matches('\n');
    match answer.status() {
        StatusCode::NO_CONTENT => Ok(()),
        StatusCode::FORBIDDEN if said.contains(REMOVED) => Err(PeerError::Removed),
        StatusCode::PRECONDITION_FAILED if said == INCOMPATIBLE_VERSION => {
            tracing::error!(
                remote_peer_id = %Hex(link.id),
                "request sent was ignored by peer"
            );
            Err(PeerError::IncompatibleVersion)
        }
        StatusCode::PRECONDITION_FAILED if said == CLUSTER_ID_MISMATCH => {
            tracing::error!(
                remote_peer_id = %Hex(link.id),
                remote_peer_cluster_id = text(answer.headers(), &CLUSTER_ID),
                local_member_cluster_id = %Hex(identity.cluster_id),
                "request sent was ignored due to cluster ID mismatch"
            );
            Err(PeerError::ClusterIdMismatch)
        }
        status => Err(PeerError::Status {
            url: url.to_string(),
            status,
            body: said.to_owned(),
        }),
    }
}
