//! Finding out what a file is: creation, lock, page size, metas.
//!
//! Called by the engine when it opens a path, on the caller's thread.
//!
//! # Failure model
//! Creation writes four pages and syncs them. A crash in between leaves a file of at most that length in
//! which every byte is the new file's or zero; such a file holds nothing and is written again. Any other
//! file without a valid meta is refused, and nothing is written to it.
use std::path::Path;
use std::time::Duration;

use varve_backend::bbolt::{FREELIST, LEAF, META_LEN, Meta, PageHeader};
use varve_backend::{Error, ErrorKind, Result};
use varve_vfs::{DynFs, File, LockKind, OpenOptions, parent_dir};

use crate::options::{BtreeOptions, valid_page_size};
use crate::page::corrupt;

/// How often a locked file is tried again, as bbolt does.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// A locked file with a meta to start from.
pub(crate) struct Opened {
    pub(crate) file: Box<dyn File>,
    pub(crate) meta: Meta,
    pub(crate) file_len: u64,
}

pub(crate) fn open(fs: &DynFs, path: &Path, options: &BtreeOptions) -> Result<Opened> {
    options.validate().map_err(Error::invalid)?;
    let how = if options.read_only {
        OpenOptions::read_only()
    } else {
        OpenOptions::create()
    };
    let existed = fs.exists(path).map_err(|e| Error::io("look up", path, e))?;
    let file = fs.open(path, how).map_err(|e| Error::io("open", path, e))?;
    lock(&*file, path, options.lock_wait)?;
    let mut len = file.len().map_err(|e| Error::io("measure", path, e))?;
    if !options.read_only && (len == 0 || is_interrupted_creation(&*file, path, len, options)?) {
        let image = fresh_image(options.page_size);
        file.write_all_at(&image, 0)
            .map_err(|e| Error::io("write", path, e))?;
        file.sync_data().map_err(|e| Error::io("sync", path, e))?;
        len = file.len().map_err(|e| Error::io("measure", path, e))?;
    }
    if !existed {
        fs.sync_dir(&parent_dir(path))
            .map_err(|e| Error::io("sync directory of", path, e))?;
    }
    let meta = choose_meta(&*file, path, len)?;
    check_meta(&meta, path, len)?;
    Ok(Opened {
        file,
        meta,
        file_len: len,
    })
}

fn lock(file: &dyn File, path: &Path, wait: Duration) -> Result<()> {
    let mut left = wait;
    loop {
        match file.try_lock(LockKind::Flock) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                if left.is_zero() {
                    return Err(ErrorKind::Locked {
                        path: path.to_path_buf(),
                    }
                    .into());
                }
                let nap = left.min(LOCK_POLL);
                std::thread::sleep(nap);
                left -= nap;
            }
            Err(e) => return Err(Error::io("lock", path, e)),
        }
    }
}

/// The four pages of an empty database.
fn fresh_image(page_size: u32) -> Vec<u8> {
    let page = usize::try_from(page_size).expect("a page size fits usize");
    let mut image = vec![0; 4 * page];
    for txid in 0..2 {
        let meta = Meta {
            page_size,
            root: 3,
            sequence: 0,
            freelist: 2,
            high_water: 4,
            txid,
        };
        let at = page * usize::from(txid == 1);
        image[at..at + META_LEN].copy_from_slice(&meta.encode(txid));
    }
    for (id, flags) in [(2u64, FREELIST), (3, LEAF)] {
        let header = PageHeader {
            id,
            flags,
            count: 0,
            overflow: 0,
        }
        .encode();
        let at = page * if id == 2 { 2 } else { 3 };
        image[at..at + header.len()].copy_from_slice(&header);
    }
    image
}

fn is_interrupted_creation(
    file: &dyn File,
    path: &Path,
    len: u64,
    options: &BtreeOptions,
) -> Result<bool> {
    let image = fresh_image(options.page_size);
    if len > image.len() as u64 {
        return Ok(false);
    }
    let mut have = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(&mut have, 0)
        .map_err(|e| Error::io("read", path, e))?;
    Ok(have != image && have.iter().zip(&image).all(|(h, i)| *h == 0 || h == i))
}

fn read_meta(file: &dyn File, path: &Path, offset: u64, len: u64) -> Result<MetaAt> {
    let mut buf = [0; META_LEN];
    if offset + META_LEN as u64 > len {
        let found = format!("{len} bytes");
        let expected = format!("at least {} bytes", offset + META_LEN as u64);
        return Ok(Err(corrupt(path, offset, "file length", expected, found)));
    }
    file.read_exact_at(&mut buf, offset)
        .map_err(|e| Error::io("read", path, e))?;
    Ok(Meta::decode(&buf)
        .map_err(|f| corrupt(path, offset + f.offset, f.what, f.expected, f.found)))
}

/// A meta page, or what is wrong with it.
type MetaAt = std::result::Result<Meta, Error>;

/// The newest valid meta. The first one tells the page size; if it is damaged the second one is looked
/// for at every page size there is.
fn choose_meta(file: &dyn File, path: &Path, len: u64) -> Result<Meta> {
    let first = read_meta(file, path, 0, len)?;
    let second = match &first {
        Ok(meta) => read_meta(file, path, u64::from(meta.page_size), len)?,
        Err(_) => {
            let mut found = read_meta(file, path, 4096, len)?;
            for shift in 9..=16 {
                let at = 1u64 << shift;
                let candidate = read_meta(file, path, at, len)?;
                if candidate
                    .as_ref()
                    .is_ok_and(|m| u64::from(m.page_size) == at)
                {
                    found = candidate;
                    break;
                }
            }
            found
        }
    };
    match (first, second) {
        (Ok(a), Ok(b)) if a.page_size == b.page_size => Ok(if a.txid > b.txid { a } else { b }),
        (Ok(meta), _) | (Err(_), Ok(meta)) => Ok(meta),
        (Err(first), Err(_)) => Err(first),
    }
}

/// What a checksum does not promise: that the meta describes this file.
fn check_meta(meta: &Meta, path: &Path, len: u64) -> Result<()> {
    let at = meta.slot() * u64::from(meta.page_size);
    if !valid_page_size(meta.page_size) {
        let expected = "a power of two from 512 to 65536";
        return Err(corrupt(
            path,
            at + 24,
            "page size",
            expected,
            meta.page_size,
        ));
    }
    let need = meta.high_water.checked_mul(u64::from(meta.page_size));
    if need.is_none_or(|need| need > len) {
        let expected = format!("at least {} pages of {}", meta.high_water, meta.page_size);
        return Err(corrupt(
            path,
            at + 56,
            "file length",
            expected,
            format!("{len} bytes"),
        ));
    }
    if meta.root < 2 || meta.root >= meta.high_water {
        let expected = format!("2 to {}", meta.high_water.saturating_sub(1));
        return Err(corrupt(path, at + 32, "root page", expected, meta.root));
    }
    Ok(())
}
