//! A connection that the sender of a stream may write to itself while nothing else is on its way there.
//!
//! What is handed to a connection's task costs two thread switches and a poll of everything on it before it
//! leaves. [`DirectIo`] is the connection as HTTP sees it, [`DirectSocket`] the way past HTTP, for the body
//! of an answer in chunks: a whole chunk at a moment when HTTP has nothing to write.
//!
//! # Invariants
//! 1. Nothing gets between the bytes that HTTP writes: the way past it is open only after a flush, which
//!    HTTP asks for when it has written all it had, and until the body gives it more ([`DirectSocket::hold`]).
//! 2. Nothing gets between the bytes of a chunk: what the socket did not take at once is written before
//!    anything that HTTP writes, and a flush ends only after it.
//! 3. Nobody waits: neither for the socket nor for the lock.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A TCP connection whose other way to write is a [`DirectSocket`].
#[derive(Debug)]
pub struct DirectIo {
    read: OwnedReadHalf,
    write: Arc<Mutex<Write>>,
}

/// The way past HTTP to a connection. Does not keep it open. As an extension of a request for a stream
/// ([`Peers::handle`](super::Peers::handle)) it lets whoever sends write to the socket.
#[derive(Clone, Debug)]
pub struct DirectSocket {
    write: Weak<Mutex<Write>>,
}

#[derive(Debug)]
struct Write {
    half: OwnedWriteHalf,
    /// HTTP has something to write.
    held: bool,
    /// The end of a chunk that the socket did not take at once.
    rest: Bytes,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    /// The socket has it.
    Written,
    /// The connection's task must be woken: the socket has a part of it.
    Begun,
    /// Not now. Nothing of it was written.
    Refused,
}

impl DirectIo {
    /// Takes over a connection.
    pub fn new(stream: TcpStream) -> Self {
        let (read, half) = stream.into_split();
        Self {
            read,
            write: Arc::new(Mutex::new(Write {
                half,
                held: true,
                rest: Bytes::new(),
            })),
        }
    }

    /// The way past it.
    pub fn socket(&self) -> DirectSocket {
        DirectSocket {
            write: Arc::downgrade(&self.write),
        }
    }
}

impl DirectSocket {
    /// HTTP is about to be given something to write.
    pub(crate) fn hold(&self) {
        if let Some(write) = self.write.upgrade() {
            write.lock().held = true;
        }
    }

    /// Writes the chunk that `encode` gives, if the way is open. `encode` is not called otherwise.
    pub(crate) fn write(&self, encode: impl FnOnce() -> Bytes) -> Direct {
        let Some(write) = self.write.upgrade() else {
            return Direct::Refused;
        };
        let Some(mut write) = write.try_lock() else {
            return Direct::Refused;
        };
        if write.held || !write.rest.is_empty() {
            return Direct::Refused;
        }
        let chunk = encode();
        match write.half.try_write(&chunk) {
            Ok(written) if written == chunk.len() => Direct::Written,
            Ok(written) if written > 0 => {
                write.rest = chunk.slice(written..);
                Direct::Begun
            }
            // The connection's own task finds out about errors.
            Ok(_) | Err(_) => Direct::Refused,
        }
    }
}

impl Write {
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.half).poll_write(cx, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for DirectIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for DirectIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut write = self.write.lock();
        write.held = true;
        ready!(write.poll_rest(cx))?;
        Pin::new(&mut write.half).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut write = self.write.lock();
        write.held = true;
        ready!(write.poll_rest(cx))?;
        Pin::new(&mut write.half).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut write = self.write.lock();
        ready!(write.poll_rest(cx))?;
        ready!(Pin::new(&mut write.half).poll_flush(cx))?;
        write.held = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut write = self.write.lock();
        write.held = true;
        ready!(write.poll_rest(cx))?;
        Pin::new(&mut write.half).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
