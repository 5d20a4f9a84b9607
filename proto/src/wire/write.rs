//! Writing fields.
//!
//! Field numbers are the caller's constants: 1 to 2^29 - 1.

use bytes::{BufMut, BytesMut};

use super::{LEN, VARINT};

/// Appends `value` as a varint: 1 to 10 bytes.
pub fn put_varint(buf: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        buf.put_u8(0x80 | low_seven_bits(value));
        value >>= 7;
    }
    buf.put_u8(low_seven_bits(value));
}

fn low_seven_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Bytes [`put_varint`] appends for `value`.
pub const fn varint_size(value: u64) -> usize {
    // Seven bits per byte, and zero takes one byte too.
    ((64 - (value | 1).leading_zeros()).div_ceil(7)) as usize
}

fn put_key(buf: &mut BytesMut, field: u32, wire_type: u8) {
    put_varint(buf, u64::from(field) << 3 | u64::from(wire_type));
}

const fn key_size(field: u32) -> usize {
    varint_size((field as u64) << 3)
}

/// Appends a field of type `uint64`, or nothing when `value` is 0, as proto3 does.
pub fn put_uint64(buf: &mut BytesMut, field: u32, value: u64) {
    if value != 0 {
        put_key(buf, field, VARINT);
        put_varint(buf, value);
    }
}

/// Appends a field of type `int64`, or nothing when `value` is 0. A negative value takes ten bytes.
pub fn put_int64(buf: &mut BytesMut, field: u32, value: i64) {
    put_uint64(buf, field, value.cast_unsigned());
}

/// Appends a field of type `bool`, or nothing when it is false.
pub fn put_bool(buf: &mut BytesMut, field: u32, value: bool) {
    put_uint64(buf, field, u64::from(value));
}

/// Bytes that [`put_uint64`] appends, and [`put_int64`] for the same bits.
pub const fn field_size(field: u32, value: u64) -> usize {
    if value == 0 {
        0
    } else {
        key_size(field) + varint_size(value)
    }
}

/// Appends a field of type `bytes`, `string` or message whose content is `bytes`.
///
/// The field is written even when `bytes` is empty: for a message that is presence. A caller with a
/// proto3 scalar of no bytes leaves the call out.
pub fn put_len_delimited(buf: &mut BytesMut, field: u32, bytes: &[u8]) {
    put_len_delimited_head(buf, field, bytes.len());
    buf.put_slice(bytes);
}

/// Appends key and length of such a field; `len_bytes` of content follow from elsewhere.
pub fn put_len_delimited_head(buf: &mut BytesMut, field: u32, len_bytes: usize) {
    put_key(buf, field, LEN);
    put_varint(buf, len_bytes as u64);
}

/// Bytes that [`put_len_delimited_head`] appends.
pub const fn len_delimited_head_size(field: u32, len_bytes: usize) -> usize {
    key_size(field) + varint_size(len_bytes as u64)
}

/// Bytes that [`put_len_delimited`] appends for `len_bytes` of content.
pub const fn len_delimited_size(field: u32, len_bytes: usize) -> usize {
    len_delimited_head_size(field, len_bytes) + len_bytes
}
