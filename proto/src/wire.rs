//! Protobuf at the level of bytes, for where stored bytes are wire bytes.
//!
//! `mvcc` reads records by [`KeyValueView`] without decoding them; `server` puts stored records into
//! responses by [`put_len_delimited_head`] and the record's own [`Bytes`](bytes::Bytes). Pure
//! functions, any thread.
//!
//! # Invariants
//!
//! 1. What is written here is what prost would write, and what is read here is what prost would read
//!    (tests compare the two).
//! 2. No input makes this panic or allocate more than the input's length.
//!
//! # Not here
//!
//! Groups: no message of etcd's has one, and they are refused.

mod kv;
mod read;
mod write;

pub use kv::KeyValueView;
pub use read::{Field, Fields, Value, get_varint};
pub use write::{
    field_size, len_delimited_head_size, len_delimited_size, put_bool, put_int64,
    put_len_delimited, put_len_delimited_head, put_uint64, put_varint, varint_size,
};

/// Wire type of integers and booleans.
const VARINT: u8 = 0;
/// Wire type of eight little-endian bytes.
const FIXED64: u8 = 1;
/// Wire type of bytes, strings and messages.
const LEN: u8 = 2;
/// Wire type of four little-endian bytes.
const FIXED32: u8 = 5;

#[cfg(test)]
mod tests;
