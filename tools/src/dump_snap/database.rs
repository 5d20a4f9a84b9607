//! A database that came with a snapshot: its two meta pages.
//!
//! # Layout
//! ```text
//! page header  16 bytes; the body of pages 0 and 1 follows
//! magic u32, version u32, page size u32, flags u32, root u64, sequence u64, freelist u64,
//! high water mark u64, transaction u64, FNV-1a 64 of all before it u64; all little-endian
//! ```
//! Source: bbolt's file format. The first valid meta page tells the page size, the one with the higher
//! transaction counts.
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use varve_vfs::{DynFs, OpenOptions};

use crate::console::Console;

const HEADER: usize = 16;
const BODY: usize = 64;
const CHECKSUM_AT: usize = 56;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// The second meta page is looked for at every page size bbolt uses.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=24;

/// A valid meta page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    page_bytes: u64,
    pages: u64,
    transaction: u64,
}

/// What was found in the file.
#[derive(Debug)]
pub(super) struct Database {
    file_bytes: u64,
    metas: [Option<Meta>; 2],
}

impl Database {
    pub(super) fn read(fs: &DynFs, file: &Path) -> Result<Self> {
        let cannot = || format!("cannot read {}", file.display());
        let handle = fs
            .open(file, OpenOptions::read_only())
            .with_context(cannot)?;
        let file_bytes = handle.len().with_context(cannot)?;
        let read = |offset: u64| -> Option<Meta> {
            let mut page = [0; HEADER + BODY];
            handle.read_exact_at(&mut page, offset).ok()?;
            parse(&page)
        };
        let first = read(0);
        let second = match first {
            Some(meta) => read(meta.page_bytes),
            None => PAGE_SIZES
                .map(|shift| 1 << shift)
                .find_map(|at| read(at).filter(|meta| meta.page_bytes == at)),
        };
        Ok(Self {
            file_bytes,
            metas: [first, second],
        })
    }

    /// The meta page in force.
    fn current(&self) -> Option<Meta> {
        self.metas
            .iter()
            .flatten()
            .copied()
            .max_by_key(|meta| meta.transaction)
    }

    pub(super) fn flaw(&self) -> Option<String> {
        let Some(meta) = self.current() else {
            return Some("neither meta page is valid: not a bbolt database".to_owned());
        };
        let needed = meta.pages.saturating_mul(meta.page_bytes);
        if needed > self.file_bytes {
            return Some(format!("{} bytes of {needed} are there", self.file_bytes));
        }
        // A database sent by a leader has both; one is overwritten in every transaction.
        let missing = self.metas.iter().position(Option::is_none)?;
        Some(format!("meta page {missing} is not valid"))
    }

    pub(super) fn print(&self, console: &mut Console<'_>) -> Result<()> {
        writeln!(console.out, "  size      {} bytes", self.file_bytes)?;
        if let Some(Meta {
            page_bytes,
            pages,
            transaction,
        }) = self.current()
        {
            let used = pages.saturating_mul(page_bytes);
            writeln!(
                console.out,
                "  database  {pages} pages of {page_bytes} bytes ({used} bytes), transaction {transaction}"
            )?;
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Json {
        let meta = self.current();
        json!({
            "kind": "database",
            "file_bytes": self.file_bytes,
            "page_bytes": meta.map(|meta| meta.page_bytes),
            "pages": meta.map(|meta| meta.pages),
            "transaction": meta.map(|meta| meta.transaction),
        })
    }
}

fn parse(page: &[u8; HEADER + BODY]) -> Option<Meta> {
    let body = &page[HEADER..];
    let word = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let sound = word(0)? == MAGIC
        && word(4)? == VERSION
        && long(CHECKSUM_AT)? == fnv1a(&body[..CHECKSUM_AT]);
    sound.then_some(Meta {
        page_bytes: u64::from(word(8)?),
        pages: long(40)?,
        transaction: long(48)?,
    })
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests;
