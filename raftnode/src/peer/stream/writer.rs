//! The sender's end of a stream: a queue, and the response body that empties it.
//!
//! [`StreamWriter::send`] is called by whichever thread sends; the body is polled by the server's
//! connection task, whenever the socket takes more. A short message that finds nothing before it goes to the
//! socket without them ([`tap`](super::tap)).
//!
//! # Failure model
//! A receiver that takes nothing fills the socket, then the queue; messages beyond that are dropped and
//! reported. The connection's write deadline cuts it; the body is dropped with it, and what still waited
//! is reported as lost.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use varve_proto::raftpb::Message;

use super::StreamKind;
use super::tap::{DIRECT_BYTES, Tap};
use crate::peer::Hex;
use crate::peer::codec::Output;
use crate::peer::direct::DirectSocket;
use crate::peer::metrics::{MemberCounters, count};
use crate::peer::peers::Link;
use crate::peer::status::PeerStatus;

/// Messages that may wait for one receiver (etcd's bound): raft lets 512 appends be in flight, and has a
/// few more messages for each of them.
const QUEUE_MESSAGES: usize = 4096;
/// Bytes of data that may wait for one receiver, unless it is a single message: 512 appends of a
/// mebibyte would otherwise wait in memory for a receiver that hangs.
const QUEUE_BYTES: usize = 128 << 20;
/// A piece of the body is at least as long before the socket is given it, if there is more to send.
const GATHER_BYTES: usize = 64 << 10;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is written, or waits to be.
    Queued,
    /// Too much waits already; it was dropped.
    Full,
    /// No receiver is attached; it is where it was.
    Detached,
}

/// Where messages of one kind for one member go while it has a stream open.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    kind: StreamKind,
    link: Arc<Link>,
    attached: Mutex<Attachment>,
}

#[derive(Debug, Default)]
struct Attachment {
    /// Counts the connections, so that one that ends late does not detach its successor.
    generation: u64,
    current: Option<Attached>,
}

#[derive(Debug)]
struct Attached {
    queue: mpsc::Sender<Message>,
    tap: Arc<Tap>,
    bytes: Arc<AtomicUsize>,
    /// Dropped with this, it ends the body.
    _open: oneshot::Sender<()>,
}

impl StreamWriter {
    pub(crate) fn new(kind: StreamKind, link: Arc<Link>) -> Self {
        Self {
            kind,
            link,
            attached: Mutex::default(),
        }
    }

    /// Takes the message and queues it, if there is a stream.
    pub(crate) fn send(&self, message: &mut Option<Message>) -> Sent {
        let mut attachment = self.attached.lock();
        let Some(attached) = &attachment.current else {
            return Sent::Detached;
        };
        let Some(taken) = message.take() else {
            return Sent::Queued;
        };
        let size = data_len(&taken);
        if size <= DIRECT_BYTES
            && let Some(len) = attached.tap.write(&taken)
        {
            count(&self.counters().sent_bytes, len);
            return Sent::Queued;
        }
        let waiting = attached.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + size > QUEUE_BYTES {
            return Sent::Full;
        }
        // Before it is in the queue, where the reader takes it off again.
        attached.bytes.fetch_add(size, Ordering::Relaxed);
        attached.tap.queues();
        match attached.queue.try_send(taken) {
            Ok(()) => Sent::Queued,
            Err(mpsc::error::TrySendError::Full(_)) => {
                attached.bytes.fetch_sub(size, Ordering::Relaxed);
                attached.tap.unqueues();
                Sent::Full
            }
            Err(mpsc::error::TrySendError::Closed(back)) => {
                *message = Some(back);
                attachment.current = None;
                Sent::Detached
            }
        }
    }

