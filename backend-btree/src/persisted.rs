//! The freelist page: written when `freelist_sync` is on, verified by `check`, never trusted.
//!
//! Opening walks the tree instead: a damaged list would hand out pages that are in use.
use varve_backend::Result;
use varve_backend::bbolt::{FREELIST, HEADER_LEN, PageHeader};

use crate::page::{Pages, corrupt};
use crate::walk::freelist_run;

/// More ids than the header can count are counted by the first id.
const COUNT_IN_BODY: u16 = 0xFFFF;

/// A freelist page of `pages` pages.
pub(crate) fn encode(id: u64, pages: u64, free: &[u64], page_size: usize) -> Vec<u8> {
    let count = u16::try_from(free.len()).unwrap_or(COUNT_IN_BODY);
    let overflow = u32::try_from(pages - 1).expect("a freelist of 4 billion pages has no file");
    let header = PageHeader {
        id,
        flags: FREELIST,
        count,
        overflow,
    };
    let mut out = header.encode().to_vec();
    if count == COUNT_IN_BODY {
        out.extend_from_slice(&(free.len() as u64).to_le_bytes());
    }
    for id in free {
        out.extend_from_slice(&id.to_le_bytes());
    }
    let pages = usize::try_from(pages).expect("the list was built in memory");
    out.resize(pages * page_size, 0);
    out
}

/// The ids in a freelist page.
pub(crate) fn decode(pages: &Pages, id: u64) -> Result<Vec<u64>> {
    let run = freelist_run(pages, id)?;
    let at = pages.offset(id);
    let len = usize::try_from(run.len)
        .unwrap_or(usize::MAX)
        .saturating_mul(pages.page_size);
    let page = pages.source.read(at, len)?;
    let word = |at: usize| {
        let bytes = page.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map(u64::from_le_bytes)
    };
    let header = PageHeader::decode(&page)
        .ok_or_else(|| corrupt(&pages.path, at, "freelist page", "16 bytes", page.len()))?;
    let (count, first) = if header.count == COUNT_IN_BODY {
        (word(HEADER_LEN).unwrap_or(u64::MAX), HEADER_LEN + 8)
    } else {
        (u64::from(header.count), HEADER_LEN)
    };
    let room = (page.len() - HEADER_LEN) / 8;
    let count = usize::try_from(count)
        .ok()
        .filter(|c| *c <= room)
        .ok_or_else(|| {
            corrupt(
                &pages.path,
                at,
                "freelist count",
                format!("at most {room}"),
                count,
            )
        })?;
    (0..count)
        .map(|i| {
            word(first + 8 * i)
                .ok_or_else(|| corrupt(&pages.path, at, "freelist", "ids inside the page", count))
        })
        .collect()
}
