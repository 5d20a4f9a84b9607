//! Rows of bucket `key` from every leaf page of the file, whether a tree reaches it or not.
//!
//! For files that are damaged: pages are taken as they come, what is none is passed over. Stale pages hold
//! rows too, so a row may come twice, and rows that a compaction has deleted may come.
use anyhow::Result;
use prost::Message as _;
use varve_backend::bbolt::{
    BUCKET_FLAG, BUCKET_LEN, ELEMENT_LEN, HEADER_LEN, LEAF, LeafElement, PageHeader,
};
use varve_mvcc::RowKey;
use varve_proto::mvccpb::KeyValue;
use varve_vfs::File;

use super::decode::row_text;
use super::file::{DbFile, metas};
use crate::console::Console;

/// Page sizes there are, for a file whose first meta is damaged.
const PAGE_SIZES: [u64; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// etcd's page size, when no meta tells another.
const USUAL_PAGE_SIZE: u64 = 4096;

/// Prints the rows from `start` on.
pub(super) fn run(db: &DbFile, start: i64, console: &mut Console<'_>) -> Result<bool> {
    let file = db.open()?;
    let len_bytes = file.len()?;
    let page_size = page_size(&*file);
    if page_size.is_none() {
        console.note(&format_args!(
            "{} has no valid meta page; taking its pages for {USUAL_PAGE_SIZE} bytes each",
            db.path.display()
        ))?;
    }
    let page_size = page_size.unwrap_or(USUAL_PAGE_SIZE);
    let mut progress = console.progress(len_bytes);
    let pages = len_bytes / page_size;
    let mut id = 2;
    while id < pages {
        let Some(header) = header(&*file, id * page_size) else {
            break;
        };
        // An overflow that leads out of the file is a page of something else.
        let run = u64::from(header.overflow) + 1;
        let is_leaf = header.id == id && header.flags == LEAF && run <= pages - id;
        let run = if is_leaf { run } else { 1 };
        if is_leaf {
            let mut page = vec![0; usize::try_from(run * page_size)?];
            if file.read_exact_at(&mut page, id * page_size).is_err() {
                break;
            }
            print_leaf(id, &page, start, Nested::No, console)?;
        }
        progress.advance(run * page_size);
        id += run;
    }
    Ok(true)
}

fn page_size(file: &dyn File) -> Option<u64> {
    let mut sizes = PAGE_SIZES.iter().flat_map(|size| {
        let valid = metas(file, *size).into_iter().flatten();
        valid.map(|meta| u64::from(meta.page_size))
    });
    sizes.find(|size| PAGE_SIZES.contains(size))
}

/// None where the file ends: a running member may have shortened it.
fn header(file: &dyn File, offset: u64) -> Option<PageHeader> {
    let mut bytes = [0; HEADER_LEN];
    file.read_exact_at(&mut bytes, offset).ok()?;
    PageHeader::decode(&bytes)
}

/// Whether a leaf stands in another; then no third stands in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nested {
    No,
    Yes,
}

/// Prints the rows of a leaf, and of buckets that stand in it.
fn print_leaf(
    id: u64,
    page: &[u8],
    start: i64,
    nested: Nested,
    console: &mut Console<'_>,
) -> Result<()> {
    let Some(header) = PageHeader::decode(page) else {
        return Ok(());
    };
    for index in 0..header.count {
        let Some((flags, key, value)) = element(page, index) else {
            continue;
        };
        if flags & BUCKET_FLAG != 0 {
            if let Some(inline) = value.get(BUCKET_LEN..)
                && nested == Nested::No
            {
                print_leaf(id, inline, start, Nested::Yes, console)?;
            }
            continue;
        }
        let (Ok(row), Ok(kv)) = (RowKey::decode(key), KeyValue::decode(value)) else {
            continue;
        };
        if start == 0 || row.revision.main >= start {
            let (last, row) = (header.count - 1, row_text(row, &kv));
            writeln!(console.out, "pageID={id}, index={index}/{last}, {row}")?;
        }
    }
    Ok(())
}

/// Flags, key and value of an element, when they lie in the page.
fn element(page: &[u8], index: u16) -> Option<(u32, &[u8], &[u8])> {
    let at = HEADER_LEN + usize::from(index) * ELEMENT_LEN;
    let element = LeafElement::decode(page.get(at..)?)?;
    let key_at = at.checked_add(usize::try_from(element.pos).ok()?)?;
    let value_at = key_at.checked_add(usize::try_from(element.key_len).ok()?)?;
    let end = value_at.checked_add(usize::try_from(element.value_len).ok()?)?;
    Some((
        element.flags,
        page.get(key_at..value_at)?,
        page.get(value_at..end)?,
    ))
}
