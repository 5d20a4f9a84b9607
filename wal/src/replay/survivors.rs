//! Entries whose block is mostly something else get memory of their own.
//!
//! An entry keeps the whole block alive that it was read into. Where most of a block is entries that is no
//! loss; where few are left of it (the last block of a log, records that later ones replaced) a handful of
//! bytes would keep megabytes for as long as a follower may ask for them.
use bytes::{Bytes, BytesMut};
use varve_proto::raftpb::Entry;

use crate::scan::BlockId;

/// Entries are copied when they are less than this part of their block.
const LEAST_PART: usize = 8;

/// The entries at the end of a replay that came out of one block.
#[derive(Debug, Default)]
pub(super) struct Survivors {
    block: Option<BlockId>,
    /// Position of the first of them.
    from: usize,
}

impl Survivors {
    /// The next entry comes out of `block`.
    pub(super) fn begin(&mut self, block: BlockId, entries: &mut [Entry]) {
        if self.block != Some(block) {
            self.end(entries);
            *self = Self {
                block: Some(block),
                from: entries.len(),
            };
        }
    }

    /// Entries from `position` on have been dropped.
    pub(super) fn cut_to(&mut self, position: usize) {
        self.from = self.from.min(position);
    }

    /// No more entries come out of the block.
    pub(super) fn end(&mut self, entries: &mut [Entry]) {
        let (Some(block), Some(entries)) = (self.block.take(), entries.get_mut(self.from..)) else {
            return;
        };
        let bytes = entries.iter().flat_map(|entry| &entry.data).map(Bytes::len);
        let bytes: usize = bytes.sum();
        if bytes >= block.len_bytes / LEAST_PART {
            return;
        }
        let mut own = BytesMut::with_capacity(bytes);
        for data in entries.iter_mut().flat_map(|entry| &mut entry.data) {
            own.extend_from_slice(data);
            *data = own.split().freeze();
        }
    }
}

#[cfg(test)]
mod tests;
