//! Messages out of a request's body.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]

use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;

use super::message::PREFIX_BYTES;
use super::{Code, Status};

/// What is reserved for a message that arrives in pieces, before its bytes are there.
const RESERVE_BYTES: usize = 64 * 1024;

/// Cuts a body into messages. A message within one chunk of the body is not copied.
#[derive(Debug)]
pub(super) struct MessageReader<B> {
    body: B,
    /// Longest message taken, in bytes.
    limit_bytes: usize,
    /// What the client says it compresses with.
    encoding: Option<String>,
    /// Unread part of the latest chunk; empty while `partial` is not.
    chunk: Bytes,
    /// A message that began in an earlier chunk.
    partial: BytesMut,
    failed: bool,
}

impl<B: Body<Data = Bytes> + Unpin> MessageReader<B> {
    pub(super) fn new(body: B, headers: &HeaderMap, limit_bytes: usize) -> Self {
        let encoding = headers
            .get("grpc-encoding")
            .and_then(|value| value.to_str().ok());
        Self {
            body,
            limit_bytes,
            encoding: encoding.map(str::to_owned),
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            failed: false,
        }
    }

    /// The next message; none at the end of the body. After an error there is nothing more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.failed {
            return Ok(None);
        }
        let next = self.read().await;
        self.failed = next.is_err();
        next
    }

    /// The only message of the body, with grpc-go's complaints when it is not the only one.
    pub(super) async fn single(&mut self) -> Result<Bytes, Status> {
        let violation = |text: &str| Status::internal(format!("cardinality violation: {text}"));
        let Some(message) = self.next().await? else {
            return Err(violation(
                "received no request message from non-client-streaming RPC",
            ));
        };
        // Usually the end came along with the message.
        if self.chunk.is_empty() && self.partial.is_empty() && self.body.is_end_stream() {
            return Ok(message);
        }
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(violation(
                "received multiple request messages for non-client-streaming RPC",
            )),
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match Pin::new(&mut self.body).frame().await {
                None if self.chunk.is_empty() && self.partial.is_empty() => return Ok(None),
                None => return Err(Status::internal("unexpected EOF")),
                // Only the client, or the loss of the connection, breaks a body off.
                Some(Err(_)) => return Err(Status::canceled()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.append(data);
                    }
                }
            }
        }
    }

    fn append(&mut self, data: Bytes) {
        if self.partial.is_empty() && self.chunk.is_empty() {
            self.chunk = data;
            return;
        }
        if self.partial.is_empty() {
            let wanted = needed(&self.chunk).unwrap_or(PREFIX_BYTES);
            self.partial
                .reserve(wanted.min(RESERVE_BYTES).max(self.chunk.len() + data.len()));
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
        }
        self.partial.extend_from_slice(&data);
    }

    /// Takes a message off what is there; none when more is needed.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let there: &[u8] = if self.partial.is_empty() {
            &self.chunk
        } else {
            &self.partial
        };
        let Some(needed) = needed(there) else {
            return Ok(None);
        };
        let length = needed - PREFIX_BYTES;
        if length > self.limit_bytes {
            let text = format!(
                "grpc: received message larger than max ({length} vs. {})",
                self.limit_bytes
            );
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if there.len() < needed {
            return Ok(None);
        }
        self.check_flags(there.first().copied().unwrap_or_default())?;
        let mut message = if self.partial.is_empty() {
            self.chunk.split_to(needed)
        } else {
            let message = self.partial.split_to(needed).freeze();
            self.chunk = std::mem::take(&mut self.partial).freeze();
            message
        };
        message.advance(PREFIX_BYTES);
        Ok(Some(message))
    }

    fn check_flags(&self, flags: u8) -> Result<(), Status> {
        match (flags, self.encoding.as_deref()) {
            (0, _) => Ok(()),
            (1, None | Some("" | "identity")) => Err(Status::internal(
                "grpc: compressed flag set with identity or empty encoding",
            )),
            (1, Some(encoding)) => Err(Status::new(
                Code::Unimplemented,
                format!("grpc: Decompressor is not installed for grpc-encoding {encoding:?}"),
            )),
            (other, _) => {
                let text = format!("grpc: received unexpected payload format {other}");
                Err(Status::internal(text))
            }
        }
    }
}

/// Bytes of the message that begins here, prefix included; none when the prefix is not whole.
fn needed(there: &[u8]) -> Option<usize> {
    let [_, length @ ..] = there.first_chunk::<PREFIX_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    Some(length.saturating_add(PREFIX_BYTES))
}

#[cfg(test)]
mod tests;
