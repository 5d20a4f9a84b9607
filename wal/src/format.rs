//! The frame around a record, and the types of records.
//!
//! # Layout
//! ```text
//! offset of every frame is a multiple of 8
//! u64 LE  bits 0..55   length L of the record in bytes
//!         bits 56..58  number p of padding bytes, (8 - L mod 8) mod 8
//!         bits 59..62  zero
//!         bit 63       one exactly when p is not zero
//! L bytes              walpb.Record
//! p bytes              zero
//! ```
//! A length field of zero ends the log in its file. Source: etcd's `server/storage/wal` as data
//! directories of 3.4 to 3.8 show it; `docs/formats/wal.md`.
use bytes::BufMut;

/// Bytes of the length field.
pub(crate) const LENGTH_BYTES: usize = 8;
/// A write is torn, if at all, between sectors of this size.
pub(crate) const SECTOR_BYTES: u64 = 512;

const LENGTH_BITS: u32 = 56;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
const PADDED_BIT: u64 = 1 << 63;
const ALIGN: u64 = 8;

const _: () = assert!(
    SECTOR_BYTES.is_multiple_of(ALIGN),
    "a length field lies in one sector"
);
const _: () = assert!(
    LENGTH_BYTES as u64 == ALIGN,
    "padding keeps every length field aligned"
);

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Who the log belongs to: bytes of the caller; the same at the head of every segment.
    Metadata,
    /// A `raftpb.Entry`.
    Entry,
    /// A `raftpb.HardState`.
    State,
    /// No data: the checksum so far, at the head of a segment.
    Crc,
    /// A `walpb.Snapshot`: a snapshot was taken or received.
    Snapshot,
}

impl RecordKind {
    /// The number on disk.
    pub const fn number(self) -> u8 {
        match self {
            Self::Metadata => 1,
            Self::Entry => 2,
            Self::State => 3,
            Self::Crc => 4,
            Self::Snapshot => 5,
        }
    }

    /// The kind of a number on disk.
    pub(crate) const fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Metadata),
            2 => Some(Self::Entry),
            3 => Some(Self::State),
            4 => Some(Self::Crc),
            5 => Some(Self::Snapshot),
            _ => None,
        }
    }
}

/// A decoded length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameLen {
    pub(crate) record_bytes: u64,
    pub(crate) pad_bytes: u64,
}

impl FrameLen {
    pub(crate) const fn of_record(record_bytes: u64) -> Self {
        Self {
            record_bytes,
            pad_bytes: record_bytes.wrapping_neg() % ALIGN,
        }
    }

    pub(crate) const fn encode(self) -> u64 {
        let flag = if self.pad_bytes == 0 { 0 } else { PADDED_BIT };
        self.record_bytes | self.pad_bytes << LENGTH_BITS | flag
    }

    /// `None` for a field no encoder writes: the wrong padding, or reserved bits.
    pub(crate) fn decode(field: u64) -> Option<Self> {
        let len = Self::of_record(field & LENGTH_MASK);
        (len.encode() == field).then_some(len)
    }

    /// Record and padding.
    pub(crate) const fn body_bytes(self) -> u64 {
        self.record_bytes + self.pad_bytes
    }
}

/// Zero bytes up to the alignment.
pub(crate) fn put_padding(buf: &mut Vec<u8>, len: FrameLen) {
    for _ in 0..len.pad_bytes {
        buf.put_u8(0);
    }
}

#[cfg(test)]
mod tests;
