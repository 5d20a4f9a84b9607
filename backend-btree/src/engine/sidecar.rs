//! The free list of a cleanly closed file, so that the next open need not walk the tree.
//!
//! Written by `close` as `<name>.freelist`, removed by the next open before anything else happens. The
//! database file itself stays what bbolt expects (no freelist page).
//!
//! # Layout
//! Little-endian: magic "VARVEFL2", the meta's 80 bytes as page 0 would hold them, fingerprint u64, count
//! of runs u64, per run start u64 and length u64, hash of everything before u64. Hash and fingerprint are
//! FNV-1a over words of eight bytes instead of bytes, with a rotation, so that every bit of a word
//! reaches the low ones: a file of 1 GiB has 8 MiB of branch pages.
//!
//! # Failure model
//! The list is used only if its checksum holds and it was made for this very tree: same meta and same
//! branch pages (they name every page of the tree). Anything else, and any error, means walking.
use std::path::{Path, PathBuf};

use varve_backend::bbolt::{META_LEN, Meta};
use varve_backend::{Error, Result};
use varve_vfs::{DynFs, OpenOptions};

use super::{BtreeEngine, Writer};
use crate::freelist::{FreeList, Run};
use crate::options::{BtreeOptions, FreelistType};
use crate::page::{MAX_DEPTH, Node, Pages};

const MAGIC: &[u8; 8] = b"VARVEFL2";
const HEAD_LEN: usize = 8 + META_LEN + 16;

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".freelist");
    PathBuf::from(name)
}

pub(super) fn put(engine: &BtreeEngine, writer: &mut Writer) -> Result<()> {
    let state = engine.registry.newest();
    if writer.freelist_page.is_some() {
        return Ok(());
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&state.meta.encode(0));
    out.extend_from_slice(&fingerprint(&state.pages, &state.meta)?.to_le_bytes());
    // Whoever opens the file next has no readers: what waits for readers is free then.
    let mut all = FreeList::new(FreelistType::Array, writer.free.runs());
    for run in writer.free.pending_runs() {
        all.release_run(run);
    }
    out.extend_from_slice(&(all.runs().count() as u64).to_le_bytes());
    for run in all.runs() {
        out.extend_from_slice(&run.start.to_le_bytes());
        out.extend_from_slice(&run.len.to_le_bytes());
    }
    out.extend_from_slice(&mix(SEED, &out).to_le_bytes());
    let path = sidecar_path(&engine.path);
    let io = |op| {
        let path = path.clone();
        move |e| Error::io(op, path, e)
    };
    let file = engine
        .fs
        .open(&path, OpenOptions::create_truncate())
        .map_err(io("create"))?;
    file.write_all_at(&out, 0).map_err(io("write"))?;
    file.sync_data().map_err(io("sync"))
}

/// Reads and removes the sidecar; `None` when there is none that fits.
pub(super) fn take(
    fs: &DynFs,
    path: &Path,
    options: &BtreeOptions,
    meta: &Meta,
    pages: &Pages,
) -> Result<Option<FreeList>> {
    let side = sidecar_path(path);
    let Ok(bytes) = fs.read(&side) else {
        return Ok(None);
    };
    // Gone, durably, before the first commit can make it untrue.
    fs.remove_file(&side)
        .map_err(|e| Error::io("remove", &side, e))?;
    let parent = varve_vfs::parent_dir(path);
    fs.sync_dir(&parent)
        .map_err(|e| Error::io("sync directory of", &side, e))?;
    if !options.freelist_sidecar {
        return Ok(None);
    }
    let Some((print, runs)) = decode(&bytes, meta) else {
        return Ok(None);
    };
    if fingerprint(pages, meta)? != print {
        return Ok(None);
    }
    Ok(Some(FreeList::new(options.freelist_type, runs.into_iter())))
}

/// Fingerprint and runs, if everything in the bytes is as it should be.
fn decode(bytes: &[u8], meta: &Meta) -> Option<(u64, Vec<Run>)> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    if mix(SEED, body).to_le_bytes() != *sum || body.get(..8)? != MAGIC {
        return None;
    }
    if body.get(8..8 + META_LEN)? != meta.encode(0) {
        return None;
    }
    let word = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let print = word(8 + META_LEN)?;
    let count = usize::try_from(word(16 + META_LEN)?).ok()?;
    if body.len() != HEAD_LEN.checked_add(count.checked_mul(16)?)? {
        return None;
    }
    let mut runs = Vec::with_capacity(count);
    let mut free_from = 2;
    for i in 0..count {
        let run = Run {
            start: word(HEAD_LEN + 16 * i)?,
            len: word(HEAD_LEN + 16 * i + 8)?,
        };
        let end = run.start.checked_add(run.len)?;
        if run.start < free_from || run.len == 0 || end > meta.high_water {
            return None;
        }
        free_from = end + 1;
        runs.push(run);
    }
    Some((print, runs))
}

/// A hash over the branch pages of all buckets and the leaves of the bucket of buckets. Of sibling
/// leaves only the first is looked at: its level tells that they are leaves.
fn fingerprint(pages: &Pages, meta: &Meta) -> Result<u64> {
    let mut hash = mix(SEED, &meta.encode(0));
    let mut roots = Vec::new();
    let mut cursor = crate::cursor::Cursor::at_or_after(pages, pages.node(meta.root)?, &[])?;
    while let Some((node, index)) = cursor.current() {
        let entry = node.leaf(index)?;
        if entry.is_bucket() {
            let header = node.bucket_header(&entry)?;
            hash = mix(hash, &header.encode());
            if header.root != 0 {
                roots.push(header.root);
            }
        }
        cursor.forward()?;
    }
    for root in roots {
        hash = mix_tree(pages, &pages.node(root)?, hash, 0)?;
    }
    Ok(hash)
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Goes on hashing with `bytes`, which are filled up with zeros to whole words; their length goes in too.
fn mix(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words
        .iter()
        .fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(step(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

fn mix_tree(pages: &Pages, node: &Node<'_>, mut hash: u64, depth: usize) -> Result<u64> {
    hash = mix(hash, &node.id().to_le_bytes());
    if !node.is_branch() || depth >= MAX_DEPTH {
        return Ok(hash);
    }
    hash = mix(hash, node.page());
    let first = pages.node(node.branch(0)?.1)?;
    if !first.is_branch() {
        return Ok(hash);
    }
    for index in 0..node.count() {
        hash = mix_tree(pages, &pages.node(node.branch(index)?.1)?, hash, depth + 1)?;
    }
    Ok(hash)
}
