//! Stored records and the events made of them: protobuf bytes that are passed on, not rebuilt.
//!
//! The value under a revision is an encoded `mvccpb.KeyValue`, and responses and events embed it as it
//! is. This module writes those bytes once and afterwards only looks into them.
//!
//! Called wherever rows are written or read; on the apply thread, on readers' threads and in the
//! background.
//!
//! # Not here
//!
//! The messages themselves: `varve_proto::mvccpb`.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use varve_backend::MAX_VALUE_LEN;
use varve_proto::mvccpb::KeyValue;

use crate::error::{Error, Result};
use crate::revision::{Revision, RowKey};

#[cfg(test)]
mod tests;

const MESSAGE: &str = "mvccpb.KeyValue";

/// The fields of a stored record; key and value are offsets into its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub key: Range<usize>,
    pub created: i64,
    pub modified: i64,
    pub version: i64,
    /// The value with and without the field's tag and length.
    pub value: Range<usize>,
    value_field: Range<usize>,
    pub lease: i64,
}

/// A cursor over protobuf fields that remembers where it is.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut rest = &self.bytes[self.at..];
        let before = rest.len();
        let number = decode_varint(&mut rest).map_err(|_| "expected a varint")?;
        self.at += before - rest.len();
        Ok(number)
    }

    fn skip(&mut self, len: u64) -> Result<Range<usize>, &'static str> {
        let left = self.bytes.len() - self.at;
        let len = usize::try_from(len).ok().filter(|len| *len <= left);
        let start = self.at;
        self.at += len.ok_or("expected more bytes than there are")?;
        Ok(start..self.at)
    }
}

impl Record {
    /// Looks through an encoded record. On failure, the offset and what is wrong there.
    fn parse(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        let mut record = Self::default();
        let mut fields = Fields { bytes, at: 0 };
        while fields.at < bytes.len() {
            let start = fields.at;
            let at = |what| (start, what);
            let tag = fields.varint().map_err(at)?;
            let (number, wire) = (tag >> 3, tag & 7);
            if number == 0 {
                return Err((start, "expected a field number above 0"));
            }
            match (number, wire) {
                (1 | 5, 2) => {
                    let len = fields.varint().map_err(at)?;
                    let data = fields.skip(len).map_err(at)?;
                    if number == 1 {
                        record.key = data;
                    } else {
                        record.value = data;
                        record.value_field = start..fields.at;
                    }
                }
                (2 | 3 | 4 | 6, 0) => {
                    let number_read = fields.varint().map_err(at)?.cast_signed();
                    match number {
                        2 => record.created = number_read,
                        3 => record.modified = number_read,
                        4 => record.version = number_read,
                        _ => record.lease = number_read,
                    }
                }
                (1..=6, _) => return Err((start, "expected the field's wire type")),
                // A field some later version added.
                (_, 0) => {
                    fields.varint().map_err(at)?;
                }
                (_, 1) => {
                    fields.skip(8).map_err(at)?;
                }
                (_, 2) => {
                    let len = fields.varint().map_err(at)?;
                    fields.skip(len).map_err(at)?;
                }
                (_, 5) => {
                    fields.skip(4).map_err(at)?;
                }
                _ => return Err((start, "expected a wire type of 0, 1, 2 or 5")),
            }
        }
        Ok(record)
    }

    /// Reads the record stored under `row`.
    pub(crate) fn of_row(row: RowKey, bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|(offset, what)| Error::BadRecord {
            bucket: crate::schema::KEY.name(),
            row: row.revision.to_string(),
            message: MESSAGE,
            offset,
            what,
        })
    }
}

/// Bytes a record can take besides its key and value: six tags, four numbers, two lengths.
const MAX_OVERHEAD: usize = 6 + 4 * 10 + 2 * 10;

/// Whether an engine stores a pair of this key and value. [`Error::EmptyKey`], [`Error::TooLarge`].
pub(crate) fn check_size(key: &Bytes, value: &Bytes) -> Result<()> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let len = key.len() + value.len() + MAX_OVERHEAD;
    if len > MAX_VALUE_LEN {
        let limit = MAX_VALUE_LEN;
        return Err(Error::TooLarge { len, limit });
    }
    Ok(())
}

