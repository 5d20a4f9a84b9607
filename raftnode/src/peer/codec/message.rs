//! The message stream: any message, each with its length before it.
use bytes::Bytes;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Message, MessageType};

use super::input::Input;
use super::output::Output;
use super::{DecodeError, Frame, MAX_MESSAGE_BYTES, wire};

/// Appends a message of a message stream.
pub fn encode_message(message: &Message, out: &mut Output) {
    out.put_u64(wire::message_len(message) as u64);
    wire::put_message(message, out);
}

/// Appends a sign of life: a heartbeat from nobody to nobody, which raft never sends.
pub(crate) fn encode_heartbeat(out: &mut Output) {
    let heartbeat = Message {
        r#type: MessageType::MsgHeartbeat.into(),
        ..Message::default()
    };
    encode_message(&heartbeat, out);
}

/// Takes messages out of received bytes.
#[derive(Debug)]
pub struct MessageDecoder {
    input: Input,
    limit: u64,
    /// Length of the message that comes next, once known.
    len: Option<usize>,
}

impl Default for MessageDecoder {
    fn default() -> Self {
        Self::with_limit(MAX_MESSAGE_BYTES)
    }
}

impl MessageDecoder {
    /// A decoder that takes messages of at most `limit` bytes.
    pub fn with_limit(limit: u64) -> Self {
        Self {
            input: Input::default(),
            limit,
            len: None,
        }
    }

    /// More of the stream has come.
    pub fn push(&mut self, piece: Bytes) {
        self.input.push(piece);
    }

    /// The next message, once it is there in full.
    pub fn decode(&mut self) -> Result<Option<Frame>, DecodeError> {
        Ok(self.decode_message()?.map(|message| {
            if is_heartbeat(&message) {
                Frame::Heartbeat
            } else {
                Frame::Message(Box::new(message))
            }
        }))
    }

    /// The next message, whatever it is.
    pub fn decode_message(&mut self) -> Result<Option<Message>, DecodeError> {
        let len = match self.len {
            Some(len) => len,
            None => match self.input.take_len("message", self.limit)? {
                Some(len) => len,
                None => return Ok(None),
            },
        };
        self.len = Some(len);
        let Some(bytes) = self.input.take(len) else {
            return Ok(None);
        };
        self.len = None;
        let message = Message::decode(bytes).map_err(|source| DecodeError::Malformed {
            message: "raftpb.Message",
            offset: self.input.offset(),
            source,
        })?;
        Ok(Some(message))
    }

    /// What was received behind the last message that was taken out.
    pub fn into_rest(mut self) -> Vec<Bytes> {
        self.input.take_rest()
    }
}

/// By type and ids, not by bytes: releases of etcd encode it differently.
fn is_heartbeat(message: &Message) -> bool {
    message.r#type == i32::from(MessageType::MsgHeartbeat) && message.from == 0 && message.to == 0
}
