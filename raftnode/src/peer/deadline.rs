//! A connection on which no single read or write may wait for long.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Wraps a connection so that a read or write that waits longer than its limit fails with `TimedOut`.
///
/// A link between members that takes or says nothing for 5 s is dead. The server's peer listener limits
/// the writes of what it accepts, but not the reads: whoever opened a stream has nothing more to say.
#[derive(Debug)]
pub struct DeadlineIo<T> {
    inner: T,
    read: Deadline,
    write: Deadline,
    /// Whether a write that went on is as good as a read: for requests whose answer comes after them.
    writes_count: bool,
}

impl<T> DeadlineIo<T> {
    /// Limits each read and each write. Must be called within a tokio runtime.
    pub fn new(inner: T, read: Option<Duration>, write: Option<Duration>) -> Self {
        Self {
            inner,
            read: Deadline::new(read),
            write: Deadline::new(write),
            writes_count: false,
        }
    }

    /// Lets a read wait for as long as writes go on, and then for its limit.
    #[must_use]
    pub(crate) fn while_writing(mut self) -> Self {
        self.writes_count = true;
        self
    }
}

/// A limit on one direction. The timer is left alone while the direction moves: when it goes off it is
/// set to where it should be by then, so that a busy connection does not touch it at all.
#[derive(Debug)]
struct Deadline {
    limit: Option<Duration>,
    /// When what waits began to.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    fn moved(&mut self) {
        self.since = None;
    }

    /// Called when an operation has to wait: ready when it has for too long.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let now = Instant::now();
        let due = *self.since.get_or_insert(now) + limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }

    fn check<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.moved();
            return polled;
        }
        match self.poll_expired(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeadlineIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.read.check(cx, polled)
    }
}

impl<T: AsyncWrite + Unpin> DeadlineIo<T> {
    fn wrote<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() && self.writes_count {
            self.read.moved();
        }
        self.write.check(cx, polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for DeadlineIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buffer);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, buffers);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.write.check(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.write.check(cx, polled)
    }
}
