//! The pages of a commit on their way to the file.
//!
//! Used by a transaction under the writer lock. Pages that follow each other are gathered in one buffer,
//! which stays with the writer from commit to commit, and written together.
//!
//! # Failure model
//! What is written here are pages that are free in every commit the file has and that no reader sees:
//! whether they reach the medium matters only once a meta names them. After an error nobody knows what
//! is in them; the engine refuses further commits.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use varve_backend::{Error, Result};
use varve_vfs::File;

mod ahead;

use ahead::Ahead;

/// Bytes written at a time: enough that the call itself costs little, and no more, because for larger
/// writes Linux takes large folios into its page cache, which are memory that nobody used lately. In a
/// virtual machine that was measured at ten times the CPU time per byte (docs/PERFORMANCE.md).
const WRITE_BYTES: usize = 64 << 10;
/// A buffer that grew larger (for a large value) is not kept.
const KEEP_BYTES: usize = 4 << 20;

/// Where the pages go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'e> {
    pub(crate) file: &'e Arc<dyn File>,
    pub(crate) path: &'e Path,
    /// Length of the file, shared with the maps.
    pub(crate) file_len: &'e AtomicU64,
    pub(crate) page_size: u64,
    /// By how much a file grows at a time that is this large.
    pub(crate) grow_bytes: u64,
    /// See [`BtreeOptions`](crate::BtreeOptions::sync_ahead_bytes).
    pub(crate) sync_ahead_bytes: u64,
}

/// Gathers and writes pages.
pub(crate) struct Out<'e> {
    target: Target<'e>,
    buf: Vec<u8>,
    /// Offset in the file of the first byte in `buf`.
    at: u64,
    ahead: Ahead,
}

impl<'e> Out<'e> {
    pub(crate) fn new(target: Target<'e>, buf: Vec<u8>) -> Self {
        Self {
            target,
            buf,
            at: 0,
            ahead: Ahead::new(target.sync_ahead_bytes),
        }
    }

    /// Takes the page (or the run) that starts at `id`; `build` appends its bytes to the buffer.
    pub(crate) fn page(&mut self, id: u64, build: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<()> {
        let offset = id * self.target.page_size;
        if self.at + self.buf.len() as u64 != offset {
            self.flush()?;
            self.at = offset;
        }
        self.buf = build(std::mem::take(&mut self.buf));
        let whole = self.buf.len() - self.buf.len() % WRITE_BYTES;
        self.write(whole)
    }

    fn flush(&mut self) -> Result<()> {
        self.write(self.buf.len())
    }

    /// Writes what was gathered and makes all of it durable, in a file of `end` bytes at least.
    pub(crate) fn sync(&mut self, end: u64) -> Result<()> {
        self.flush()?;
        self.target.grow_to(end)?;
        let synced = self.target.sync("sync");
        let ahead = self.ahead.join();
        synced?;
        ahead.map_err(|e| Error::io("sync", self.target.path, e))
    }

    /// Writes the first `len` bytes.
    fn write(&mut self, len: usize) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.target.grow_to(self.at + len as u64)?;
        for piece in self.buf[..len].chunks(WRITE_BYTES) {
            self.target.write("write", piece, self.at)?;
            self.at += piece.len() as u64;
        }
        self.ahead.wrote(self.target.file, len as u64);
        self.buf.drain(..len);
        Ok(())
    }

    /// The buffer, for the next commit.
    pub(crate) fn into_buffer(mut self) -> Vec<u8> {
        self.buf.clear();
        self.buf.shrink_to(KEEP_BYTES);
        self.buf
    }
}

impl Target<'_> {
    /// Makes the file at least `need` bytes long.
    pub(crate) fn grow_to(&self, need: u64) -> Result<()> {
        if need > self.file_len.load(Ordering::Relaxed) {
            let len = grown_len(need, self.grow_bytes);
            let grown = self.file.set_len(len);
            grown.map_err(|e| Error::io("grow", self.path, e))?;
            self.file_len.store(len, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn write(&self, what: &'static str, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|e| Error::io(what, self.path, e))
    }

    pub(crate) fn sync(&self, what: &'static str) -> Result<()> {
        let synced = self.file.sync_data();
        synced.map_err(|e| Error::io(what, self.path, e))
    }
}

/// Files below this length double, so that tests and small stores stay small.
const DOUBLE_BELOW: u64 = 1 << 20;

/// Length of a file that must have `need` bytes: small files double, larger ones grow by a thirty-second
/// of their length, by `step` at most.
pub(crate) fn grown_len(need: u64, step: u64) -> u64 {
    if need < DOUBLE_BELOW {
        let doubled = need.next_power_of_two();
        return doubled.min(need.saturating_add(step));
    }
    need.saturating_add((need / 32).max(DOUBLE_BELOW).min(step))
}
