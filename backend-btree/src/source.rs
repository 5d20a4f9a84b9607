//! Where pages come from: a memory map or positioned reads.
//!
//! Called by everything that reads the tree, on any thread. The read-ahead-free pread source runs on
//! every file system, the simulated one included; the map needs a real file.
//!
//! # Failure model
//! A range that is not in the file is an error that names it. A bad sector shows as an error with
//! pread and as SIGBUS with a map, as with any program that maps files.
use std::fmt::Debug;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use varve_backend::{Error, ErrorKind, Result};
use varve_vfs::File;

use crate::mmap::Map;

/// Bytes of one or more pages.
#[derive(Clone, Debug)]
pub(crate) enum PageBuf<'a> {
    /// In the map.
    Borrowed(&'a [u8]),
    /// A copy.
    Owned(Bytes),
}

impl Deref for PageBuf<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

pub(crate) trait PageSource: Send + Sync + Debug {
    /// Exactly `len` bytes at `offset`.
    fn read(&self, offset: u64, len: usize) -> Result<PageBuf<'_>>;

    /// The same range if it can be borrowed for as long as the source lives.
    fn mapped(&self, _offset: u64, _len: usize) -> Option<&[u8]> {
        None
    }

    /// Asks for bytes that will be read soon, if asking costs next to nothing.
    fn prefetch(&self, _offset: u64, _len: usize) {}
}

fn past_end(path: &Path, offset: u64, len: usize, have: u64) -> Error {
    ErrorKind::Corrupt {
        path: path.to_path_buf(),
        offset,
        what: "file length",
        expected: format!("at least {} bytes", offset.saturating_add(len as u64)),
        found: format!("{have} bytes"),
    }
    .into()
}

#[derive(Debug)]
pub(crate) struct MappedSource {
    pub(crate) map: Map,
    /// Length of the file as the engine knows it; it changes only through the engine.
    pub(crate) file_len: Arc<AtomicU64>,
    pub(crate) path: PathBuf,
}

impl PageSource for MappedSource {
    fn read(&self, offset: u64, len: usize) -> Result<PageBuf<'_>> {
        self.mapped(offset, len)
            .map(PageBuf::Borrowed)
            .ok_or_else(|| {
                let have = self
                    .file_len
                    .load(Ordering::Relaxed)
                    .min(self.map.len() as u64);
                past_end(&self.path, offset, len, have)
            })
    }

    fn mapped(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64)?;
        if end > self.file_len.load(Ordering::Relaxed) {
            return None;
        }
        self.map.slice(usize::try_from(offset).ok()?, len)
    }

    fn prefetch(&self, offset: u64, len: usize) {
        if let Ok(offset) = usize::try_from(offset) {
            self.map.prefetch(offset, len);
        }
    }
}

#[derive(Debug)]
pub(crate) struct PreadSource {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
}

impl PageSource for PreadSource {
    fn read(&self, offset: u64, len: usize) -> Result<PageBuf<'_>> {
        let mut buf = vec![0; len];
        match self.file.read_exact_at(&mut buf, offset) {
            Ok(()) => Ok(PageBuf::Owned(buf.into())),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(past_end(
                &self.path,
                offset,
                len,
                self.file.len().unwrap_or(0),
            )),
            Err(e) => Err(Error::io("read", &self.path, e)),
        }
    }
}
