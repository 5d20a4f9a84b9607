//! Sending a snapshot.
//!
//! One task for each: it posts the message and then what a reader gives, which a thread that may block
//! reads ahead by a few pieces, no faster than [`Pace`] lets it. The outcome is reported in every case, also
//! when the task is aborted.
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use varve_proto::raftpb::Message;

use super::PATH;
use super::pace::Pace;
use crate::peer::Hex;
use crate::peer::client::PeerClient;
use crate::peer::codec::{Output, encode_message};
use crate::peer::error::PeerError;
use crate::peer::headers::Identity;
use crate::peer::metrics::count;
use crate::peer::peers::Link;
use crate::peer::pipeline::check_answer;
use crate::state_machine::StateExport;

const CONTENT_TYPE: &str = "application/octet-stream";
/// Bytes read at once, and pieces read ahead.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;
/// The receiver syncs what it wrote before it answers; a slow disk does a few mebibytes a second.
const ANSWER_PER_MEBIBYTE: Duration = Duration::from_millis(500);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends one snapshot.
pub(crate) struct SnapshotSender {
    pub(crate) client: PeerClient,
    pub(crate) identity: Arc<Identity>,
    pub(crate) message: Message,
    pub(crate) state: StateExport,
    pub(crate) outcome: Outcome,
}

/// Reports how it ended when it is dropped: badly, unless said otherwise.
#[derive(Debug)]
pub(crate) struct Outcome {
    link: Arc<Link>,
    sent: bool,
}

impl Outcome {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        link.counters.snapshot_send.began();
        Self { link, sent: false }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.link.counters.snapshot_send.ended();
        if !self.sent {
            count(&self.link.counters.sent_failures, 1);
            self.link.counters.snapshot_send.failed();
            self.link.report_unreachable();
        }
        self.link.report_snapshot(self.sent);
    }
}

impl SnapshotSender {
    /// Sends it.
    pub(crate) async fn run(self) {
        let began = Instant::now();
        let Self {
            client,
            identity,
            message,
            state,
            mut outcome,
        } = self;
        let link = Arc::clone(&outcome.link);
        let index = message.snapshot.as_ref().map_or(0, |s| s.metadata.index);
        let mut envelope = Output::default();
        encode_message(&message, &mut envelope);
        let bytes = envelope.len() as u64 + state.len;
        tracing::info!(
            snapshot_index = index,
            remote_peer_id = %Hex(link.id),
            bytes,
            "sending database snapshot"
        );
        let url = link.picker.pick();
        let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        let answer_time = link.timings.snapshot_answer + ANSWER_PER_MEBIBYTE * mebibytes;
        let posted = async {
            let mut connection = client.open_with(&url, answer_time).await?;
            let body = SnapshotBody::new(envelope, state, Arc::clone(&link)).boxed_unsync();
            let request = identity.post(PATH, CONTENT_TYPE, body);
            let answer = connection.exchange(request).await?;
            check_answer(&link, &identity, &url, &answer)
        };
        match posted.await {
            Ok(()) => {
                link.status.activate();
                count(
                    &link.counters.sent_bytes,
                    usize::try_from(bytes).unwrap_or(usize::MAX),
                );
                link.counters.snapshot_send.succeeded(began.elapsed());
                tracing::info!(
                    snapshot_index = index,
                    remote_peer_id = %Hex(link.id),
                    bytes,
                    "sent database snapshot"
                );
                outcome.sent = true;
            }
            Err(error) => {
                tracing::warn!(
                    snapshot_index = index,
                    remote_peer_id = %Hex(link.id),
                    bytes,
                    %error,
                    "failed to send database snapshot"
                );
                if matches!(error, PeerError::Removed) {
                    link.removed_from_cluster();
                }
                link.picker.unreachable(&url);
                link.status.deactivate("post snapshot", &error);
            }
        }
    }
}

/// The message, then exactly as many bytes as were announced: fewer or more break the request off, so
/// that the receiver does not take it for a whole one.
struct SnapshotBody {
    envelope: Output,
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
    missing: u64,
}

impl SnapshotBody {
    fn new(envelope: Output, state: StateExport, link: Arc<Link>) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let missing = state.len;
        tokio::task::spawn_blocking(move || read_ahead(state.reader, &link, &sender));
        Self {
            envelope,
            pieces,
            missing,
        }
    }
}

/// Reads to the end, or until nobody wants more, at a pace that leaves clients theirs.
fn read_ahead(
    mut reader: Box<dyn Read + Send>,
    link: &Link,
    pieces: &mpsc::Sender<std::io::Result<Bytes>>,
) {
    let mut pace = Pace::new(Instant::now(), link.applied());
    loop {
        let mut piece = BytesMut::zeroed(PIECE_BYTES);
        let read = match reader.read(&mut piece) {
            Ok(0) => return,
            Ok(len) => {
                piece.truncate(len);
                Ok(piece.freeze())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        if let Ok(piece) = &read {
            std::thread::sleep(pace.wait(Instant::now(), link.applied(), piece.len()));
        }
        let failed = read.is_err();
        if pieces.blocking_send(read).is_err() || failed {
            return;
        }
    }
}

impl Body for SnapshotBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(piece) = self.envelope.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let piece = match std::task::ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None if self.missing == 0 => return Poll::Ready(None),
            None => {
                let error = format!("the database is {} bytes short", self.missing);
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        match self.missing.checked_sub(piece.len() as u64) {
            Some(missing) => {
                self.missing = missing;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => {
                let error = "the database is longer than was announced";
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }
}
