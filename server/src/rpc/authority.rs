//! Lets clients in whose `:authority` is a URL.
//!
//! etcdctl 3.4 dials `passthrough:///http://host:port` for its maintenance commands and then sends
//! `:authority: http://host:port`. Servers in Go take that; `h2` refuses the request before we see it.
//! Nobody here reads the authority, so the value is made a legal one on its way in: `http://` becomes
//! `httpB--`, whose characters have the same lengths plain and in HPACK's Huffman code (RFC 7541,
//! appendix B). Sizes stay, so both sides' header tables agree.
//!
//! Wraps the stream of every connection, on its task. Only a connection whose first request needs it
//! is looked at any further; on all others reading costs one comparison.
//!
//! # Layout
//! HTTP/2 frames: length (3 bytes), type, flags, stream (4 bytes), payload. A header block is a row of
//! fields that can be told apart without knowing the tables (RFC 7541, section 6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const FLAG_END_HEADERS: u8 = 0x4;
const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;
/// Frames above HTTP/2's smallest limit are not held back to be looked into.
const MAX_HELD_BYTES: usize = 16 * 1024;
/// Index of `:authority` in HPACK's static table.
const AUTHORITY: usize = 1;

/// What a value may begin with, plain and Huffman-coded, and what that becomes. The code of `http://`
/// has one bit more than five bytes, which is 0 before and after.
const REWRITES: [(&[u8], &[u8]); 2] = [
    (b"http://", b"httpB--"),
    (
        &[0x9d, 0x29, 0xae, 0xe3, 0x0c],
        &[0x9d, 0x29, 0xae, 0xea, 0xcb],
    ),
];

/// Where the client's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the end of the preface.
    Preface,
    /// At the head of a frame. True once a request was rewritten.
    Frame { rewrote: bool },
    /// Within a frame that is passed on, with so many bytes to go.
    Payload { left: usize, rewrote: bool },
    /// Nothing to do for the rest of the connection.
    Through,
}

/// A connection's stream.
#[derive(Debug)]
pub(super) struct UrlAuthority<I> {
    io: I,
    state: State,
    /// Read and not yet looked at.
    input: BytesMut,
    /// To be given out.
    output: BytesMut,
}

impl<I> UrlAuthority<I> {
    pub(super) fn new(io: I) -> Self {
        Self {
            io,
            state: State::Preface,
            input: BytesMut::new(),
            output: BytesMut::new(),
        }
    }

    /// Moves what can be given out.
    fn scan(&mut self) {
        loop {
            match self.state {
                State::Preface => {
                    let known = self.input.len().min(PREFACE.len());
                    if self.input[..known] != PREFACE[..known] {
                        // HTTP/1.
                        self.state = State::Through;
                    } else if known == PREFACE.len() {
                        self.output.unsplit(self.input.split_to(known));
                        self.state = State::Frame { rewrote: false };
                    } else {
                        // What matches cannot be held: whoever reads decides by it what to send.
                        return;
                    }
                }
                State::Frame { rewrote } => {
                    let Some(head) = self.input.first_chunk::<FRAME_HEAD_BYTES>() else {
                        return;
                    };
                    let [a, b, c, kind, flags, ..] = *head;
                    let length = u32::from_be_bytes([0, a, b, c]) as usize;
                    let frame = FRAME_HEAD_BYTES + length;
                    if kind != HEADERS {
                        self.state = State::Payload {
                            left: frame,
                            rewrote,
                        };
                        continue;
                    }
                    if length > MAX_HELD_BYTES || flags & FLAG_END_HEADERS == 0 {
                        self.state = State::Through;
                        continue;
                    }
                    if self.input.len() < frame {
                        return;
                    }
                    let mut frame = self.input.split_to(frame);
                    let rewrote = rewrite_block(&mut frame[FRAME_HEAD_BYTES..], flags) || rewrote;
                    self.output.unsplit(frame);
                    self.state = if rewrote {
                        State::Frame { rewrote }
                    } else {
                        State::Through
                    };
                }
                State::Payload { left, rewrote } => {
                    let now = left.min(self.input.len());
                    self.output.unsplit(self.input.split_to(now));
                    if now < left {
                        self.state = State::Payload {
                            left: left - now,
                            rewrote,
                        };
                        return;
                    }
                    self.state = State::Frame { rewrote };
                }
                State::Through => {
                    self.output.unsplit(self.input.split());
                    return;
                }
            }
        }
    }
}

/// Rewrites the authority in the payload of a HEADERS frame. Returns whether there was one to rewrite.
fn rewrite_block(payload: &mut [u8], flags: u8) -> bool {
    let padding = usize::from(flags & FLAG_PADDED != 0);
    let priority = if flags & FLAG_PRIORITY == 0 { 0 } else { 5 };
    let Some(block) = payload.get_mut(padding + priority..) else {
        return false;
    };
    // A malformed block is left to h2, which knows how to complain.
    rewrite_fields(block).unwrap_or(false)
}

fn rewrite_fields(block: &mut [u8]) -> Option<bool> {
    let mut at = 0;
    while let Some(&first) = block.get(at) {
        let prefix_bits = match first {
            // Indexed, and a change of the table's size: a number and nothing else.
            0x80.. => {
                (_, at) = number(block, at, 7)?;
                continue;
            }
            0x20..0x40 => {
                (_, at) = number(block, at, 5)?;
                continue;
            }
            0x40..0x80 => 6,
            0..0x20 => 4,
        };
        let name;
        (name, at) = number(block, at, prefix_bits)?;
        if name == 0 {
            let (len, start) = number(block, at, 7)?;
            at = start.checked_add(len)?;
        }
        let (len, start) = number(block, at, 7)?;
        at = start.checked_add(len)?;
        let value = block.get_mut(start..at)?;
        if name == AUTHORITY {
            for (from, to) in REWRITES {
                if let Some(begin) = value.get_mut(..from.len()).filter(|begin| *begin == from) {
                    begin.copy_from_slice(to);
                    return Some(true);
                }
            }
        }
    }
    Some(false)
}

/// An HPACK integer with a prefix of so many bits, and where the next byte stands.
fn number(block: &[u8], at: usize, prefix_bits: u32) -> Option<(usize, usize)> {
    let full = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*block.get(at)?) & full;
    let mut next = at + 1;
    if value < full {
        return Some((value, next));
    }
    // Four more bytes are far more than a frame that is held can need.
    for shift in [0, 7, 14, 21] {
        let byte = *block.get(next)?;
        next += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, next));
        }
    }
    None
}

impl<I: AsyncRead + Unpin> AsyncRead for UrlAuthority<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.output.is_empty() {
                let n = this.output.len().min(buf.remaining());
                buf.put_slice(&this.output[..n]);
                this.output.advance(n);
                return Poll::Ready(Ok(()));
            }
            if this.state == State::Through {
                return Pin::new(&mut this.io).poll_read(cx, buf);
            }
            let mut chunk = [0; 2048];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                // The client is done; what it left unfinished is its reader's to judge.
                this.state = State::Through;
                this.output.unsplit(this.input.split());
                if this.output.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            this.input.extend_from_slice(read.filled());
            this.scan();
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for UrlAuthority<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
