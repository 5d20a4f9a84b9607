//! A file system of plain vectors, for targets that open a log millions of times.
//!
//! The simulated disk keeps a journal, pages and durable copies; a target that draws no crash images pays
//! for them and uses none. Names are flat: a path is a key. Locks are kept as the system keeps them, since
//! opening for append asks for them.
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use varve_vfs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions};

/// A disk in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryFs {
    /// By whole path; paths are compared byte by byte, which is cheaper than as paths.
    files: Arc<Mutex<BTreeMap<OsString, Arc<Inode>>>>,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Mutex<Vec<u8>>,
    /// Whether some handle holds the lock.
    locked: Mutex<bool>,
}

#[derive(Debug)]
struct Handle {
    inode: Arc<Inode>,
    holds_lock: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a file in `dir`; none for a file elsewhere.
fn name_in<'a>(dir: &Path, file: &'a OsStr) -> Option<&'a str> {
    file.to_str()?
        .strip_prefix(dir.to_str()?)?
        .strip_prefix('/')
}

fn not_found<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

impl MemoryFs {
    /// A handle for code that takes any file system.
    pub fn shared(&self) -> DynFs {
        Arc::new(self.clone())
    }

    /// Puts a file there, in place of what had its name.
    pub fn put(&self, path: impl Into<OsString>, bytes: Vec<u8>) {
        let inode = Inode {
            bytes: Mutex::new(bytes),
            locked: Mutex::default(),
        };
        lock(&self.files).insert(path.into(), Arc::new(inode));
    }
}

impl Fs for MemoryFs {
    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Box<dyn File>> {
        let mut files = lock(&self.files);
        let inode = match files.get(path.as_os_str()) {
            Some(_) if options.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(inode) => Arc::clone(inode),
            None if options.create || options.create_new => {
                Arc::clone(files.entry(path.into()).or_default())
            }
            None => return not_found(),
        };
        if options.truncate {
            lock(&inode.bytes).clear();
        }
        Ok(Box::new(Handle {
            inode,
            holds_lock: Mutex::default(),
        }))
    }

    fn create_dir_all(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let files = lock(&self.files);
        let names = files.keys().filter_map(|file| name_in(path, file));
        Ok(names.map(str::to_owned).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        let Some(inode) = files.remove(from.as_os_str()) else {
            return not_found();
        };
        files.insert(to.into(), inode);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        lock(&self.files)
            .remove(path.as_os_str())
            .map_or_else(not_found, |_| Ok(()))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).retain(|file, _| name_in(path, file).is_none());
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let files = lock(&self.files);
        let Some(inode) = files.get(path.as_os_str()) else {
            return not_found();
        };
        let len_bytes = lock(&inode.bytes).len() as u64;
        Ok(Metadata {
            len_bytes,
            is_dir: false,
            mode: 0o600,
        })
    }
}

/// An offset or a length within a vector.
fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = lock(&self.inode.bytes);
        let rest = bytes.get(place(offset)?..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = lock(&self.inode.bytes);
        let from = place(offset)?;
        let to = from
            .checked_add(buf.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if bytes.len() < to {
            bytes.resize(to, 0);
        }
        bytes[from..to].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.inode.bytes).len() as u64)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        lock(&self.inode.bytes).resize(place(len_bytes)?, 0);
        Ok(())
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let mut bytes = lock(&self.inode.bytes);
        let len = bytes.len().max(place(len_bytes)?);
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, _kind: LockKind) -> io::Result<()> {
        let (mut mine, mut taken) = (lock(&self.holds_lock), lock(&self.inode.locked));
        if *taken && !*mine {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        (*mine, *taken) = (true, true);
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if *lock(&self.holds_lock) {
            *lock(&self.inode.locked) = false;
        }
    }
}
