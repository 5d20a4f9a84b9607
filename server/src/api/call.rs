//! One call in the gRPC metrics, from its beginning to whatever ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::rpc::{Code, EncodedMessage, Method, Status};

/// A call that is being served. Dropped before its end, it counts as cancelled: the client went away
/// or its deadline passed.
#[derive(Debug)]
pub(super) struct Call {
    core: Arc<Core>,
    method: Method,
    began: Instant,
    ended: bool,
}

impl Call {
    pub(super) fn begin(core: &Arc<Core>, method: Method) -> Self {
        core.metrics().grpc().method(method).started();
        Self {
            core: Arc::clone(core),
            method,
            began: Instant::now(),
            ended: false,
        }
    }

    /// The only request of a unary call.
    pub(super) fn received(&self, bytes: usize) {
        let grpc = self.core.metrics().grpc();
        grpc.method(self.method).received();
        grpc.received_bytes(bytes);
    }

    /// A unary call is answered. Returns how long it took.
    pub(super) fn end(&mut self, outcome: &Result<EncodedMessage, Status>) -> Duration {
        if let Ok(message) = outcome {
            let grpc = self.core.metrics().grpc();
            grpc.method(self.method).sent();
            grpc.sent_bytes(message.len());
        }
        self.finish(outcome.as_ref().map_or_else(Status::code, |_| Code::Ok))
    }

    /// A stream ended; its messages were counted as they went.
    pub(super) fn end_stream(&mut self, outcome: &Result<(), Status>) {
        self.finish(outcome.as_ref().map_or_else(Status::code, |()| Code::Ok));
    }

    fn finish(&mut self, code: Code) -> Duration {
        let took = self.began.elapsed();
        self.ended = true;
        self.core
            .metrics()
            .grpc()
            .method(self.method)
            .handled(code, took);
        took
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Code::Canceled);
        }
    }
}
