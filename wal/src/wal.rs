//! The ways to a log.
use std::path::Path;

use varve_proto::raftpb::HardState;
use varve_proto::walpb::Snapshot;
use varve_vfs::DynFs;

use crate::appender::Appender;
use crate::error::Result;
use crate::options::WalOptions;
use crate::read_only::ReadOnly;
use crate::reader::Reader;
use crate::{check, create, dir, repair};

/// A namespace: what can be done with a log's directory.
#[derive(Clone, Copy, Debug)]
pub struct Wal;

impl Wal {
    /// Whether `dir` holds a log: a name that ends in `.wal`. A missing directory holds none.
    pub fn exists(fs: &DynFs, dir: &Path) -> Result<bool> {
        dir::holds_log(fs.as_ref(), dir)
    }

    /// Creates a log whose every segment begins with `metadata`, durably, and opens it for append.
    ///
    /// Missing parents of `dir` are created; what `dir` holds beside segments is removed. Errors:
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists), or the system's.
    pub fn create(
        fs: &DynFs,
        dir: &Path,
        metadata: &[u8],
        options: WalOptions,
    ) -> Result<Appender> {
        create::create(fs, dir, metadata, options)
    }

    /// Opens a log for reading from the snapshot `start` on, then for append. Index 0 and term 0 read
    /// all of it. Every segment from there on is locked: [`Error::Locked`](crate::Error::Locked) when
    /// one already is.
    pub fn open(fs: &DynFs, dir: &Path, start: &Snapshot, options: WalOptions) -> Result<Reader> {
        Reader::open(fs, dir.to_path_buf(), start, options)
    }

    /// Opens a log for reading only: nothing is locked or written, another process may be appending.
    pub fn open_read_only(fs: &DynFs, dir: &Path, start: &Snapshot) -> Result<ReadOnly> {
        ReadOnly::open(fs, dir, start)
    }

    /// Opens all that is left of a log for reading only, however much of its beginning was purged.
    pub fn open_all_read_only(fs: &DynFs, dir: &Path) -> Result<ReadOnly> {
        ReadOnly::open_all(fs, dir)
    }

    /// The recorded snapshots a start may use, oldest first: those whose index does not exceed the
    /// last recorded commit. A torn tail is tolerated.
    pub fn valid_snapshot_entries(fs: &DynFs, dir: &Path) -> Result<Vec<Snapshot>> {
        check::valid_snapshots(fs, dir)
    }

    /// Reads the log from `start` on without keeping it and gives the last hard state. A torn tail is
    /// tolerated; [`Error::SnapshotNotFound`](crate::Error::SnapshotNotFound) when `start` is not in it.
    pub fn verify(fs: &DynFs, dir: &Path, start: &Snapshot) -> Result<HardState> {
        check::verify(fs, dir, start)
    }

    /// Cuts the unfinished record off the newest segment, after copying the segment to
    /// `<segment>.broken`. `Ok(true)`: it did; `Ok(false)`: there was nothing to repair. Damage that no
    /// crash explains is an error and nothing is changed.
    pub fn repair(fs: &DynFs, dir: &Path) -> Result<bool> {
        repair::repair(fs, dir)
    }
}
