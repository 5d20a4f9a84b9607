//! Removing segments nobody needs any more.
use std::path::{Path, PathBuf};

use varve_vfs::{DynFs, OpenOptions};

use crate::dir;
use crate::error::{Error, Result};

/// Removes the oldest segments until `keep` are left, and names what it removed.
///
/// A segment an appender still holds is locked; the first such ends the purge, as in etcd. Each
/// removal is durable before the next, so that a crash never leaves a hole in the sequence. Called now
/// and then by the server, on any thread.
pub fn purge(fs: &DynFs, dir: &Path, keep: usize) -> Result<Vec<PathBuf>> {
    let names = dir::list(fs.as_ref(), dir)?;
    let mut removed = Vec::new();
    for name in &names[..names.len().saturating_sub(keep)] {
        let path = name.path_in(dir);
        let file = fs
            .open(&path, OpenOptions::read_write())
            .map_err(Error::io("open", &path))?;
        match dir::lock(file.as_ref(), &path) {
            Ok(()) => {}
            Err(Error::Locked { .. }) => break,
            Err(e) => return Err(e),
        }
        fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
        removed.push(path);
    }
    Ok(removed)
}
