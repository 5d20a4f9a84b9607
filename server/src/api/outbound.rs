//! A stream's way to its client, counted.

use std::sync::Arc;

use crate::core::Core;
use crate::rpc::{EncodedMessage, Method, ResponseSink, SinkClosed};

/// Sends responses of a stream and counts messages both ways.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    sink: ResponseSink,
    core: Arc<Core>,
    method: Method,
}

impl Outbound {
    pub(super) fn new(sink: ResponseSink, core: Arc<Core>, method: Method) -> Self {
        Self { sink, core, method }
    }

    /// A request of this many bytes was read from the stream.
    pub(super) fn received(&self, bytes: usize) {
        let grpc = self.core.metrics().grpc();
        grpc.method(self.method).received();
        grpc.received_bytes(bytes);
    }

    /// Sends, waiting while the client is behind.
    pub(super) async fn send(&self, message: EncodedMessage) -> Result<(), SinkClosed> {
        let bytes = message.len();
        self.sink.send(message).await?;
        let grpc = self.core.metrics().grpc();
        grpc.method(self.method).sent();
        grpc.sent_bytes(bytes);
        Ok(())
    }

    /// Waits until the client is gone.
    pub(super) async fn closed(&self) {
        self.sink.closed().await;
    }
}
