//! The endless answers that carry messages from one member to another.
//!
//! The receiver dials ([`reader`]), the sender writes ([`writer`], driven by whoever serves the request).
mod reader;
mod tap;
mod writer;

pub(crate) use reader::StreamReader;
pub(crate) use writer::{Sent, StreamWriter};

use std::fmt;

use varve_proto::raftpb::Message;

use super::codec::{AppendEncoder, Output, encode_heartbeat, encode_message};

/// Which messages a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// `MsgApp` only.
    Append,
    /// Everything but snapshots.
    Message,
}

impl StreamKind {
    /// The path that the dialler's id follows, after a slash.
    pub(crate) fn endpoint(self) -> &'static str {
        match self {
            Self::Append => "/raft/stream/msgapp",
            Self::Message => "/raft/stream/message",
        }
    }
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "stream MsgApp v2",
            Self::Message => "stream Message",
        })
    }
}

/// The encoder of one connection.
#[derive(Clone, Debug)]
enum Encoder {
    Append(AppendEncoder),
    Message,
}

impl Encoder {
    fn new(kind: StreamKind) -> Self {
        match kind {
            StreamKind::Append => Self::Append(AppendEncoder::default()),
            StreamKind::Message => Self::Message,
        }
    }

    fn encode(&mut self, message: &Message, out: &mut Output) {
        match self {
            Self::Append(encoder) => encoder.encode(message, out),
            Self::Message => encode_message(message, out),
        }
    }

    fn encode_heartbeat(&self, out: &mut Output) {
        match self {
            Self::Append(_) => AppendEncoder::encode_heartbeat(out),
            Self::Message => encode_heartbeat(out),
        }
    }
}