const KEY_FIELD: u8 = 1 << 3 | 2;
const CREATED_FIELD: u8 = 2 << 3;
const MODIFIED_FIELD: u8 = 3 << 3;
const VERSION_FIELD: u8 = 4 << 3;
const VALUE_FIELD: u8 = 5 << 3 | 2;
const LEASE_FIELD: u8 = 6 << 3;

/// A field of bytes, which is left out when empty.
fn put_bytes(tag: u8, bytes: &[u8], to: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_message(tag, bytes, to);
    }
}

/// A field that is a number, which is left out when 0.
fn put_number(tag: u8, number: i64, to: &mut Vec<u8>) {
    if number != 0 {
        to.push(tag);
        encode_varint(number.cast_unsigned(), to);
    }
}

/// A put as it is stored. Written field by field: a message would share key and value, which costs an
/// allocation each where they were not shared before.
pub(crate) fn put(
    key: &[u8],
    value: &[u8],
    revision: Revision,
    created: i64,
    version: i64,
    lease: i64,
) -> Bytes {
    let numbers = [
        (CREATED_FIELD, created),
        (MODIFIED_FIELD, revision.main),
        (VERSION_FIELD, version),
    ];
    let of_number = |number: i64| match number {
        0 => 0,
        number => 1 + encoded_len_varint(number.cast_unsigned()),
    };
    let of_bytes = |bytes: &[u8]| match bytes.len() {
        0 => 0,
        len => message_len(len),
    };
    let len = of_bytes(key)
        + numbers.iter().map(|(_, n)| of_number(*n)).sum::<usize>()
        + of_bytes(value)
        + of_number(lease);
    let mut record = Vec::with_capacity(len);
    put_bytes(KEY_FIELD, key, &mut record);
    for (tag, number) in numbers {
        put_number(tag, number, &mut record);
    }
    put_bytes(VALUE_FIELD, value, &mut record);
    put_number(LEASE_FIELD, lease, &mut record);
    record.into()
}

/// A deletion as it is stored.
pub(crate) fn tombstone(key: &[u8]) -> Bytes {
    let mut record = Vec::with_capacity(message_len(key.len()));
    put_bytes(KEY_FIELD, key, &mut record);
    record.into()
}

/// The record without its value; the same bytes when it has none.
pub(crate) fn without_value(row: RowKey, bytes: &Bytes) -> Result<Bytes> {
    let field = Record::of_row(row, bytes)?.value_field;
    if field.is_empty() {
        return Ok(bytes.clone());
    }
    let mut rest = BytesMut::with_capacity(bytes.len() - field.len());
    rest.put_slice(&bytes[..field.start]);
    rest.put_slice(&bytes[field.end..]);
    Ok(rest.freeze())
}

const EVENT_TYPE: u8 = 1 << 3;
const EVENT_KV: u8 = 2 << 3 | 2;
const EVENT_PREV_KV: u8 = 3 << 3 | 2;
const DELETE: u8 = 1;

fn message_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_message(tag: u8, message: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    encode_varint(message.len() as u64, to);
    to.extend_from_slice(message);
}

/// An encoded `mvccpb.Event`: `stored` is the record of a put, or of a deletion at `revision`.
pub(crate) fn event(row: RowKey, stored: &Bytes, key: &[u8], previous: Option<&Bytes>) -> Bytes {
    let mut bytes = Vec::new();
    let room = stored.len() + 32 + previous.map_or(0, |p| message_len(p.len()));
    bytes.reserve_exact(room);
    if row.tombstone {
        bytes.extend([EVENT_TYPE, DELETE]);
        let kv = KeyValue {
            key: Bytes::copy_from_slice(key),
            mod_revision: row.revision.main,
            ..KeyValue::default()
        };
        put_message(EVENT_KV, &kv.encode_to_vec(), &mut bytes);
    } else {
        put_message(EVENT_KV, stored, &mut bytes);
    }
    if let Some(previous) = previous {
        put_message(EVENT_PREV_KV, previous, &mut bytes);
    }
    bytes.into()
}
