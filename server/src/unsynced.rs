//! A file system that says "durable" without making anything so: `--unsafe-no-fsync`.
//!
//! For throw-away clusters in tests: a process that dies loses nothing, a machine that does loses
//! anything.
use std::io;
use std::path::Path;
use std::sync::Arc;

use varve_vfs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions};

#[derive(Debug)]
struct Unsynced<T>(T);

/// `fs` without its syncs.
pub(crate) fn unsynced(fs: DynFs) -> DynFs {
    Arc::new(Unsynced(fs))
}

impl Fs for Unsynced<DynFs> {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let file = self.0.open(path, options)?;
        Ok(Box::new(Unsynced(file)))
    }
    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.0.create_dir_all(path, mode)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.0.metadata(path)
    }
}

impl File for Unsynced<Box<dyn File>> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(buf, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.0.allocate(len_bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
    fn try_lock(&self, kind: LockKind) -> io::Result<()> {
        self.0.try_lock(kind)
    }
    fn as_real(&self) -> Option<&std::fs::File> {
        self.0.as_real()
    }
}
