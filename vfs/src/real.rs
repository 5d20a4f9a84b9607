//! The operating system's file system.
//!
//! Called from whatever thread owns a file; no state of its own, so a [`RealFs`] costs nothing.
//!
//! # Failure model
//! Errors are the kernel's, unchanged, except `EINTR`, which is retried here: a signal that lands
//! in the middle of an `fdatasync` says nothing about the disk.
//!
//! # Not here
//! What a sequence of calls guarantees after a power cut: `docs/formats/vfs.md`.
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::fs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions};

mod lock;
#[cfg(test)]
mod tests;

/// The file system of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

impl RealFs {
    /// A shared handle.
    pub fn shared() -> DynFs {
        Arc::new(Self)
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.write_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        retry(|| rustix::fs::ftruncate(&self.0, len_bytes))
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        let reserve =
            retry(|| rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len_bytes));
        match reserve {
            Err(e) if e.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                // A file system without fallocate: the length is right, the space is not reserved.
                if self.len()? < len_bytes {
                    self.set_len(len_bytes)
                } else {
                    Ok(())
                }
            }
            other => other,
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        retry(|| rustix::fs::fdatasync(&self.0))
    }

    fn sync_all(&self) -> io::Result<()> {
        retry(|| rustix::fs::fsync(&self.0))
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<()> {
        match kind {
            LockKind::OpenFileDescription => lock::try_ofd(&self.0),
            LockKind::Flock => lock::try_flock(&self.0),
        }
    }

    fn as_real(&self) -> Option<&fs::File> {
        Some(&self.0)
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(options.read)
            .write(options.write)
            .create(options.create)
            .create_new(options.create_new)
            .truncate(options.truncate)
            .mode(options.mode)
            .open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(mode).create(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let dir = fs::File::open(path)?;
        retry(|| rustix::fs::fsync(&dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let meta = fs::metadata(path)?;
        Ok(Metadata {
            len_bytes: meta.len(),
            is_dir: meta.is_dir(),
            mode: meta.permissions().mode() & 0o777,
        })
    }
}
