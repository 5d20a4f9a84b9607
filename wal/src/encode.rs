//! Records into frames, in one buffer, under one running checksum.
//!
//! The appender's log thread encodes a batch here and hands the whole buffer to one write. A payload
//! is copied once, into its place; its checksum, which stands before it, is taken where it came from.
//! The buffers are kept, so a steady stream of batches allocates nothing.
//!
//! # Invariants
//! 1. The buffer begins at a frame and holds whole frames: its length is a multiple of 8.
//! 2. `crc` is the checksum over the data of every record encoded so far, earlier segments included.
use prost::Message;
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;

use crate::format::{FrameLen, LENGTH_BYTES, RecordKind, put_padding};

mod small;

use small::Small;

/// Tags of a record.
const TYPE_TAG: u8 = 1 << 3;
const CRC_TAG: u8 = 2 << 3;
const DATA_TAG: u8 = 3 << 3 | 2;

/// What an idle buffer may keep of its capacity.
const KEEP_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    buf: Vec<u8>,
    /// A message on its way into the buffer.
    scratch: Vec<u8>,
    crc: u32,
}

impl Encoder {
    /// Continues a chain whose checksum so far is `crc`.
    pub(crate) fn continuing(crc: u32) -> Self {
        Self {
            crc,
            ..Self::default()
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf
    }

    pub(crate) fn clear(&mut self) {
        self.buf.clear();
        if self.buf.capacity() > KEEP_BYTES {
            self.buf.shrink_to(KEEP_BYTES);
        }
    }

    /// The record that begins a segment: the checksum so far.
    pub(crate) fn crc_record(&mut self) {
        let head = self.head(RecordKind::Crc);
        self.frame(&head, &[], &[]);
    }

    pub(crate) fn metadata(&mut self, metadata: &[u8]) {
        self.record(RecordKind::Metadata, &[], metadata);
    }

    /// The fields as every encoder up to 3.6 writes them: all four, but for absent data.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        let mut fields = Small::default();
        // Protobuf extends the sign of a number of an enumeration to 64 bits.
        fields.number(1 << 3, i64::from(entry.r#type).cast_unsigned());
        fields.number(2 << 3, entry.term);
        fields.number(3 << 3, entry.index);
        let data = entry.data.as_deref();
        if let Some(data) = data {
            fields.number(4 << 3 | 2, data.len() as u64);
        }
        self.record(RecordKind::Entry, fields.bytes(), data.unwrap_or_default());
    }

    pub(crate) fn state(&mut self, state: &HardState) {
        self.message(RecordKind::State, state);
    }

    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) {
        self.message(RecordKind::Snapshot, snapshot);
    }

    fn message(&mut self, kind: RecordKind, message: &impl Message) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        message.encode_raw(&mut scratch);
        self.record(kind, &[], &scratch);
        self.scratch = scratch;
    }

    /// A record whose data is `fields` and then `payload`.
    fn record(&mut self, kind: RecordKind, fields: &[u8], payload: &[u8]) {
        let crc = crc32c::crc32c_append(self.crc, fields);
        self.crc = crc32c::crc32c_append(crc, payload);
        let mut head = self.head(kind);
        head.number(DATA_TAG, (fields.len() + payload.len()) as u64);
        self.frame(&head, fields, payload);
    }

    fn head(&self, kind: RecordKind) -> Small {
        let mut head = Small::default();
        head.number(TYPE_TAG, kind.number().into());
        head.number(CRC_TAG, self.crc.into());
        head
    }

    fn frame(&mut self, head: &Small, fields: &[u8], payload: &[u8]) {
        let record_bytes = head.bytes().len() + fields.len() + payload.len();
        let len = FrameLen::of_record(record_bytes as u64);
        // The length field, and padding of less than one.
        self.buf.reserve(2 * LENGTH_BYTES + record_bytes);
        self.buf.extend_from_slice(&len.encode().to_le_bytes());
        self.buf.extend_from_slice(head.bytes());
        self.buf.extend_from_slice(fields);
        self.buf.extend_from_slice(payload);
        put_padding(&mut self.buf, len);
    }
}

#[cfg(test)]
mod tests;
