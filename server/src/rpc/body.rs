//! Response bodies: data, then trailers that say how the call ended.
//!
//! hyper polls them on the connection's or the request's task. Data is given out in pieces that
//! HTTP/2 frames as they are; the trailers follow without another turn.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{EncodedMessage, Status};

/// Any error of a body.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Body of a response that is not gRPC.
pub type HttpBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Streamed messages are gathered into pieces of about this many bytes: HTTP/2's usual frame.
const GATHER_BYTES: usize = 16 * 1024;

/// Body of any response.
pub struct ResponseBody {
    inner: Inner,
}

enum Inner {
    /// Headers have said it all.
    Empty,
    Unary {
        data: Pieces,
        trailers: Option<HeaderMap>,
    },
    Stream(StreamBody),
    Http(HttpBody),
}

/// The pieces of one message. Nearly always there is one, which needs no queue.
struct Pieces {
    head: Option<Bytes>,
    tail: std::vec::IntoIter<Bytes>,
}

impl ResponseBody {
    pub(super) const fn empty() -> Self {
        Self {
            inner: Inner::Empty,
        }
    }

    pub(super) fn unary(head: Bytes, tail: Vec<Bytes>) -> Self {
        let data = Pieces {
            head: Some(head),
            tail: tail.into_iter(),
        };
        Self {
            inner: Inner::Unary {
                data,
                trailers: Some(Status::ok_trailers()),
            },
        }
    }

    /// Sends what arrives at `receiver` until `handler` returns. Dropping the body, which is what
    /// happens when the client goes away, ends the handler.
    pub(super) fn streaming(
        receiver: mpsc::Receiver<EncodedMessage>,
        handler: JoinHandle<Result<(), Status>>,
    ) -> Self {
        Self {
            inner: Inner::Stream(StreamBody {
                receiver,
                handler,
                outcome: None,
                pieces: VecDeque::new(),
                finished: false,
            }),
        }
    }

    pub(super) const fn http(body: HttpBody) -> Self {
        Self {
            inner: Inner::Http(body),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner {
            Inner::Empty => "Empty",
            Inner::Unary { .. } => "Unary",
            Inner::Stream(_) => "Stream",
            Inner::Http(_) => "Http",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Unary { data, trailers } => {
                let piece = data.head.take().or_else(|| data.tail.next());
                let frame = piece
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Inner::Stream(stream) => stream.poll_frame(cx).map(|frame| frame.map(Ok)),
            Inner::Http(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Http(body) => body.is_end_stream(),
            // Trailers always follow.
            Inner::Unary { .. } | Inner::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Http(body) => body.size_hint(),
            // gRPC responses carry no content-length.
            _ => SizeHint::default(),
        }
    }
}

struct StreamBody {
    receiver: mpsc::Receiver<EncodedMessage>,
    handler: JoinHandle<Result<(), Status>>,
    /// How the handler ended. From then on only what was sent before goes out.
    outcome: Option<Result<(), Status>>,
    pieces: VecDeque<Bytes>,
    finished: bool,
}

impl StreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            if let Some(piece) = self.next_piece() {
                return Poll::Ready(Some(Frame::data(piece)));
            }
            if self.finished {
                return Poll::Ready(None);
            }
            match self.receiver.poll_recv(cx) {
                Poll::Ready(Some(message)) => self.gather(message),
                Poll::Ready(None) => {
                    let outcome = match self.outcome.take() {
                        Some(outcome) => outcome,
                        None => ready!(self.poll_handler(cx)),
                    };
                    self.finished = true;
                    let trailers = match outcome {
                        Ok(()) => Status::ok_trailers(),
                        Err(status) => status.trailers(),
                    };
                    return Poll::Ready(Some(Frame::trailers(trailers)));
                }
                Poll::Pending => {
                    let outcome = ready!(self.poll_handler(cx));
                    self.outcome = Some(outcome);
                    // Others may hold a sink still; what they send after the end is not wanted.
                    self.receiver.close();
                }
            }
        }
    }

    fn poll_handler(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let joined = ready!(Pin::new(&mut self.handler).poll(cx));
        Poll::Ready(joined.unwrap_or_else(|error| {
            Err(Status::internal(format!(
                "the handler of the call failed: {error}"
            )))
        }))
    }

    /// Takes `message` and whatever else waits, up to a frame's worth.
    fn gather(&mut self, message: EncodedMessage) {
        let mut bytes = 0;
        let mut next = Some(message);
        while let Some(message) = next {
            bytes += message.len();
            match message.into_segments() {
                Ok((head, tail)) => {
                    self.pieces.push_back(head);
                    self.pieces.extend(tail);
                }
                Err(status) => {
                    self.handler.abort();
                    self.receiver.close();
                    self.outcome = Some(Err(status));
                    return;
                }
            }
            next = if bytes < GATHER_BYTES {
                self.receiver.try_recv().ok()
            } else {
                None
            };
        }
    }

    /// The first piece, with as many small ones behind it as fit one frame.
    fn next_piece(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let mut bytes = first.len();
        let mut count = 0;
        for piece in &self.pieces {
            if bytes + piece.len() > GATHER_BYTES {
                break;
            }
            bytes += piece.len();
            count += 1;
        }
        if count == 0 {
            return Some(first);
        }
        let mut joined = BytesMut::with_capacity(bytes);
        joined.extend_from_slice(&first);
        for piece in self.pieces.drain(..count) {
            joined.extend_from_slice(&piece);
        }
        Some(joined.freeze())
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.handler.abort();
    }
}

#[cfg(test)]
mod tests;
