//! The receiver's end of a stream: dials, decodes, hands over, and begins again when it breaks.
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use varve_proto::raftpb::Message;

use super::StreamKind;
use crate::peer::Hex;
use crate::peer::client::{Driver, PeerClient, address, failed, read_answer};
use crate::peer::codec::{AppendDecoder, Frame, MessageDecoder};
use crate::peer::error::PeerError;
use crate::peer::handler::empty;
use crate::peer::headers::{
    CLUSTER_ID_MISMATCH, INCOMPATIBLE_VERSION, Identity, SERVER_VERSION, text,
};
use crate::peer::host::ReceiveError;
use crate::peer::metrics::count;
use crate::peer::peers::Link;
use crate::peer::url::PeerUrl;
use crate::peer::version::Release;

/// Keeps one stream from a member open, for ever. Its task is aborted when the member goes.
pub(crate) struct StreamReader {
    pub(crate) kind: StreamKind,
    pub(crate) link: Arc<Link>,
    pub(crate) client: PeerClient,
    pub(crate) identity: Arc<Identity>,
}

/// A stream that was opened.
struct Open {
    url: PeerUrl,
    body: Incoming,
    drive: Drive,
}

enum Decoder {
    Append(AppendDecoder),
    Message(MessageDecoder),
}

impl Decoder {
    fn push(&mut self, piece: Bytes) {
        match self {
            Self::Append(decoder) => decoder.push(piece),
            Self::Message(decoder) => decoder.push(piece),
        }
    }

    fn decode(&mut self) -> Result<Option<Frame>, PeerError> {
        Ok(match self {
            Self::Append(decoder) => decoder.decode()?,
            Self::Message(decoder) => decoder.decode()?,
        })
    }
}

impl StreamReader {
    /// Runs until it is aborted.
    pub(crate) async fn run(self) {
        loop {
            let began = Instant::now();
            match self.dial().await {
                Ok(open) => {
                    self.link.status.activate();
                    tracing::info!(
                        stream_reader_type = %self.kind,
                        local_member_id = %Hex(self.link.local_id),
                        remote_peer_id = %Hex(self.link.id),
                        "established TCP streaming connection with remote peer"
                    );
                    self.read(open).await;
                }
                // A matter of releases, not of health.
                Err(PeerError::UnsupportedStream) => {}
                Err(error) => {
                    let what = format_args!("dial {}", self.kind);
                    self.link.status.deactivate(what, &error);
                }
            }
            tokio::time::sleep_until(began + self.link.timings.redial).await;
        }
    }

    async fn dial(&self) -> Result<Open, PeerError> {
        let url = self.link.picker.pick();
        let opened = self.open(&url).await;
        if let Err(error) = &opened {
            self.link.picker.unreachable(&url);
            if matches!(error, PeerError::Removed) {
                self.link.removed_from_cluster();
            }
        }
        opened
    }

    async fn open(&self, url: &PeerUrl) -> Result<Open, PeerError> {
        let path = format!("{}/{}", self.kind.endpoint(), Hex(self.link.local_id));
        let mut request = self.identity.get(&path, self.link.id, empty());
        address(url, &mut request);
        let (mut sender, driver) = self.client.open_stream(url).await?;
        let mut drive = Drive::new(driver);
        let response = drive
            .beside(sender.send_request(request))
            .await
            .map_err(|source| failed(url, source))?;
        self.check_release(&response)?;
        if response.status() == StatusCode::OK {
            return Ok(Open {
                url: url.clone(),
                body: response.into_body(),
                drive,
            });
        }
        let answer = drive.beside(read_answer(url, response)).await?;
        Err(self.refusal(url, &answer))
    }

    /// A version that cannot be read is as one that is too old: this member only does without the stream.
    fn check_release(&self, response: &Response<Incoming>) -> Result<(), PeerError> {
        let header = text(response.headers(), &SERVER_VERSION);
        match Release::of_header(header) {
            Some(release) if release >= self.identity.release || release.has_streams() => Ok(()),
            _ => Err(PeerError::UnsupportedStream),
        }
    }

