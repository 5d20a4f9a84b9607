//! The free list of a cleanly closed file, so that the next open need not walk the tree.
//!
//! Written as `<name>.freelist` by a clean shutdown, read by the next open, removed by the first commit
//! behind that. The database file itself stays what bbolt expects (no freelist page).
//!
//! # Layout
//! Little-endian: magic "VARVEFL3", the meta's 80 bytes as page 0 would hold them, the file's inode
//! number, time of last change (ns) and length: u64 each, fingerprint u64, count of runs u64, per run
//! start u64 and length u64, hash of everything before u64. Hash and fingerprint are FNV-1a over words of
//! eight bytes instead of bytes, with a rotation, so that every bit of a word reaches the low ones: a
//! file of 1 GiB has 8 MiB of branch pages.
//!
//! # Invariants
//! 1. What is free is a function of the tree, and a commit never writes to pages of the tree it replaces:
//!    a list that was made for this very tree is true, however old it is.
//! 2. A handle that commits nothing leaves the directory as it found it.
//!
//! # Failure model
//! The list is used only if its hash holds and it was made for this very tree: same meta (and with it
//! txid and checksum), same file, not written to since, same branch pages (they name every page of the
//! tree). Anything else, and any error, means walking. So a list that came back (its removal was not
//! durable, a start was refused, another program had the directory meanwhile) is never believed unless it
//! is true.
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use varve_backend::bbolt::{META_LEN, Meta};
use varve_backend::{Error, Result};
use varve_vfs::{DynFs, File, OpenOptions};

use super::{BtreeEngine, Writer};
use crate::freelist::{FreeList, Run};
use crate::options::{BtreeOptions, FreelistType};
use crate::page::{MAX_DEPTH, Node, Pages};

const MAGIC: &[u8; 8] = b"VARVEFL3";
const IDENTITY_LEN: usize = 24;
const HEAD_LEN: usize = 8 + META_LEN + IDENTITY_LEN + 16;

/// What the writer knows of the file beside its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sidecar {
    /// There is one.
    there: bool,
    /// A commit made it untrue, or would have.
    due: bool,
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".freelist");
    PathBuf::from(name)
}

/// Which file it is, when it was last written to, and its length, as far as the file system says so.
fn identity(file: &dyn File) -> std::io::Result<[u8; IDENTITY_LEN]> {
    let (mut inode, mut changed) = (0, 0);
    if let Some(real) = file.as_real() {
        let meta = real.metadata()?;
        inode = meta.ino();
        changed = meta
            .mtime()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(meta.mtime_nsec());
    }
    let mut out = [0; IDENTITY_LEN];
    let words = [
        inode.to_le_bytes(),
        changed.to_le_bytes(),
        file.len()?.to_le_bytes(),
    ];
    out.copy_from_slice(words.as_flattened());
    Ok(out)
}

/// Whether the engine's file still has its name: a received database may have taken it.
fn has_its_name(engine: &BtreeEngine) -> std::io::Result<bool> {
    let named = engine.fs.open(&engine.path, OpenOptions::read_only())?;
    Ok(identity(&*named)? == identity(&*engine.file)?)
}

/// Writes the list, unless there is nothing new to say.
pub(super) fn put(engine: &BtreeEngine, writer: &mut Writer) -> Result<()> {
    let state = engine.registry.newest();
    let io = |op| {
        let path = sidecar_path(&engine.path);
        move |e| Error::io(op, path, e)
    };
    if !writer.sidecar.due
        || writer.freelist_page.is_some()
        || !has_its_name(engine).map_err(io("look up the file of"))?
    {
        return Ok(());
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&state.meta.encode(0));
    out.extend_from_slice(&identity(&*engine.file).map_err(io("look up the file of"))?);
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
    writer.sidecar = Sidecar {
        there: true,
        due: false,
    };
    let path = sidecar_path(&engine.path);
    let options = OpenOptions::create_truncate();
    let file = engine.fs.open(&path, options).map_err(io("create"))?;
    file.write_all_at(&out, 0).map_err(io("write"))?;
    file.sync_data().map_err(io("sync"))
}

/// A commit is on its way: the list will be untrue. It would not be believed either, so this need not
/// succeed (then the next commit tries again), nor be durable.
pub(super) fn remove(engine: &BtreeEngine, sidecar: &mut Sidecar) {
    sidecar.due = true;
    if sidecar.there {
        let removed = engine.fs.remove_file(&sidecar_path(&engine.path));
        sidecar.there = removed.is_err_and(|e| e.kind() != ErrorKind::NotFound);
    }
}

/// What is beside the file, and the list in it if it is this tree's.
pub(super) fn read(
    fs: &DynFs,
    file: &dyn File,
    options: &BtreeOptions,
    meta: &Meta,
    pages: &Pages,
) -> Result<(Sidecar, Option<FreeList>)> {
    let side = sidecar_path(&pages.path);
    let sidecar = Sidecar {
        // If in doubt, the first commit tries to remove it.
        there: fs.exists(&side).unwrap_or(true),
        due: false,
    };
    if !options.freelist_sidecar || !sidecar.there {
        return Ok((sidecar, None));
    }
    let (Ok(bytes), Ok(identity)) = (fs.read(&side), identity(file)) else {
        return Ok((sidecar, None));
    };
    let Some((print, runs)) = decode(&bytes, meta, &identity) else {
        return Ok((sidecar, None));
    };
    if fingerprint(pages, meta)? != print {
        return Ok((sidecar, None));
    }
    let free = FreeList::new(options.freelist_type, runs.into_iter());
    Ok((sidecar, Some(free)))
}

/// Fingerprint and runs, if everything in the bytes is as it should be.
fn decode(bytes: &[u8], meta: &Meta, identity: &[u8; IDENTITY_LEN]) -> Option<(u64, Vec<Run>)> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    if mix(SEED, body).to_le_bytes() != *sum || body.get(..8)? != MAGIC {
        return None;
    }
    let behind_meta = 8 + META_LEN;
    if body.get(8..behind_meta)? != meta.encode(0)
        || body.get(behind_meta..behind_meta + IDENTITY_LEN)? != identity
    {
        return None;
    }
    let word = |at: usize| Some(u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?));
    let print = word(HEAD_LEN - 16)?;
    let count = usize::try_from(word(HEAD_LEN - 8)?).ok()?;
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
