//! Received bytes that are not decoded yet.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]
use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::DecodeError;

/// A queue of received pieces. What lies within one piece is taken without a copy.
#[derive(Debug, Default)]
pub(super) struct Input {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Bytes taken since the stream began.
    offset: u64,
}

impl Input {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Bytes taken since the stream began.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes exactly `len` bytes once that many are there.
    pub(super) fn take(&mut self, len: usize) -> Option<Bytes> {
        if self.len < len {
            return None;
        }
        self.len -= len;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if let Some(front) = self.pieces.front_mut()
            && front.len() > len
        {
            return Some(front.split_to(len));
        }
        let mut first = self.pieces.pop_front().unwrap_or_default();
        if first.len() == len {
            return Some(first);
        }
        if first.len() > len {
            let taken = first.split_to(len);
            self.pieces.push_front(first);
            return Some(taken);
        }
        let mut whole = BytesMut::with_capacity(len);
        whole.extend_from_slice(&first);
        while whole.len() < len {
            // `self.len` said that there is enough.
            let mut piece = self.pieces.pop_front()?;
            let missing = len - whole.len();
            if piece.len() > missing {
                whole.extend_from_slice(&piece.split_to(missing));
                self.pieces.push_front(piece);
            } else {
                whole.extend_from_slice(&piece);
            }
        }
        Some(whole.freeze())
    }

    /// Takes everything.
    pub(super) fn take_rest(&mut self) -> Vec<Bytes> {
        self.len = 0;
        std::mem::take(&mut self.pieces).into()
    }

    /// Takes one byte.
    pub(super) fn take_u8(&mut self) -> Option<u8> {
        self.take(1).map(|mut bytes| bytes.get_u8())
    }

    /// Takes a big-endian integer.
    pub(super) fn take_u64(&mut self) -> Option<u64> {
        self.take(8).map(|mut bytes| bytes.get_u64())
    }

    /// Takes a length of at most `limit`.
    pub(super) fn take_len(
        &mut self,
        what: &'static str,
        limit: u64,
    ) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        let Some(claimed) = self.take_u64() else {
            return Ok(None);
        };
        match usize::try_from(claimed) {
            Ok(len) if claimed <= limit => Ok(Some(len)),
            _ => Err(DecodeError::TooLong {
                what,
                offset,
                claimed,
                limit,
            }),
        }
    }
}
