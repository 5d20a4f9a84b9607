//! Pages and trees, as bbolt's own tools print them.
use anyhow::Result;
use bytes::Bytes;
use varve_backend::bbolt::{BRANCH, FREELIST, LEAF, META, Meta};
use varve_backend_btree::{LeafValue, PageContent, PageDump, PageInfo, PageKind, TreePage};

use super::file::DbFile;
use crate::console::Console;
use crate::dump_wal::hex;
use crate::go_text::{go_quoted, printable};

/// Prints a line for each page.
pub(super) fn list(file: &DbFile, console: &mut Console<'_>) -> Result<bool> {
    let pages = file.consistent(|reading| reading.snapshot.pages())?;
    console.heading("ID       TYPE       ITEMS  OVRFLW")?;
    console.heading("======== ========== ====== ======")?;
    for PageInfo {
        id,
        kind,
        count,
        overflow,
    } in pages
    {
        // bbolt counts nothing in a free page.
        let number = |number: u64| match kind {
            PageKind::Free => String::new(),
            _ => number.to_string(),
        };
        let overflow = match overflow {
            0 => String::new(),
            overflow => number(overflow),
        };
        let (kind, count) = (kind_name(kind), number(count));
        writeln!(console.out, "{id:<8} {kind:<10} {count:<6} {overflow:<6}")?;
    }
    Ok(true)
}

fn kind_name(kind: PageKind) -> &'static str {
    match kind {
        PageKind::Meta => "meta",
        PageKind::Freelist => "freelist",
        PageKind::Branch => "branch",
        PageKind::Leaf => "leaf",
        PageKind::Free => "free",
    }
}

/// Prints what is in some pages; false when one of them is damaged.
pub(super) fn show(file: &DbFile, ids: &[u64], console: &mut Console<'_>) -> Result<bool> {
    let mut sound = true;
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            writeln!(
                console.out,
                "==============================================="
            )?;
        }
        // One page at a time: the others are of use also when one is damaged.
        match file.consistent(|reading| reading.snapshot.page(*id)) {
            Ok(page) => print(*id, &page, console)?,
            Err(flaw) => {
                console.complain(&format_args!("page {id}: {flaw:#}"))?;
                sound = false;
            }
        }
    }
    Ok(sound)
}

fn print(id: u64, page: &PageDump, console: &mut Console<'_>) -> Result<()> {
    let kind = match page.header.flags {
        META => "meta".to_owned(),
        FREELIST => "freelist".to_owned(),
        BRANCH => "branch".to_owned(),
        LEAF => "leaf".to_owned(),
        other => format!("unknown<{other:02x}>"),
    };
    let (bytes, overflow) = (page.bytes, page.header.overflow);
    writeln!(
        console.out,
        "Page ID:    {id}\nPage Type:  {kind}\nTotal Size: {bytes} bytes\nOverflow pages: {overflow}"
    )?;
    match &page.content {
        PageContent::Meta(meta) => print_meta(meta, console)?,
        PageContent::Freelist(ids) => {
            let count = ids.len();
            writeln!(console.out, "Item Count: {count}\nOverflow: {overflow}\n")?;
            for id in ids {
                writeln!(console.out, "{id}")?;
            }
        }
        PageContent::Branch(children) => {
            writeln!(console.out, "Item Count: {}\n", children.len())?;
            for (key, child) in children {
                writeln!(console.out, "{}: <pgid={child}>", readable(key))?;
            }
        }
        PageContent::Leaf(items) => {
            writeln!(console.out, "Item Count: {}\n", items.len())?;
            for (key, value) in items {
                let value = match value {
                    LeafValue::Value(value) => text_or_hex(value),
                    LeafValue::Bucket { root, sequence } => format!("<pgid={root},seq={sequence}>"),
                    LeafValue::InlineBucket { sequence, .. } => format!("<pgid=0,seq={sequence}>"),
                };
                writeln!(console.out, "{}: {value}", readable(key))?;
            }
        }
    }
    writeln!(console.out)?;
    Ok(())
}

fn print_meta(meta: &Meta, console: &mut Console<'_>) -> Result<()> {
    let encoded = meta.encode(meta.slot());
    let checksum = encoded
        .last_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
    writeln!(
        console.out,
        "Version:    2\nPage Size:  {} bytes\nFlags:      00000000\nRoot:       <pgid={}>\n\
         Freelist:   <pgid={}>\nHWM:        <pgid={}>\nTxn ID:     {}\nChecksum:   {checksum:016x}",
        meta.page_size, meta.root, meta.freelist, meta.high_water, meta.txid,
    )?;
    Ok(())
}

/// A key: text in quotes, anything else as hex digits.
fn readable(bytes: &[u8]) -> String {
    printable(bytes).map_or_else(|| hex(bytes), |_| go_quoted(bytes))
}

/// A value: text as it is, anything else as hex digits.
fn text_or_hex(bytes: &[u8]) -> String {
    printable(bytes).map_or_else(|| hex(bytes), str::to_owned)
}

/// Prints the pages of each bucket, indented by their depth.
pub(super) fn tree(file: &DbFile, bucket: Option<&str>, console: &mut Console<'_>) -> Result<bool> {
    let (pages, flaw) = file.consistent(|reading| {
        let mut pages = Vec::new();
        let walked = reading.snapshot.tree(&mut |page| {
            pages.push(page);
            true
        });
        Ok((pages, walked.err()))
    })?;
    let wanted = |page: &&TreePage| match bucket {
        None => true,
        Some(name) => page.bucket.first().is_some_and(|first| first == name),
    };
    let mut shown: Option<&[Bytes]> = None;
    for page in pages.iter().filter(wanted) {
        if page.depth == 0 || shown != Some(&page.bucket) {
            let names: Vec<_> = page.bucket.iter().map(|name| go_quoted(name)).collect();
            let name = if names.is_empty() {
                "buckets".to_owned()
            } else {
                format!("bucket {}", names.join("/"))
            };
            console.heading(&name)?;
            shown = Some(&page.bucket);
        }
        writeln!(console.out, "{}", tree_line(page))?;
    }
    if shown.is_none() && flaw.is_none() {
        anyhow::bail!("got nil bucket for {}", bucket.unwrap_or_default());
    }
    match flaw {
        None => Ok(true),
        Some(flaw) => console.complain(&flaw).map(|()| false),
    }
}

fn tree_line(page: &TreePage) -> String {
    let indent = "  ".repeat(page.depth + 1);
    let place = match (page.id, page.overflow) {
        (None, _) => "inline".to_owned(),
        (Some(id), 0) => format!("page {id}"),
        (Some(id), overflow) => format!("pages {id} to {}", id + overflow),
    };
    let first = page.first_key.as_deref().map(readable);
    let first = first.map(|key| format!(", from {key}")).unwrap_or_default();
    let (kind, count, used) = (kind_name(page.kind), page.count, page.used_bytes);
    format!("{indent}{place}: {kind}, {count} items, {used} bytes{first}")
}
