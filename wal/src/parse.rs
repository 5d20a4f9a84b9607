//! The bytes of a `walpb.Record`, taken apart without copying.
//!
//! Three fields: type (1, varint), crc (2, varint), data (3, bytes). Unknown fields are skipped and a
//! repeated field counts by its last occurrence, as protobuf demands.
#![deny(clippy::indexing_slicing)]
use std::ops::Range;

/// A record whose data is a range of the bytes it was parsed from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) kind: i64,
    pub(crate) crc: u32,
    pub(crate) data: Option<Range<usize>>,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A field goes past the end. etcd up to 3.6 takes this for a write cut short.
    Truncated,
    /// No reading makes sense.
    Invalid(&'static str),
}

/// Parses all of `bytes` as one record.
#[inline]
pub(crate) fn record(bytes: &[u8]) -> Result<Parsed, Flaw> {
    match plain(bytes) {
        Some(parsed) => Ok(parsed),
        None => general(bytes),
    }
}

/// A record in whatever order, with whatever else.
#[cold]
fn general(bytes: &[u8]) -> Result<Parsed, Flaw> {
    let mut at = Cursor { bytes, at: 0 };
    let mut parsed = Parsed::default();
    while !at.is_done() {
        field(&mut at, &mut parsed)?;
    }
    Ok(parsed)
}

/// A record as every encoder writes those with data, each field once and in ascending order; `None` for
/// any other, which the general way decides.
#[inline]
fn plain(bytes: &[u8]) -> Option<Parsed> {
    let [0x08, kind @ 0..=0x7f, 0x10, ..] = bytes else {
        return None;
    };
    let mut at = Cursor { bytes, at: 3 };
    let crc = at.varint().ok()?;
    if *bytes.get(at.at)? != 0x1a {
        return None;
    }
    at.at += 1;
    let data = at.bytes().ok()?;
    (data.end == bytes.len()).then_some(Parsed {
        kind: i64::from(*kind),
        crc: low_half(crc),
        data: Some(data),
    })
}

/// What stands before the data of a record, as encoders write it: type, crc, and the data's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: i64,
    pub(crate) crc: u32,
    /// Bytes before the data; in a crc record, which has none, the whole record.
    pub(crate) before_data: u64,
    /// Bytes of data.
    pub(crate) data_bytes: u64,
}

impl Head {
    /// Longest head: three tags, a type, a crc and a length.
    pub(crate) const MAX_BYTES: usize = 33;

    /// Length of the record.
    pub(crate) fn record_bytes(self) -> u64 {
        self.before_data.saturating_add(self.data_bytes)
    }
}

/// Parses the beginning of a record as encoders write it, whatever follows: its fields in ascending
/// order, its end being that of its data (of its crc in a crc record). The data need not be there.
pub(crate) fn head(bytes: &[u8]) -> Result<Head, Flaw> {
    const CRC_KIND: i64 = 4;
    const DATA_TAG: u64 = 3 << 3 | 2;
    let mut at = Cursor { bytes, at: 0 };
    let mut parsed = Parsed::default();
    for number in 1..=2 {
        if field(&mut at, &mut parsed)? != number {
            return Err(Flaw::Invalid("fields out of order"));
        }
    }
    let data_bytes = if parsed.kind == CRC_KIND {
        0
    } else {
        if at.varint()? != DATA_TAG {
            return Err(Flaw::Invalid("fields out of order"));
        }
        at.varint()?
    };
    Ok(Head {
        kind: parsed.kind,
        crc: parsed.crc,
        before_data: at.at as u64,
        data_bytes,
    })
}

/// Parses one field and returns its number.
fn field(at: &mut Cursor<'_>, parsed: &mut Parsed) -> Result<u64, Flaw> {
    let tag = at.varint()?;
    let (number, wire) = (tag >> 3, tag & 7);
    match (number, wire) {
        (1, 0) => parsed.kind = at.varint()?.cast_signed(),
        (2, 0) => parsed.crc = low_half(at.varint()?),
        (3, 2) => parsed.data = Some(at.bytes()?),
        (0, _) => return Err(Flaw::Invalid("field number 0")),
        (1..=3, _) => return Err(Flaw::Invalid("wire type of a known field")),
        (_, 0) => {
            at.varint()?;
        }
        (_, 1) => {
            at.take(8)?;
        }
        (_, 2) => {
            at.bytes()?;
        }
        (_, 5) => {
            at.take(4)?;
        }
        _ => return Err(Flaw::Invalid("wire type")),
    }
    Ok(number)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "uint32 of protobuf keeps the low half"
)]
const fn low_half(value: u64) -> u32 {
    value as u32
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Flaw::Truncated)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Flaw::Invalid("varint of more than ten bytes"))
    }

    fn take(&mut self, len: usize) -> Result<Range<usize>, Flaw> {
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.bytes.len());
        let range = self.at..end.ok_or(Flaw::Truncated)?;
        self.at = range.end;
        Ok(range)
    }

    #[inline]
    fn bytes(&mut self) -> Result<Range<usize>, Flaw> {
        let len = self.varint()?;
        // Go reads the length as a signed number and calls a negative one invalid, not truncated.
        if len > i64::MAX.cast_unsigned() {
            return Err(Flaw::Invalid("negative length"));
        }
        self.take(usize::try_from(len).map_err(|_| Flaw::Truncated)?)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests index what they made")]
mod tests;
