//! Messages on their way out, encoded once.
//!
//! # Layout
//!
//! One byte of flags (0: not compressed), four bytes of length (big-endian), the message. The
//! prefix stands at the start of the first segment, so that framing copies nothing.

use bytes::{BufMut, Bytes, BytesMut};
use varve_proto::prost::Message;

use super::{Code, Status};

/// Bytes before each message.
pub(super) const PREFIX_BYTES: usize = 5;

/// Longest message that is sent, in bytes: grpc-go's limit.
const MAX_SEND_BYTES: usize = i32::MAX as usize;

/// Segments below this many bytes are copied into their neighbours: a frame of its own and a place
/// in the write's vector cost more than the copy.
const COPY_BYTES: usize = 4096;

/// An encoded message with its prefix, in one or more pieces. Cloning shares them.
#[derive(Debug, Clone)]
pub struct EncodedMessage {
    head: Bytes,
    tail: Vec<Bytes>,
    /// Without the prefix.
    len_bytes: usize,
}

impl EncodedMessage {
    /// Encodes `message` into one piece.
    pub fn encode(message: &impl Message) -> Self {
        let len_bytes = message.encoded_len();
        let mut builder = MessageBuilder::with_capacity(len_bytes);
        message.encode_raw(&mut builder.buf);
        builder.finish()
    }

    /// Bytes of the message, without its prefix.
    pub const fn len(&self) -> usize {
        self.len_bytes
    }

    /// Whether the message has no bytes; it is still sent.
    pub const fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// The message in one piece, without its prefix, to be compared in tests.
    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let tail = self.tail.iter().flatten();
        self.head
            .iter()
            .skip(PREFIX_BYTES)
            .chain(tail)
            .copied()
            .collect()
    }

    /// The pieces in order, the first beginning with the prefix; or why this cannot be sent.
    pub(super) fn into_segments(self) -> Result<(Bytes, Vec<Bytes>), Status> {
        if self.len_bytes > MAX_SEND_BYTES {
            let text = format!(
                "grpc: trying to send message larger than max ({} vs. {MAX_SEND_BYTES})",
                self.len_bytes
            );
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        Ok((self.head, self.tail))
    }
}

/// Puts a message together from fields and from pieces that exist already.
#[derive(Debug)]
pub struct MessageBuilder {
    /// The piece that holds the prefix, once later pieces follow it.
    head: Option<BytesMut>,
    tail: Vec<Bytes>,
    buf: BytesMut,
}

impl MessageBuilder {
    /// An empty message; `capacity` bytes of it can be written without growing.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buf = BytesMut::with_capacity(PREFIX_BYTES + capacity);
        buf.put_bytes(0, PREFIX_BYTES);
        Self {
            head: None,
            tail: Vec::new(),
            buf,
        }
    }

    /// Where fields are appended; see [`varve_proto::wire`].
    pub const fn buf(&mut self) -> &mut BytesMut {
        &mut self.buf
    }

    /// Appends the fields of `message`, which thereby becomes part of this one.
    pub fn merge(&mut self, message: &impl Message) {
        self.buf.reserve(message.encoded_len());
        message.encode_raw(&mut self.buf);
    }

    /// Appends bytes: small ones are copied, others shared.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BYTES {
            self.buf.extend_from_slice(&bytes);
            return;
        }
        let before = self.buf.split();
        if self.head.is_none() {
            self.head = Some(before);
        } else if !before.is_empty() {
            self.tail.push(before.freeze());
        }
        self.tail.push(bytes);
    }

    /// Fills in the prefix.
    pub fn finish(mut self) -> EncodedMessage {
        let mut head = match self.head.take() {
            None => self.buf,
            Some(head) => {
                if !self.buf.is_empty() {
                    self.tail.push(self.buf.freeze());
                }
                head
            }
        };
        let tail_bytes: usize = self.tail.iter().map(Bytes::len).sum();
        let len_bytes = head.len() - PREFIX_BYTES + tail_bytes;
        // A message that does not fit is refused before it is sent.
        let length = u32::try_from(len_bytes).unwrap_or(u32::MAX);
        head[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        EncodedMessage {
            head: head.freeze(),
            tail: self.tail,
            len_bytes,
        }
    }
}

/// Decodes a request; its `bytes` fields share the buffer.
pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message)
        .map_err(|error| Status::internal(format!("grpc: error unmarshalling request: {error}")))
}

#[cfg(test)]
mod tests;
