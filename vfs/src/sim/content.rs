//! The bytes of one file: sparse, and cheap to copy.
//!
//! A file is a map of pages that were ever written; what is missing reads as zero. Pages are shared
//! between the current content, the durable one and crash images until one of them changes.
//!
//! # Invariants
//! 1. No byte at or past `len_bytes` is set in any page, so that growing again reads as zero.
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the simulated medium writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;

const PAGE: usize = 4096;
const PAGE_U64: u64 = PAGE as u64;

/// A sparse byte string.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len_bytes: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

impl Content {
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Bytes the pages of this content take on the disk.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE_U64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let len = clamp(self.len_bytes.saturating_sub(offset), buf.len());
        let mut done = 0;
        while done < len {
            let (page, within) = locate(offset + done as u64);
            let n = (PAGE - within).min(len - done);
            let out = &mut buf[done..done + n];
            match self.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + n]),
                None => out.fill(0),
            }
            done += n;
        }
        len
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = locate(offset + done as u64);
            let n = (PAGE - within).min(bytes.len() - done);
            let piece = &bytes[done..done + n];
            // Zeros onto a hole stay a hole: prefilled log segments are 64 MB of them.
            if self.pages.contains_key(&page) || piece.iter().any(|b| *b != 0) {
                let slot = self
                    .pages
                    .entry(page)
                    .or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(slot)[within..within + n].copy_from_slice(piece);
            }
            done += n;
        }
        self.len_bytes = self.len_bytes.max(offset + bytes.len() as u64);
    }

    pub(super) fn set_len(&mut self, len_bytes: u64) {
        if len_bytes < self.len_bytes {
            let (last, within) = locate(len_bytes);
            drop(self.pages.split_off(&(last + u64::from(within != 0))));
            if within != 0
                && let Some(page) = self.pages.get_mut(&last)
            {
                Arc::make_mut(page)[within..].fill(0);
            }
        }
        self.len_bytes = len_bytes;
    }

    pub(super) fn grow_to(&mut self, len_bytes: u64) {
        self.len_bytes = self.len_bytes.max(len_bytes);
    }
}

/// The page of an offset and the place within it.
fn locate(offset: u64) -> (u64, usize) {
    let within = usize::try_from(offset % PAGE_U64).expect("less than a page");
    (offset / PAGE_U64, within)
}

fn clamp(available: u64, wanted: usize) -> usize {
    usize::try_from(available).map_or(wanted, |a| a.min(wanted))
}
