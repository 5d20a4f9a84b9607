//! The two traits every byte on disk goes through.
//!
//! Called by `wal`, `snap`, `backend-btree` and the server's start-up; implemented by
//! [`RealFs`](crate::RealFs) and, with feature `sim`, by the simulated disk.
//!
//! # Contract
//! 1. A write is durable only after [`File::sync_data`] or [`File::sync_all`] on that file returned `Ok`.
//! 2. A created, renamed or removed *name* is durable only after [`Fs::sync_dir`] on its directory.
//! 3. After a failed write or sync the content of the file on disk is unknown; callers refuse further
//!    writes until they have reopened and verified the file.
//! 4. All I/O is positioned: there is no cursor, so one handle may be used from several threads.
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened; the fields mean what `open(2)` means by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// Create the file when it does not exist.
    pub create: bool,
    /// Create the file and fail with `AlreadyExists` when it exists.
    pub create_new: bool,
    /// Cut an existing file to length zero.
    pub truncate: bool,
    /// Permission bits of a file created by this call, before the umask.
    pub mode: u32,
}

impl OpenOptions {
    /// Read an existing file.
    pub const fn read_only() -> Self {
        Self {
            read: true,
            write: false,
            create: false,
            create_new: false,
            truncate: false,
            mode: 0o600,
        }
    }

    /// Read and write an existing file.
    pub const fn read_write() -> Self {
        Self {
            write: true,
            ..Self::read_only()
        }
    }

    /// Read and write; create the file (mode 0600) when it is missing.
    pub const fn create() -> Self {
        Self {
            create: true,
            ..Self::read_write()
        }
    }

    /// Read and write a file that this call creates (mode 0600).
    pub const fn create_new() -> Self {
        Self {
            create_new: true,
            ..Self::read_write()
        }
    }

    /// Read and write; create the file or empty an existing one.
    pub const fn create_truncate() -> Self {
        Self {
            truncate: true,
            ..Self::create()
        }
    }

    /// The same options with other permission bits.
    #[must_use]
    pub const fn with_mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }
}

/// Which of the two lock families of Linux a lock belongs to; etcd uses both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Exclusive open-file-description lock over the whole file (`F_OFD_SETLK`): WAL segments.
    OpenFileDescription,
    /// Exclusive BSD `flock`: the bbolt database file.
    Flock,
}

/// What [`Fs::metadata`] tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes (of a directory: unspecified).
    pub len_bytes: u64,
    /// Whether the name is a directory.
    pub is_dir: bool,
    /// Permission bits (lower nine); the simulated disk keeps what the creator asked for.
    pub mode: u32,
}

/// An open file.
pub trait File: Send + Sync + Debug {
    /// Reads at `offset`; returns how many bytes were read, 0 at or after the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; may write fewer bytes than asked. Writing past the end extends the file.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) to exactly `len_bytes`.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;

    /// Reserves space so that the file is at least `len_bytes` long; new bytes read as zero
    /// (`fallocate` mode 0, with `ftruncate` where the file system has none).
    fn allocate(&self, len_bytes: u64) -> io::Result<()>;

    /// Makes the content and the length durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the content and all metadata durable (`fsync`).
    fn sync_all(&self) -> io::Result<()>;

    /// Takes an exclusive lock without waiting; `WouldBlock` when another handle holds it.
    /// The lock goes with the handle.
    fn try_lock(&self, kind: LockKind) -> io::Result<()>;

    /// The real file behind this handle, when there is one (memory mapping needs it).
    fn as_real(&self) -> Option<&std::fs::File> {
        None
    }

    /// Reads exactly `buf.len()` bytes or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`.
    fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    buf = &buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A file system. Handles are shared as [`DynFs`].
pub trait Fs: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>>;

    /// Creates a directory and its missing parents with permission bits `mode`.
    fn create_dir_all(&self, path: &Path, mode: u32) -> io::Result<()>;

    /// The names in a directory, sorted bytewise; names that are not UTF-8 are left out.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Renames a file or directory, replacing an existing file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable (`fsync` on the directory).
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What stands behind a name; `NotFound` when nothing does.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Whether the name exists.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenOptions::read_only())?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut buf = vec![0; len];
        file.read_exact_at(&mut buf, 0)?;
        Ok(buf)
    }
}

/// A shared file system.
pub type DynFs = Arc<dyn Fs>;

/// The directory a path stands in; the current directory for a bare name.
pub fn parent_dir(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}
