//! The two encodings of raft messages between members, without I/O.
//!
//! Stream bodies encode into an [`Output`], stream readers push what they receive into a decoder and
//! take out [`Frame`]s. Runs on tokio tasks; nothing here waits. Facts: etcd's
//! `server/etcdserver/api/rafthttp/{msg_codec,msgappv2_codec}.go`, read for the layout only.
//!
//! # Layout
//! Message stream ([`MessageDecoder`]): `u64be length`, then a `raftpb.Message`. Append stream ([`AppendDecoder`]), by
//! its first byte:
//!
//! | kind | rest |
//! |---|---|
//! | `00` heartbeat | nothing |
//! | `01` entries | u64be count, then as often (u64be length, `raftpb.Entry`), then u64be commit |
//! | `02` message | u64be length, `raftpb.Message` |
//!
//! # Invariants
//! 1. What is decoded was received in full: no claim of a length allocates anything.
//! 2. What is encoded decodes in every release of etcd 3: fields in ascending order, scalars written even
//!    when zero, as etcd up to 3.6 writes them. A peer that cannot decode a frame **panics**.
mod append;
mod input;
mod message;
mod output;
mod wire;

pub use append::{AppendDecoder, AppendEncoder};
pub(crate) use message::encode_heartbeat;
pub use message::{MessageDecoder, encode_message};
pub use output::Output;

use varve_proto::raftpb::Message;

/// Most bytes of one message (etcd's bound on both streams).
pub(crate) const MAX_MESSAGE_BYTES: u64 = 512 << 20;

/// What a stream carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The link lives; raft hears nothing of it.
    Heartbeat,
    /// A message for raft.
    Message(Box<Message>),
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length beyond what any member sends.
    #[error(
        "{what} of {claimed} bytes at offset {offset} of the stream, at most {limit} are allowed"
    )]
    TooLong {
        /// What the length is of.
        what: &'static str,
        /// Byte offset of the length.
        offset: u64,
        /// The length that stands there.
        claimed: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// A frame of the append stream whose kind is none.
    #[error("frame of unknown kind {found:#04x} at offset {offset} of the stream")]
    UnknownKind {
        /// Byte offset of the kind.
        offset: u64,
        /// The kind that stands there.
        found: u8,
    },
    /// A message of another type on the append stream.
    #[error("message of type {found} before offset {offset} of the append stream")]
    NotAnAppend {
        /// Byte offset behind the message.
        offset: u64,
        /// Number of its type.
        found: i32,
    },
    /// Bytes that are not the protobuf message they should be.
    #[error("no {message} before offset {offset} of the stream: {source}")]
    Malformed {
        /// Name of the message.
        message: &'static str,
        /// Byte offset behind the message.
        offset: u64,
        /// What the decoder met.
        source: varve_proto::prost::DecodeError,
    },
    /// An index that cannot be counted on.
    #[error("{count} entries after index {index} before offset {offset} of the append stream")]
    IndexOverflow {
        /// Byte offset behind the count.
        offset: u64,
        /// Index before the entries.
        index: u64,
        /// Number of entries.
        count: u64,
    },
}

#[cfg(test)]
mod tests;
