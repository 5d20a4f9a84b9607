//! What is wrong with bytes that should be a protobuf message.

/// Why bytes are not the message they should be. Offsets count from the start of the bytes given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A varint, or a length-delimited field, reaches past the end.
    #[error("truncated at offset {offset}: {expected} more bytes expected, {found} left")]
    Truncated {
        /// Where the missing bytes should begin.
        offset: usize,
        /// Bytes expected from there on; 1 for a varint, whose length is unknown.
        expected: u64,
        /// Bytes there are.
        found: usize,
    },
    /// A varint does not end within ten bytes, or holds more than 64 bits.
    #[error("varint at offset {offset} holds more than 64 bits")]
    VarintTooLong {
        /// Where the varint begins.
        offset: usize,
    },
    /// The field number is 0 or above 2^29 - 1.
    #[error("field number {found} at offset {offset} is out of range")]
    FieldNumber {
        /// Where the key begins.
        offset: usize,
        /// The number.
        found: u64,
    },
    /// The wire type is not the one the field has, or one proto3 does not know.
    #[error("field {field} at offset {offset} has wire type {found}, expected {expected}")]
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
