//! Databases that come with a snapshot, while they are being received.
//!
//! The peer transport writes one as its pieces arrive (on a thread that may block), commits it, and
//! only then tells raft of the snapshot: when raft accepts it the database is durable under its index.
//!
//! # Failure model
//! Pieces go to a temporary in the same directory, which [`DbReceiver::commit`] syncs and renames; a
//! crash or a broken transfer leaves at most the temporary, which start-up removes
//! ([`Snapshotter::clean_leftovers`]). A database of the same index that is there already is kept: both
//! hold the same state, and the one that is there may be in use.
use std::path::{Path, PathBuf};

use varve_vfs::durable::TEMPORARY_PREFIX;
use varve_vfs::{DynFs, File, OpenOptions, parent_dir};

use crate::error::{Error, Result};
use crate::snapshotter::Snapshotter;

/// As etcd's `os.CreateTemp`.
const FILE_MODE: u32 = 0o600;
/// Bytes written at once: Linux spends ten times as much on each page of a write of 256 KiB to new blocks
/// as on one of 64 KiB (measured on 6.x, large folios).
const WRITE_BYTES: usize = 64 << 10;
/// Bytes written between two syncs. One sync of everything at the end hands the disk all that the kernel
/// has held back, and whoever syncs a log on the same disk meanwhile waits behind it.
const SYNC_BYTES: u64 = 8 << 20;

/// A database that is arriving. Dropped before [`commit`](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct DbReceiver {
    fs: DynFs,
    /// `None` once committed.
    file: Option<Box<dyn File>>,
    temporary: PathBuf,
    path: PathBuf,
    len_bytes: u64,
    unsynced_bytes: u64,
}

impl Snapshotter {
    /// Begins to receive the database of the snapshot at `index`.
    pub fn receive_db(&self, index: u64) -> Result<DbReceiver> {
        DbReceiver::new(self.fs(), self.db_path(index))
    }
}

impl DbReceiver {
    fn new(fs: &DynFs, path: PathBuf) -> Result<Self> {
        let (temporary, file) = create_temporary(fs, &path)?;
        Ok(Self {
            fs: DynFs::clone(fs),
            file: Some(file),
            temporary,
            path,
            len_bytes: 0,
            unsynced_bytes: 0,
        })
    }

    /// Appends a piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        if let Some(file) = &self.file {
            for piece in piece.chunks(WRITE_BYTES) {
                file.write_all_at(piece, self.len_bytes)
                    .map_err(Error::io("write", &self.temporary))?;
                self.len_bytes += piece.len() as u64;
                self.unsynced_bytes += piece.len() as u64;
                if self.unsynced_bytes >= SYNC_BYTES {
                    file.sync_data()
                        .map_err(Error::io("sync", &self.temporary))?;
                    self.unsynced_bytes = 0;
                }
            }
        }
        Ok(())
    }

    /// Bytes written so far.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Makes the whole durable under its name and gives the path.
    pub fn commit(mut self) -> Result<PathBuf> {
        if let Some(file) = &self.file {
            file.sync_all()
                .map_err(Error::io("sync", &self.temporary))?;
        }
        let exists = self
            .fs
            .exists(&self.path)
            .map_err(Error::io("look at", &self.path))?;
        if !exists {
            self.fs
                .rename(&self.temporary, &self.path)
                .map_err(Error::io("rename", &self.temporary))?;
            self.file = None;
        }
        // Also when it was there: whoever put it there may not have come this far.
        let dir = parent_dir(&self.path);
        self.fs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        Ok(self.path.clone())
    }
}

impl Drop for DbReceiver {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed now is removed at the next start.
            drop(self.fs.remove_file(&self.temporary));
        }
    }
}

/// A file of a name nobody uses: several transfers of one index may be under way.
fn create_temporary(fs: &DynFs, path: &Path) -> Result<(PathBuf, Box<dyn File>)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 0_u32.. {
        let temporary = path.with_file_name(format!("{TEMPORARY_PREFIX}.{number}.{name}"));
        let options = OpenOptions::create_new().with_mode(FILE_MODE);
        match fs.open(&temporary, options) {
            Ok(file) => return Ok((temporary, file)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &temporary)(e)),
        }
    }
    Err(Error::io("create", path)(
        std::io::ErrorKind::AlreadyExists.into(),
    ))
}
