//! Blocks of a segment, read by another thread while the one before is looked at.
//!
//! Copying a log out of the page cache takes about as long as checking it; at a start both cores are
//! idle, so a long segment is read by two. Blocks begin at multiples of [`STEP_BYTES`] and overlap by
//! [`OVERLAP_BYTES`], so that a record that begins in one is nearly always whole in it.
//!
//! # Failure model
//! A read that fails ends the thread; the reader then reads for itself and meets the failure, if it
//! lasts, at its own place. Dropping an [`Ahead`] waits for the thread, so that no handle, and with it
//! no lock of the segment, outlives the reader.
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::{Bytes, BytesMut};
use varve_vfs::File;

/// From one block to the next.
pub(super) const STEP_BYTES: u64 = 1 << 20;
/// What a block has in common with the next.
const OVERLAP_BYTES: u64 = 16 << 10;
/// Blocks that wait to be looked at: little is read for nothing when the log ends early.
const WAITING: usize = 2;

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
    /// Begins to read `file`, which has `len_bytes`, at the block in which `offset` lies. `None` when
    /// the system has no thread to spare: reading works without.
    pub(super) fn start(file: &Arc<dyn File>, offset: u64, len_bytes: u64) -> Option<Self> {
        let (show, blocks) = sync_channel(WAITING);
        let file = Arc::clone(file);
        let from = offset / STEP_BYTES * STEP_BYTES;
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
    let mut at = from;
    while at < len_bytes {
        let wanted = (STEP_BYTES + OVERLAP_BYTES).min(len_bytes - at);
        let mut buf = BytesMut::zeroed(usize::try_from(wanted).expect("a block fits into memory"));
        let Ok(len) = super::fill(file, &mut buf, at) else {
            return;
        };
        buf.truncate(len);
        let bytes = buf.freeze();
        if show.send(Block { at, bytes }).is_err() {
            return;
        }
        at += STEP_BYTES;
    }
}
