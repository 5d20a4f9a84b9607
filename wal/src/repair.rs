//! Cutting off the record a crash left unfinished.
//!
//! # Failure model
//! The segment is copied aside before it is cut; a crash in between leaves the copy and the uncut
//! segment, and the next start repairs again.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use varve_vfs::{DynFs, File, OpenOptions};

use crate::dir;
use crate::error::{Error, Result};
use crate::records::Records;

const COPY_CHUNK: usize = 1 << 20;

/// Cuts a torn tail off the newest segment; whether there was one.
pub(crate) fn repair(fs: &DynFs, dir: &Path) -> Result<bool> {
    let names = dir::list(fs.as_ref(), dir)?;
    let Some(last) = names.last() else {
        return Err(Error::NoSegment {
            dir: dir.to_path_buf(),
            index: 0,
        });
    };
    let segments = dir::open_locked(fs, dir, &[*last])?;
    let tail = segments[0].clone();
    let mut records = Records::new(segments)?;
    loop {
        match records.next_located() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(e) if e.is_repairable() => break,
            Err(e) => return Err(e),
        }
    }
    let end = records.end().offset;
    set_aside(fs, tail.file.as_ref(), &tail.path)?;
    tail.file
        .set_len(end)
        .map_err(Error::io_at("cut", &tail.path, end))?;
    tail.file
        .sync_all()
        .map_err(Error::io_at("sync", &tail.path, end))?;
    Ok(true)
}

/// Copies the whole segment to `<segment>.broken`.
fn set_aside(fs: &DynFs, from: &dyn File, path: &Path) -> Result<()> {
    let mut name = OsString::from(path);
    name.push(".broken");
    let copy_path = PathBuf::from(name);
    let copy = fs
        .open(&copy_path, OpenOptions::create_truncate())
        .map_err(Error::io("create", &copy_path))?;
    let len_bytes = from.len().map_err(Error::io("measure", path))?;
    let mut buf = vec![0; usize::try_from(len_bytes).map_or(COPY_CHUNK, |len| len.min(COPY_CHUNK))];
    let (mut at, mut written_to) = (0, 0);
    loop {
        let n = from
            .read_at(&mut buf, at)
            .map_err(Error::io_at("read", path, at))?;
        if n == 0 {
            break;
        }
        let piece = &buf[..n];
        // The space that was reserved and never written stays a hole.
        if piece.iter().any(|byte| *byte != 0) {
            copy.write_all_at(piece, at)
                .map_err(Error::io_at("write", &copy_path, at))?;
            written_to = at + n as u64;
        }
        at += n as u64;
    }
    if written_to < at {
        copy.set_len(at)
            .map_err(Error::io_at("extend", &copy_path, at))?;
    }
    copy.sync_all().map_err(Error::io("sync", &copy_path))?;
    let dir = varve_vfs::parent_dir(path);
    fs.sync_dir(&dir).map_err(Error::io("sync", &dir))
}
