//! A read-only memory map of the database file: the only unsafe code of the workspace.
//!
//! Made by the engine when it opens or outgrows its map; read on any thread through
//! [`MappedSource`](crate::source::MappedSource). docs/UNSAFE.md lists the claims.
//!
//! # Invariants
//! 1. The file is locked exclusively while a map of it lives, so nobody else shortens it.
//! 2. Callers ask only for ranges inside the file ([`MappedSource`](crate::source::MappedSource) checks
//!    the length it was told) and only for pages that a registered reader keeps from being rewritten.
#![expect(
    unsafe_code,
    reason = "turning a map into slices is what this file is for"
)]
use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

#[cfg(test)]
mod tests;

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

#[derive(Debug)]
pub(crate) struct Map {
    raw: MmapRaw,
}

impl Map {
    /// Maps the first `len` bytes; the map may be longer than the file.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Self> {
        Ok(Self {
            raw: MmapOptions::new().len(len).map_raw_read_only(file)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Asks for the cache lines of a range, so that they come while something else is done. A hint: it
    /// reads nothing, waits for nothing, and does not fetch a page that is not in memory.
    pub(crate) fn prefetch(&self, offset: usize, len: usize) {
        #[cfg(target_arch = "x86_64")]
        for at in (offset & !(LINE - 1)..offset.saturating_add(len)).step_by(LINE) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

            let line = self.raw.as_ptr().wrapping_add(at);
            // SAFETY: the instruction accesses no memory that the program could tell of and faults at no
            // address; every x86-64 processor has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (offset, len);
    }

    /// A range of the map; `None` when it is not inside.
    pub(crate) fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len)?;
        if end > self.raw.len() {
            return None;
        }
        // SAFETY: `offset <= end <= raw.len()`, so the pointer stays inside the one mapped object.
        let start = unsafe { self.raw.as_ptr().add(offset) };
        // SAFETY: the range is mapped for as long as `self` is borrowed (checked above; the map is only
        // unmapped on drop), it is backed by the file (module invariant 2: else SIGBUS, not undefined
        // behaviour), u8 has no alignment or validity demands, and the pages in it are not written while
        // a reader may see them (copy on write, reader registry).
        Some(unsafe { std::slice::from_raw_parts(start, len) })
    }
}
