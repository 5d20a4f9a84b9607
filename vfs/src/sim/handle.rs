//! An open file of the simulated disk.
use std::io;

use super::SimFs;
use super::fault::Op;
use super::inode::FileNode;
use super::names::Ino;
use crate::fs::{File, LockKind, OpenOptions};

#[derive(Debug)]
pub(super) struct SimFile {
    fs: SimFs,
    ino: Ino,
    /// Tells handles of one file apart for locks.
    handle: u64,
    read: bool,
    write: bool,
}

impl SimFile {
    pub(super) fn new(fs: SimFs, ino: Ino, options: OpenOptions) -> Self {
        let handle = fs.disk().add_handle(ino);
        Self {
            fs,
            ino,
            handle,
            read: options.read,
            write: options.write,
        }
    }

    fn look<T>(&self, at: impl FnOnce(&FileNode) -> T) -> io::Result<T> {
        let disk = self.fs.disk();
        disk.faults.check_power()?;
        Ok(at(disk.file(self.ino)))
    }

    fn need_write(&self) -> io::Result<()> {
        if self.write {
            Ok(())
        } else {
            Err(rustix::io::Errno::BADF.into())
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if !self.read {
            return Err(rustix::io::Errno::BADF.into());
        }
        self.look(|file| file.current.read(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.need_write()?;
        self.fs.pass(Op::Write, buf.len());
        self.fs.disk().write(self.ino, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.look(|file| file.current.len_bytes())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.need_write()?;
        self.fs.pass(Op::Other, 0);
        self.fs.disk().set_len(self.ino, len_bytes)
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.need_write()?;
        self.fs.pass(Op::Other, 0);
        self.fs.disk().allocate(self.ino, len_bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.pass(Op::FileSync, 0);
        self.fs.disk().sync_file(self.ino)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.fs.pass(Op::FileSync, 0);
        self.fs.disk().sync_file(self.ino)
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<()> {
        if kind == LockKind::OpenFileDescription {
            // The kernel asks for a descriptor open for writing before it gives a write lock.
            self.need_write()?;
        }
        self.fs.disk().lock(self.ino, kind, self.handle)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.fs.disk().drop_handle(self.ino, self.handle);
    }
}
