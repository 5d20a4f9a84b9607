//! What the sender of a stream and its body share: the encoder, and who writes next.
//!
//! A short message goes to the socket at once, on the thread that sends it, if the stream has nothing else
//! to write; otherwise it waits in the queue for the body. Both encode under one lock, so that the stream has
//! the messages in the order in which they were sent.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use bytes::{BufMut as _, Bytes, BytesMut};
use parking_lot::Mutex;
use varve_proto::raftpb::Message;

use super::{Encoder, StreamKind};
use crate::peer::codec::Output;
use crate::peer::direct::{Direct, DirectSocket};

/// Longer messages are written by the connection's task: copying them into a chunk would cost more than
/// the way there.
pub(super) const DIRECT_BYTES: usize = 8 << 10;

#[derive(Debug)]
pub(super) struct Tap {
    state: Mutex<State>,
    /// Messages in the queue; counted before they are in it.
    queued: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) encoder: Encoder,
    socket: Option<DirectSocket>,
    /// The body has been asked for its first piece, and has no more than what it gave.
    open: bool,
    /// Wakes the connection's task.
    waker: Option<Waker>,
}

impl Tap {
    pub(super) fn new(kind: StreamKind, socket: Option<DirectSocket>) -> Self {
        Self {
            state: Mutex::new(State {
                encoder: Encoder::new(kind),
                socket,
                open: false,
                waker: None,
            }),
            queued: AtomicUsize::new(0),
        }
    }

    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A message is about to enter the queue.
    pub(super) fn queues(&self) {
        self.queued.fetch_add(1, Ordering::SeqCst);
    }

    /// One left it again. Called with the lock held by the body, which has encoded it.
    pub(super) fn unqueues(&self) {
        self.queued.fetch_sub(1, Ordering::SeqCst);
    }

    /// Writes a message to the socket; the bytes of the body that it took, or `None` when it must wait its
    /// turn in the queue.
    pub(super) fn write(&self, message: &Message) -> Option<usize> {
        // The body may be encoding a long queue.
        let mut state = self.state.try_lock()?;
        let state = &mut *state;
        if !state.open || self.queued.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let socket = state.socket.as_ref()?;
        let before = state.encoder.clone();
        let mut len = 0;
        let written = socket.write(|| {
            let mut out = Output::default();
            state.encoder.encode(message, &mut out);
            len = out.len();
            chunk(&mut out)
        });
        match written {
            Direct::Written => {}
            Direct::Begun => {
                if let Some(waker) = &state.waker {
                    waker.wake_by_ref();
                }
            }
            Direct::Refused => {
                state.encoder = before;
                return None;
            }
        }
        Some(len)
    }
}

impl State {
    /// The body gives HTTP a piece.
    pub(super) fn gives(&mut self) {
        self.open = false;
        if let Some(socket) = &self.socket {
            socket.hold();
        }
    }

    /// The body has nothing to give. What it gave last may still be on its way through HTTP, as may the
    /// head of the answer: the socket knows.
    pub(super) fn has_nothing(&mut self, waker: &Waker) {
        if self.socket.is_none() {
            return;
        }
        self.open = true;
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }
}

/// A chunk of an HTTP/1.1 body.
fn chunk(content: &mut Output) -> Bytes {
    let mut chunk = BytesMut::with_capacity(content.len() + 16);
    chunk.put_slice(format!("{:X}\r\n", content.len()).as_bytes());
    while let Some(piece) = content.pop() {
        chunk.put_slice(&piece);
    }
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}
