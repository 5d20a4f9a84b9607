//! What is wrong with bytes that should be a protobuf message.

use std::fmt;

/// Why bytes are not the message they should be. Offsets count from the start of the bytes given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A varint, or a length-delimited field, reaches past the end.
    Truncated {
        /// Where the missing bytes should begin.
        offset: usize,
        /// Bytes expected from there on; 1 for a varint, whose length is unknown.
        expected: u64,
        /// Bytes there are.
        found: usize,
    },
    /// A varint does not end within ten bytes, or holds more than 64 bits.
    VarintTooLong {
        /// Where the varint begins.
        offset: usize,
    },
    /// The field number is 0 or above 2^29 - 1.
    FieldNumber {
        /// Where the key begins.
        offset: usize,
        /// The number.
        found: u64,
    },
    /// The wire type is not the one the field has, or one proto3 does not know.
    WireType {
        /// Where the key begins.
        offset: usize,
        /// The field's number.
        field: u32,
        /// What would have been right.
        expected: &'static str,
        /// The wire type there.
        found: u8,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Truncated {
                offset,
                expected,
                found,
            } => write!(
                f,
                "truncated at offset {offset}: {expected} more bytes expected, {found} left"
            ),
            Error::VarintTooLong { offset } => {
                write!(f, "varint at offset {offset} holds more than 64 bits")
            }
            Error::FieldNumber { offset, found } => {
                write!(f, "field number {found} at offset {offset} is out of range")
            }
            Error::WireType {
                offset,
                field,
                expected,
                found,
            } => write!(
                f,
                "field {field} at offset {offset} has wire type {found}, expected {expected}"
            ),
        }
    }
}

impl std::error::Error for Error {}
