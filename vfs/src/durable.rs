//! Sequences of calls whose result survives a power cut.
//!
//! Each function here returns only when what it did is durable under the contract of [`Fs`]; after
//! an error or a crash in the middle the old state or the new one is found, never a mixture.
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::{Fs, OpenOptions, parent_dir};

/// What the name of an unfinished file of [`write_file`] begins with; etcd removes names that begin
/// so from its snapshot directory at start-up, and so do we.
pub const TEMPORARY_PREFIX: &str = "tmp";

/// Puts `bytes` behind `path`, atomically and durably, with permission bits `mode`.
///
/// A temporary in the same directory is written and synced, renamed over `path`, and the directory is
/// synced. A crash leaves the old file or the new one, and perhaps the temporary, whose name is
/// [`TEMPORARY_PREFIX`], a dot and the final name: a later call overwrites it.
pub fn write_file(fs: &dyn Fs, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary_for(path)?;
    let written =
        write_temporary(fs, &temporary, bytes, mode).and_then(|()| fs.rename(&temporary, path));
    if let Err(e) = written {
        // Nothing was promised yet; the error that matters is the first one.
        drop(fs.remove_file(&temporary));
        return Err(e);
    }
    fs.sync_dir(&parent_dir(path))
}

/// Creates a directory and its missing parents with permission bits `mode` and makes every new name
/// durable, up to the first directory that existed.
pub fn create_dir_all(fs: &dyn Fs, path: &Path, mode: u32) -> io::Result<()> {
    let mut created = Vec::new();
    let mut at = path.to_path_buf();
    while !fs.exists(&at)? {
        let parent = parent_dir(&at);
        created.push(parent.clone());
        if parent == at {
            break;
        }
        at = parent;
    }
    fs.create_dir_all(path, mode)?;
    // Outermost first: a crash in between leaves a shorter path, not a hole in it.
    created.iter().rev().try_for_each(|dir| fs.sync_dir(dir))
}

fn temporary_for(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(TEMPORARY_PREFIX);
    temporary.push(".");
    temporary.push(name);
    Ok(path.with_file_name(temporary))
}

fn write_temporary(fs: &dyn Fs, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let file = fs.open(path, OpenOptions::create_truncate().with_mode(mode))?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}
