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
