//! Both ends of a streaming call, as a handler sees them.

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::frame::MessageReader;
use super::{EncodedMessage, Status};

/// Messages that wait for the connection. HTTP/2 flow control decides when it takes more; whoever
/// sends beyond this waits, so a slow client holds this many messages and no more.
const SINK_MESSAGES: usize = 16;

/// The client's messages.
#[derive(Debug)]
pub struct RequestStream {
    reader: MessageReader<Incoming>,
}

impl RequestStream {
    pub(super) fn new(body: Incoming, headers: &HeaderMap, limit_bytes: usize) -> Self {
        Self {
            reader: MessageReader::new(body, headers, limit_bytes),
        }
    }

    /// The next message. None after the client's last one: it may still be waiting for answers.
    /// An error is the last thing that comes.
    pub async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        self.reader.next().await.transpose()
    }

    /// The only message of a call with one request.
    pub async fn single(&mut self) -> Result<Bytes, Status> {
        self.reader.single().await
    }
}

/// The way to the client. Clones send into the same stream; it ends when the handler returns.
#[derive(Debug, Clone)]
pub struct ResponseSink {
    sender: mpsc::Sender<EncodedMessage>,
}

/// The client is gone, and the handler may stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client no longer listens")]
pub struct SinkClosed;

/// Why a message could not be sent at once.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrySendError {
    /// The client is behind; the message comes back.
    #[error("the client is behind")]
    Full(EncodedMessage),
    /// The client is gone.
    #[error("the client no longer listens")]
    Closed,
}

impl ResponseSink {
    pub(super) fn new() -> (Self, mpsc::Receiver<EncodedMessage>) {
        let (sender, receiver) = mpsc::channel(SINK_MESSAGES);
        (Self { sender }, receiver)
    }

    /// Sends, waiting while the client is behind.
    pub async fn send(&self, message: EncodedMessage) -> Result<(), SinkClosed> {
        self.sender.send(message).await.map_err(|_| SinkClosed)
    }

    /// Sends without waiting.
    pub fn try_send(&self, message: EncodedMessage) -> Result<(), TrySendError> {
        self.sender.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) => TrySendError::Full(message),
            mpsc::error::TrySendError::Closed(_) => TrySendError::Closed,
        })
    }

    /// Waits until the client is gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl From<SinkClosed> for Status {
    fn from(_: SinkClosed) -> Self {
        Self::canceled()
    }
}
