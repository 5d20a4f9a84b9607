//! A file system that says "durable" without making anything so: `--unsafe-no-fsync`.
//!
//! For throw-away clusters in tests: a process that dies loses nothing, a machine that does loses
//! anything.
use std::io;
use std::path::Path;
use std::sync::Arc;

use varve_vfs::{DynFs, File, FileHooks, Fs, FsHooks, Hooked, OpenOptions};

#[derive(Clone, Copy, Debug)]
struct Unsynced;

/// `fs` without its syncs.
pub(crate) fn unsynced(fs: DynFs) -> DynFs {
    Arc::new(Hooked::new(fs, Unsynced))
}

impl FsHooks for Unsynced {
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Hooked::new(fs.open(path, options)?, *self)))
    }

    fn sync_dir(&self, _: &dyn Fs, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl FileHooks for Unsynced {
    fn sync_data(&self, _: &dyn File) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self, _: &dyn File) -> io::Result<()> {
        Ok(())
    }
}
