//! A file system or a file that passes everything on, with hooks where something else shall happen.
//!
//! For whoever wants to watch, hold up, leave out or fail operations of another [`Fs`]: implement
//! [`FsHooks`], [`FileHooks`] or both, override the operation in question, and wrap with [`Hooked::new`].
//! A hook is handed what it stands in front of and decides what is done to it.
//!
//! # Invariants
//! 1. Without an overridden hook, every operation gives what the wrapped one gives (`hooked/tests.rs`).
//! 2. [`Fs::read`], [`Fs::exists`], [`File::write_all_at`] and [`File::read_exact_at`] are made of the other
//!    operations, so the hooks see those as well.
//!
//! # Not here
//! What is read through a memory map of [`File::as_real`], and operations that nobody has wanted to hook
//! yet; a hook for one is a line in each of the two halves of this file. Faults at the n-th operation and
//! images of a crash are the simulated disk's.
use std::fmt::Debug;
use std::io;
use std::path::Path;

use crate::fs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions};

#[cfg(test)]
mod tests;

/// What happens in the place of operations of a file system; each method's default is to carry it out.
pub trait FsHooks: Send + Sync + Debug {
    /// In the place of [`Fs::open`]; a file whose operations shall be hooked is wrapped here.
    fn open(&self, fs: &dyn Fs, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        fs.open(path, options)
    }

    /// In the place of [`Fs::sync_dir`].
    fn sync_dir(&self, fs: &dyn Fs, path: &Path) -> io::Result<()> {
        fs.sync_dir(path)
    }
}

/// What happens in the place of operations of an open file; each method's default is to carry it out.
pub trait FileHooks: Send + Sync + Debug {
    /// In the place of [`File::write_at`].
    fn write_at(&self, file: &dyn File, buf: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(buf, offset)
    }

    /// In the place of [`File::set_len`].
    fn set_len(&self, file: &dyn File, len_bytes: u64) -> io::Result<()> {
        file.set_len(len_bytes)
    }

    /// In the place of [`File::sync_data`].
    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        file.sync_data()
    }

    /// In the place of [`File::sync_all`].
    fn sync_all(&self, file: &dyn File) -> io::Result<()> {
        file.sync_all()
    }
}

/// A file system ([`DynFs`] with [`FsHooks`]) or an open file (`Box<dyn File>` with [`FileHooks`]) behind hooks.
#[derive(Debug)]
pub struct Hooked<T, H> {
    inner: T,
    hooks: H,
}

impl<T, H> Hooked<T, H> {
    /// Puts `hooks` in front of `inner`.
    pub const fn new(inner: T, hooks: H) -> Self {
        Self { inner, hooks }
    }
}

impl<H: FsHooks> Fs for Hooked<DynFs, H> {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        self.hooks.open(&*self.inner, path, options)
    }

    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.inner.create_dir_all(path, mode)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.hooks.sync_dir(&*self.inner, path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }
}

impl<H: FileHooks> File for Hooked<Box<dyn File>, H> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.hooks.write_at(&*self.inner, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.hooks.set_len(&*self.inner, len_bytes)
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.inner.allocate(len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hooks.sync_data(&*self.inner)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.hooks.sync_all(&*self.inner)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<()> {
        self.inner.try_lock(kind)
    }

    fn as_real(&self) -> Option<&std::fs::File> {
        self.inner.as_real()
    }
}
