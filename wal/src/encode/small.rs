//! A few protobuf fields, on the stack.

/// Longest varint.
const VARINT_MAX: usize = 10;
/// Four numbers with their tags.
const CAPACITY: usize = 4 * (1 + VARINT_MAX);

/// Up to four numbers with their tags. Aligned, since checksums go through words, and bytes before a
/// word go one by one.
#[derive(Debug)]
#[repr(align(8))]
pub(super) struct Small {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Default for Small {
    fn default() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }
}

impl Small {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends a tag of one byte and a varint.
    pub(super) fn number(&mut self, tag: u8, mut value: u64) {
        self.push(tag);
        while value >= 0x80 {
            self.push(0x80 | low_bits(value));
            value >>= 7;
        }
        self.push(low_bits(value));
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}

fn low_bits(value: u64) -> u8 {
    (value & 0x7f) as u8
}
