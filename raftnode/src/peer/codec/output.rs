//! Encoded bytes that are not sent yet.
use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};

/// From this length on a value is sent from where it lies instead of being copied between its
/// neighbours: below it a copy costs less than another piece in the socket's write.
const SHARE_BYTES: usize = 8 << 10;

/// A queue of pieces to send.
#[derive(Debug, Default)]
pub struct Output {
    pieces: VecDeque<Bytes>,
    /// What comes after `pieces`.
    tail: BytesMut,
    len: usize,
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next piece.
    pub fn pop(&mut self) -> Option<Bytes> {
        let piece = match self.pieces.pop_front() {
            Some(piece) => piece,
            None if self.tail.is_empty() => return None,
            None => self.tail.split().freeze(),
        };
        self.len -= piece.len();
        Some(piece)
    }

    pub(super) fn put_u8(&mut self, byte: u8) {
        self.tail.put_u8(byte);
        self.len += 1;
    }

    pub(super) fn put_u64(&mut self, value: u64) {
        self.tail.put_u64(value);
        self.len += size_of::<u64>();
    }

    /// What `write` appends to the buffer.
    pub(super) fn put_with(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// A value, shared when it is large.
    pub(super) fn put_shared(&mut self, value: &Bytes) {
        self.len += value.len();
        if value.len() < SHARE_BYTES {
            self.tail.extend_from_slice(value);
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(value.clone());
    }
}
