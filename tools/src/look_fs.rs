//! A file system to look at: the dump tools read through it, so that they cannot change anything.
//!
//! Opening for reading works, every change is refused. A lock is granted without being taken: the engine
//! that reads a database insists on one, but a lock would keep the member from starting, or would not be
//! had while it runs. What a lock protects from, a file that changes while it is read, the callers watch
//! for themselves.
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use varve_vfs::{DynFs, File, Fs, LockKind, Metadata, OpenOptions, RealFs};
use varve_wal::SegmentName;

use crate::console::Progress;

/// An open file, and who counts what is read of it.
type Opened = (Arc<dyn File>, Arc<Mutex<Progress>>);

/// The real file system, for looking only.
#[derive(Debug)]
pub(crate) struct LookFs {
    inner: DynFs,
    /// Segments of a log from this sequence on are not shown.
    hidden_from: Option<u64>,
    /// What every open gives, when the caller has opened the only file there is.
    opened: Option<Opened>,
}

impl LookFs {
    pub(crate) fn shared() -> DynFs {
        Arc::new(Self {
            inner: RealFs::shared(),
            hidden_from: None,
            opened: None,
        })
    }

    /// A file system in which every path leads to `file`, whose readings `progress` counts: who opens it there reads the same file as the
    /// caller, also when the name has meanwhile been given to another.
    pub(crate) fn of_file(file: Arc<dyn File>, progress: Progress) -> DynFs {
        Arc::new(Self {
            inner: RealFs::shared(),
            hidden_from: None,
            opened: Some((file, Arc::new(Mutex::new(progress)))),
        })
    }

    /// The same without the segments of a log whose sequence is `sequence` or higher: what stands
    /// before a gap can then be read as a log of its own.
    pub(crate) fn without_segments_from(sequence: u64) -> DynFs {
        Arc::new(Self {
            inner: RealFs::shared(),
            hidden_from: Some(sequence),
            opened: None,
        })
    }

    fn shows(&self, name: &str) -> bool {
        let sequence = SegmentName::parse(name).map(|segment| segment.sequence);
        self.hidden_from
            .is_none_or(|from| sequence.is_none_or(|sequence| sequence < from))
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "this program changes nothing",
    ))
}

impl Fs for LookFs {
    fn open(&self, path: &Path, _how: OpenOptions) -> io::Result<Box<dyn File>> {
        let (inner, progress) = match &self.opened {
            Some((file, progress)) => (Arc::clone(file), Some(Arc::clone(progress))),
            None => {
                let file = self.inner.open(path, OpenOptions::read_only())?;
                (file.into(), None)
            }
        };
        Ok(Box::new(LookFile { inner, progress }))
    }

    fn create_dir_all(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        refused()
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = self.inner.read_dir(path)?;
        names.retain(|name| self.shows(name));
        Ok(names)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir_all(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }
}

/// A file to look at. Not mapped into memory: a running member may shorten it.
#[derive(Debug)]
struct LookFile {
    inner: Arc<dyn File>,
    progress: Option<Arc<Mutex<Progress>>>,
}

impl File for LookFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.inner.read_at(buf, offset)?;
        if let Some(progress) = &self.progress {
            progress.lock().advance(n as u64);
        }
        Ok(n)
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> io::Result<usize> {
        refused()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, _len_bytes: u64) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _len_bytes: u64) -> io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    fn sync_all(&self) -> io::Result<()> {
        refused()
    }

    fn try_lock(&self, _kind: LockKind) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
