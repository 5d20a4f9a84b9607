//! Protobuf of messages and entries, into pieces that share the entries' data.
//!
//! The same bytes that `prost` gives (a test compares them), without copying large values.
use bytes::BytesMut;
use varve_proto::prost::Message as _;
use varve_proto::prost::encoding::{self, WireType};
use varve_proto::raftpb::{Entry, Message};

use super::output::Output;

/// Field number of `Message.entries`.
const ENTRIES: u32 = 7;
/// Field number of `Entry.data`.
const DATA: u32 = 4;

/// Bytes of an entry.
pub(super) fn entry_len(entry: &Entry) -> usize {
    entry.encoded_len()
}

pub(super) fn put_entry(entry: &Entry, out: &mut Output) {
    out.put_with(|buffer| {
        encoding::int32::encode(1, &entry.r#type, buffer);
        encoding::uint64::encode(2, &entry.term, buffer);
        encoding::uint64::encode(3, &entry.index, buffer);
        if let Some(data) = &entry.data {
            encoding::encode_key(DATA, WireType::LengthDelimited, buffer);
            encoding::encode_varint(data.len() as u64, buffer);
        }
    });
    if let Some(data) = &entry.data {
        out.put_shared(data);
    }
}

/// Bytes of a message.
pub(super) fn message_len(message: &Message) -> usize {
    message.encoded_len()
}

pub(super) fn put_message(message: &Message, out: &mut Output) {
    out.put_with(|buffer| put_before_entries(message, buffer));
    for entry in &message.entries {
        out.put_with(|buffer| {
            encoding::encode_key(ENTRIES, WireType::LengthDelimited, buffer);
            encoding::encode_varint(entry_len(entry) as u64, buffer);
        });
        put_entry(entry, out);
    }
    out.put_with(|buffer| put_after_entries(message, buffer));
}

fn put_before_entries(message: &Message, buffer: &mut BytesMut) {
    encoding::int32::encode(1, &message.r#type, buffer);
    encoding::uint64::encode(2, &message.to, buffer);
    encoding::uint64::encode(3, &message.from, buffer);
    encoding::uint64::encode(4, &message.term, buffer);
    encoding::uint64::encode(5, &message.log_term, buffer);
    encoding::uint64::encode(6, &message.index, buffer);
}

fn put_after_entries(message: &Message, buffer: &mut BytesMut) {
    encoding::uint64::encode(8, &message.commit, buffer);
    if let Some(snapshot) = &message.snapshot {
        encoding::message::encode(9, snapshot, buffer);
    }
    encoding::bool::encode(10, &message.reject, buffer);
    encoding::uint64::encode(11, &message.reject_hint, buffer);
    if let Some(context) = &message.context {
        encoding::bytes::encode(12, context, buffer);
    }
    encoding::uint64::encode(13, &message.vote, buffer);
    encoding::message::encode_repeated(14, &message.responses, buffer);
}
