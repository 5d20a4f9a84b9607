//! Blocks of a segment, read by another thread while the one before is looked at.
//!
//! At a start the cores are idle, so a long segment is read by one and checked by another. A block
//! overlaps the next by [`OVERLAP_BYTES`], so that a record that begins in one is nearly always whole in
//! it.
//!
//! # Failure model
//! A read that fails, or a lack of memory, ends the thread; the reader then reads for itself and meets the
//! failure, if it lasts, at its own place. Dropping an [`Ahead`] waits for the thread, so that no handle,
//! and with it no lock of the segment, outlives the reader.
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use varve_vfs::File;

use super::block::{BLOCK_BYTES, Shelf};

/// What a block has in common with the next.
const OVERLAP_BYTES: usize = 16 << 10;
/// From one block to the next.
const STEP_BYTES: u64 = (BLOCK_BYTES - OVERLAP_BYTES) as u64;
/// Reading begins at a multiple of this: the page cache is copied page by page.
const PAGE_BYTES: u64 = 4 << 10;
/// Blocks that wait to be looked at: little is read for nothing when the log ends early.
const WAITING: usize = 1;

/// Part of a segment.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) at: u64,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct Ahead {
    blocks: Option<Receiver<Block>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to read `file`, which has `len_bytes`, at `offset`. `None` when
    /// the system has no thread to spare: reading works without.
    pub(super) fn start(file: &Arc<dyn File>, offset: u64, len_bytes: u64) -> Option<Self> {
        let (show, blocks) = sync_channel(WAITING);
        let file = Arc::clone(file);
        let from = offset - offset % PAGE_BYTES;
        let thread = Builder::new()
            .name("wal-read-ahead".to_owned())
            .spawn(move || run(file.as_ref(), from, len_bytes, &show))
            .ok()?;
        Some(Self {
            blocks: Some(blocks),
            thread: Some(thread),
        })
    }

    /// The first block not yet shown that reaches beyond `offset`; `None` when there is none.
    pub(super) fn block_beyond(&self, offset: u64) -> Option<Block> {
        let blocks = self.blocks.as_ref()?;
        loop {
            let block = blocks.recv().ok()?;
            if block.at + STEP_BYTES > offset {
                return Some(block);
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.blocks.take());
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that panics; if it did, its message is out.
            drop(thread.join());
        }
    }
}

fn run(file: &dyn File, from: u64, len_bytes: u64, show: &SyncSender<Block>) {
    let shelf = Shelf::default();
    let mut at = from;
    while at < len_bytes {
        let Ok(mut block) = shelf.take() else {
            return;
        };
        let left = usize::try_from(len_bytes - at).unwrap_or(BLOCK_BYTES);
        let wanted = left.min(BLOCK_BYTES);
        let Ok(len) = super::fill(file, &mut block[..wanted], at) else {
            return;
        };
        let bytes = block.share(len);
        if show.send(Block { at, bytes }).is_err() {
            return;
        }
        at += STEP_BYTES;
    }
}
