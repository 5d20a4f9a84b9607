//! Whether a database is sound: its pages and trees as `bbolt check` sees them, both meta pages, the rows of
//! bucket `key`, and the digest behind a file that `snapshot save` wrote.
//!
//! bbolt's format has checksums in its meta pages only: a bit that flips inside a key or value shows here
//! when the key's order, its form or that of the row suffers, and otherwise nowhere.
use anyhow::Result;
use prost::Message as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use varve_backend_btree::{CheckReport, LeafValue, PageContent};
use varve_mvcc::{RowKey, schema};
use varve_proto::mvccpb::KeyValue;
use varve_vfs::File;

use super::file::{DbFile, Reading};
use crate::console::Console;

/// A snapshot's digest stands behind the database, whose length is a multiple of this.
const SECTOR_BYTES: u64 = 512;
const DIGEST_BYTES: u64 = 32;
/// Read at a time for the digest.
const BLOCK_BYTES: usize = 1 << 20;

/// Faults in rows that are listed.
const MAX_ROW_FAULTS: usize = 1000;

/// What was found.
#[derive(Default)]
struct Verdict {
    report: CheckReport,
    txid: u64,
    page_bytes: u64,
    faults: Vec<String>,
}

/// Checks everything; false when something is wrong.
pub(super) fn run(file: &DbFile, json: bool, console: &mut Console<'_>) -> Result<bool> {
    let checked = file.consistent(|reading| {
        let report = reading.engine.check();
        let mut faults: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
        meta_faults(file, reading, &mut faults);
        // In a damaged tree the walk over its rows would only repeat what is known.
        if report.is_sound() {
            row_faults(file, reading, &mut faults)?;
        }
        Ok(Verdict {
            report,
            txid: reading.snapshot.txid(),
            page_bytes: reading.engine.page_size(),
            faults,
        })
    });
    let mut verdict = match checked {
        Ok(verdict) => verdict,
        Err(e) => match e.downcast_ref::<varve_backend::Error>() {
            Some(flaw) if flaw.is_corruption() => Verdict {
                faults: vec![flaw.to_string()],
                ..Verdict::default()
            },
            _ => return Err(e),
        },
    };
    let digest = digest(&*file.open()?, console)?;
    if digest == Some(false) {
        verdict.faults.push(format!(
            "{}: the SHA-256 at its end is not that of what stands before",
            file.path.display()
        ));
    }
    verdict.print(file, digest, json, console)?;
    Ok(verdict.faults.is_empty())
}

/// A member writes its meta pages in turn; one that is not valid is what a crash left, or damage.
fn meta_faults(file: &DbFile, reading: &Reading<'_>, faults: &mut Vec<String>) {
    for (page, meta) in reading.metas().into_iter().enumerate() {
        if let Err(fault) = meta {
            let offset = page as u64 * reading.engine.page_size() + fault.offset;
            faults.push(format!(
                "{}: {} of meta page {page} at offset {offset}: expected {}, found {}",
                file.path.display(),
                fault.what,
                fault.expected,
                fault.found,
            ));
        }
    }
}

/// Looks at every row of bucket `key`.
fn row_faults(
    file: &DbFile,
    reading: &Reading<'_>,
    faults: &mut Vec<String>,
) -> varve_backend::Result<()> {
    let snapshot = &reading.snapshot;
    let is_key = |name: &[u8]| name == schema::KEY.as_bytes();
    let mut pages = Vec::new();
    let mut holder = 0;
    snapshot.tree(&mut |page| {
        match page.id {
            Some(id) if page.bucket.is_empty() => holder = id,
            _ => {}
        }
        if page.bucket.len() == 1 && is_key(&page.bucket[0]) {
            pages.push(page.id.unwrap_or(holder));
        }
        true
    })?;
    for id in pages {
        let PageContent::Leaf(items) = snapshot.page(id)?.content else {
            continue;
        };
        for (key, value) in items {
            let inline = match value {
                LeafValue::InlineBucket { pairs, .. } if is_key(&key) => pairs,
                LeafValue::Value(value) => vec![(key, value)],
                _ => continue,
            };
            for (key, value) in inline {
                if let Some(fault) = row_fault(&key, &value)
                    && faults.len() < MAX_ROW_FAULTS
                {
                    let (path, at) = (file.path.display(), id * reading.engine.page_size());
                    let key = key.escape_ascii();
                    faults.push(format!(
                        "{path}: row {key} in the page at offset {at}: {fault}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn row_fault(key: &[u8], value: &[u8]) -> Option<String> {
    let row = match RowKey::decode(key) {
        Ok(row) => row,
        Err(e) => return Some(e.to_string()),
    };
    let kv = match KeyValue::decode(value) {
        Ok(kv) => kv,
        Err(e) => return Some(format!("its value is no record: {e}")),
    };
    let main = row.revision.main;
    // Of what was deleted only the key is kept; `snapshot restore --bump-revision` writes nothing at all.
    if row.tombstone || value.is_empty() || kv.mod_revision == main {
        return None;
    }
    let found = kv.mod_revision;
    Some(format!("its record is of revision {found}, not {main}"))
}

/// Whether the digest behind a snapshot is right; none when there is none.
fn digest(file: &dyn File, console: &Console<'_>) -> Result<Option<bool>> {
    let len_bytes = file.len()?;
    if len_bytes % SECTOR_BYTES != DIGEST_BYTES {
        return Ok(None);
    }
    let mut progress = console.progress(len_bytes);
    let (mut hasher, mut block, mut at) = (Sha256::new(), vec![0; BLOCK_BYTES], 0);
    let end = len_bytes - DIGEST_BYTES;
    while at < end {
        let wanted = usize::try_from(end - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.read_exact_at(&mut block[..wanted], at)?;
        hasher.update(&block[..wanted]);
        at += wanted as u64;
        progress.advance(wanted as u64);
    }
    let mut stored = [0; 32];
    file.read_exact_at(&mut stored, end)?;
    Ok(Some(hasher.finalize()[..] == stored))
}

impl Verdict {
    fn print(
        &self,
        file: &DbFile,
        digest: Option<bool>,
        json: bool,
        console: &mut Console<'_>,
    ) -> Result<()> {
        let CheckReport {
            buckets,
            keys,
            used_pages,
            free_pages,
            ..
        } = self.report;
        let (txid, page_bytes) = (self.txid, self.page_bytes);
        let ok = self.faults.is_empty();
        if json {
            let line = json!({
                "kind": "verdict",
                "file": file.path.display().to_string(),
                "ok": ok,
                "faults": self.faults,
                "transaction": txid,
                "page_bytes": page_bytes,
                "buckets": buckets,
                "keys": keys,
                "used_pages": used_pages,
                "free_pages": free_pages,
                "digest_ok": digest,
            });
            writeln!(console.out, "{line}")?;
        } else {
            let word = if ok { "OK" } else { "DAMAGED" };
            let digest = match digest {
                None => "",
                Some(true) => ", digest good",
                Some(false) => ", digest BAD",
            };
            writeln!(
                console.out,
                "{word}: commit {txid}, {keys} keys in {buckets} buckets, {used_pages} pages of {page_bytes} \
                 bytes in use, {free_pages} free{digest}"
            )?;
        }
        for fault in &self.faults {
            console.complain(fault)?;
        }
        Ok(())
    }
}