    /// A receiver has come: gives the body of its answer, which is sent in chunks if there is a way to the
    /// socket. The one before it is sent away.
    pub(crate) fn attach(self: &Arc<Self>, socket: Option<DirectSocket>) -> StreamBody {
        let tap = Arc::new(Tap::new(self.kind, socket));
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let (open, closed) = oneshot::channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let generation = {
            let mut attachment = self.attached.lock();
            attachment.generation += 1;
            let before = attachment.current.replace(Attached {
                queue,
                tap: Arc::clone(&tap),
                bytes: Arc::clone(&bytes),
                _open: open,
            });
            if before.is_some() {
                self.log_closed();
            }
            attachment.generation
        };
        self.link.status.activate();
        tracing::info!(
            stream_writer_type = %self.kind,
            local_member_id = %Hex(self.link.local_id),
            remote_peer_id = %Hex(self.link.id),
            "established TCP streaming connection with remote peer"
        );
        let mut heartbeat = tokio::time::interval(self.link.timings.heartbeat());
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        StreamBody {
            writer: Arc::clone(self),
            generation,
            messages,
            closed,
            bytes,
            heartbeat,
            tap,
            out: Output::default(),
            ended: false,
        }
    }

    /// Ends the stream, if there is one.
    pub(crate) fn close(&self) {
        if self.attached.lock().current.take().is_some() {
            self.log_closed();
        }
    }

    fn log_closed(&self) {
        tracing::warn!(
            stream_writer_type = %self.kind,
            local_member_id = %Hex(self.link.local_id),
            remote_peer_id = %Hex(self.link.id),
            "closed TCP streaming connection with remote peer"
        );
    }

    fn counters(&self) -> &MemberCounters {
        &self.link.counters
    }

    fn status(&self) -> &PeerStatus {
        &self.link.status
    }
}

/// Bytes of data in a message, which is what makes one large.
fn data_len(message: &Message) -> usize {
    message
        .entries
        .iter()
        .map(|e| e.data.as_ref().map_or(0, Bytes::len))
        .sum()
}

/// The stream as a response body. It ends when it is replaced, closed, or its connection breaks.
#[derive(Debug)]
pub(crate) struct StreamBody {
    writer: Arc<StreamWriter>,
    generation: u64,
    messages: mpsc::Receiver<Message>,
    closed: oneshot::Receiver<()>,
    bytes: Arc<AtomicUsize>,
    heartbeat: Interval,
    tap: Arc<Tap>,
    out: Output,
    ended: bool,
}

impl StreamBody {
    /// Encodes what waits, up to a piece's worth; false when the stream is over.
    fn gather(&mut self, cx: &mut Context<'_>) -> bool {
        let mut tap = self.tap.lock();
        while self.out.len() < GATHER_BYTES {
            match self.messages.poll_recv(cx) {
                Poll::Ready(Some(message)) => {
                    self.bytes.fetch_sub(data_len(&message), Ordering::Relaxed);
                    tap.encoder.encode(&message, &mut self.out);
                    self.tap.unqueues();
                }
                Poll::Ready(None) => return false,
                Poll::Pending => break,
            }
        }
        if self.heartbeat.poll_tick(cx).is_ready() {
            tap.encoder.encode_heartbeat(&mut self.out);
            // The tick that came registered nothing to wake us for the next.
            while self.heartbeat.poll_tick(cx).is_ready() {}
        }
        if self.out.is_empty() {
            tap.has_nothing(cx.waker());
        }
        true
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.out.is_empty() {
            let closed = Pin::new(&mut this.closed).poll(cx).is_ready();
            if closed || !this.gather(cx) {
                this.ended = true;
                return Poll::Ready(None);
            }
        }
        match this.out.pop() {
            Some(piece) => {
                this.tap.lock().gives();
                count(&this.writer.counters().sent_bytes, piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let writer = &self.writer;
        {
            let mut attachment = writer.attached.lock();
            if attachment.generation == self.generation {
                attachment.current = None;
            }
        }
        if !self.ended {
            tracing::warn!(
                stream_writer_type = %writer.kind,
                local_member_id = %Hex(writer.link.local_id),
                remote_peer_id = %Hex(writer.link.id),
                "lost TCP streaming connection with remote peer"
            );
            writer
                .status()
                .deactivate(format_args!("write {}", writer.kind), &Lost);
            count(&writer.counters().sent_failures, 1);
        }
        // What waits is lost; and so may be what was written last.
        if !self.ended || !self.messages.is_empty() || !self.out.is_empty() {
            writer.link.report_unreachable();
        }
    }
}

/// The connection went away under a stream; the server that drove it knows why.
#[derive(Debug, thiserror::Error)]
#[error("the connection ended")]
struct Lost;
