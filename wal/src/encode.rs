//! Records into frames, in one buffer, under one running checksum.
//!
//! The appender's log thread encodes a batch here and hands the whole buffer to one write. A payload
//! is copied once, into its place; the checksum runs over it there. The buffer is kept, so a steady
//! stream of batches allocates nothing.
//!
//! # Invariants
//! 1. The buffer begins at a frame and holds whole frames: its length is a multiple of 8.
//! 2. `crc` is the checksum over the data of every record encoded so far, earlier segments included.
use bytes::BufMut as _;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use varve_proto::raftpb::{Entry, HardState};
use varve_proto::walpb::Snapshot;

use crate::format::{FrameLen, LENGTH_BYTES, RecordKind, put_padding};

const TYPE_TAG: u8 = 1 << 3;
const CRC_TAG: u8 = 2 << 3;
const DATA_TAG: u8 = 3 << 3 | 2;
/// Longest varint of a checksum.
const CRC_VARINT_MAX: usize = 5;
/// Type and crc tags and values, without the crc's varint.
const HEAD_BYTES: usize = 3;

/// What an idle buffer may keep of its capacity.
const KEEP_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Encoder {
    buf: Vec<u8>,
    crc: u32,
}

impl Encoder {
    /// Continues a chain whose checksum so far is `crc`.
    pub(crate) fn continuing(crc: u32) -> Self {
        Self {
            buf: Vec::new(),
            crc,
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
        let len = FrameLen::of_record((HEAD_BYTES + encoded_len_varint(self.crc.into())) as u64);
        self.buf.put_u64_le(len.encode());
        self.head(RecordKind::Crc);
        put_padding(&mut self.buf, len);
    }

    pub(crate) fn metadata(&mut self, metadata: &[u8]) {
        self.record(RecordKind::Metadata, metadata.len(), |buf| {
            buf.extend_from_slice(metadata);
        });
    }

    pub(crate) fn entry(&mut self, entry: &Entry) {
        self.message(RecordKind::Entry, entry);
    }

    pub(crate) fn state(&mut self, state: &HardState) {
        self.message(RecordKind::State, state);
    }

    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) {
        self.message(RecordKind::Snapshot, snapshot);
    }

    fn message(&mut self, kind: RecordKind, message: &impl Message) {
        self.record(kind, message.encoded_len(), |buf| message.encode_raw(buf));
    }

    /// Encodes a record whose data is `data_len` bytes that `put` appends.
    ///
    /// The checksum stands before the data it covers, and its varint has one to five bytes: room for
    /// the longest is left, and the data moves up in the one case of sixteen where that is too much.
    fn record(&mut self, kind: RecordKind, data_len: usize, put: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buf.len();
        let len_varint = encoded_len_varint(data_len as u64);
        let gap = LENGTH_BYTES + HEAD_BYTES + CRC_VARINT_MAX + 1 + len_varint;
        self.buf.reserve(gap + data_len + LENGTH_BYTES);
        self.buf.resize(start + gap, 0);
        put(&mut self.buf);
        assert_eq!(
            self.buf.len(),
            start + gap + data_len,
            "a message is as long as it said"
        );
        self.crc = crc32c::crc32c_append(self.crc, &self.buf[start + gap..]);

        let crc_varint = encoded_len_varint(self.crc.into());
        let surplus = CRC_VARINT_MAX - crc_varint;
        if surplus > 0 {
            self.buf.copy_within(start + gap.., start + gap - surplus);
            self.buf.truncate(start + gap - surplus + data_len);
        }
        let len = FrameLen::of_record((HEAD_BYTES + crc_varint + 1 + len_varint + data_len) as u64);
        let mut head = &mut self.buf[start..start + gap - surplus];
        head.put_u64_le(len.encode());
        head.put_slice(&[TYPE_TAG, kind.number(), CRC_TAG]);
        encode_varint(self.crc.into(), &mut head);
        head.put_u8(DATA_TAG);
        encode_varint(data_len as u64, &mut head);
        assert!(head.is_empty(), "the head fills its gap");
        put_padding(&mut self.buf, len);
    }

    fn head(&mut self, kind: RecordKind) {
        self.buf.put_slice(&[TYPE_TAG, kind.number(), CRC_TAG]);
        encode_varint(self.crc.into(), &mut self.buf);
    }
}

#[cfg(test)]
mod tests;