    fn refusal(&self, url: &PeerUrl, answer: &Response<Bytes>) -> PeerError {
        let body = String::from_utf8_lossy(answer.body());
        let said = body.trim_end_matches('\n');
        match answer.status() {
            StatusCode::GONE => PeerError::Removed,
            StatusCode::NOT_FOUND => PeerError::NotFound {
                peer: self.link.id,
                local: self.link.local_id,
            },
            StatusCode::PRECONDITION_FAILED if said == INCOMPATIBLE_VERSION => {
                tracing::warn!(
                    local_member_id = %Hex(self.link.local_id),
                    remote_peer_id = %Hex(self.link.id),
                    "request sent was ignored by remote peer due to server version incompatibility"
                );
                PeerError::IncompatibleVersion
            }
            StatusCode::PRECONDITION_FAILED if said == CLUSTER_ID_MISMATCH => {
                tracing::warn!(
                    local_member_id = %Hex(self.link.local_id),
                    local_member_cluster_id = %Hex(self.identity.cluster_id),
                    remote_peer_id = %Hex(self.link.id),
                    "request sent was ignored by remote peer due to cluster ID mismatch"
                );
                PeerError::ClusterIdMismatch
            }
            status => PeerError::Status {
                url: url.to_string(),
                status,
                body: said.to_owned(),
            },
        }
    }

    /// Hands over what comes until the stream ends.
    async fn read(&self, mut open: Open) {
        let error = match self.decode(&mut open).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tracing::warn!(
            stream_reader_type = %self.kind,
            local_member_id = %Hex(self.link.local_id),
            remote_peer_id = %Hex(self.link.id),
            %error,
            "lost TCP streaming connection with remote peer"
        );
        // Ended in order, it will be there again in a moment.
        if !matches!(error, PeerError::Ended) {
            let what = format_args!("read {}", self.kind);
            self.link.status.deactivate(what, &error);
        }
    }

    async fn decode(&self, open: &mut Open) -> Result<std::convert::Infallible, PeerError> {
        let mut decoder = match self.kind {
            StreamKind::Append => {
                Decoder::Append(AppendDecoder::new(self.link.local_id, self.link.id))
            }
            StreamKind::Message => Decoder::Message(MessageDecoder::default()),
        };
        loop {
            let frame = open.drive.beside(open.body.frame()).await;
            let piece = match frame {
                None => return Err(PeerError::Ended),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(source)) => return Err(failed(&open.url, source)),
            };
            count(&self.link.counters.received_bytes, piece.len());
            decoder.push(piece);
            while let Some(frame) = decoder.decode()? {
                if let Frame::Message(message) = frame {
                    self.hand_over(*message);
                }
            }
        }
    }

    fn hand_over(&self, message: Message) {
        let kind = message.r#type;
        let Err(error) = self.link.receive(message) else {
            return;
        };
        if error == ReceiveError::Busy {
            count(&self.link.counters.received_failures, 1);
            tracing::warn!(
                message_type = kind,
                local_member_id = %Hex(self.link.local_id),
                from = %Hex(self.link.id),
                "dropped internal Raft message since receiving buffer is full (overloaded network)"
            );
        } else {
            tracing::warn!(
                local_member_id = %Hex(self.link.local_id),
                from = %Hex(self.link.id),
                %error,
                "failed to process Raft message"
            );
        }
    }
}

/// What drives a connection, until it has nothing more to bring.
struct Drive(Option<Pin<Box<Driver>>>);

impl Drive {
    fn new(driver: Driver) -> Self {
        Self(Some(Box::pin(driver)))
    }

    /// Drives the connection until what is waited for on it is there. One task does both, so that a
    /// message wakes nobody else on its way.
    async fn beside<F: Future>(&mut self, wanted: F) -> F::Output {
        let mut wanted = pin!(wanted);
        if let Some(driver) = &mut self.0 {
            let ended = tokio::select! {
                biased;
                done = wanted.as_mut() => return done,
                ended = driver.as_mut() => ended,
            };
            self.0 = None;
            if let Err(error) = ended {
                tracing::debug!(%error, "a stream's connection ended");
            }
        }
        // Either it is there already, or it fails.
        wanted.await
    }
}
