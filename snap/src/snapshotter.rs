//! The snapshot directory of a member.
//!
//! The driver saves on its snapshot path and loads once at start-up; nothing here is held open.
//!
//! # Failure model
//! A snapshot is written under a temporary name, synced, renamed, and the directory is synced: a crash
//! leaves it whole or not at all, and maybe the temporary. (etcd writes under the final name and syncs
//! no directory; its readers find ours all the same.) A file that cannot be read as a snapshot is
//! renamed to `.broken` and the next older one is tried.
use std::path::{Path, PathBuf};

use bytes::Bytes;
use varve_proto::{raftpb, walpb};
use varve_vfs::{DynFs, durable};

use crate::error::{Error, Result};
use crate::name::{SUFFIX, SnapName, db_name};
use crate::{dir, format};

/// What etcd gives its files, before the umask; it counts on the directory being 0700.
const FILE_MODE: u32 = 0o666;

/// Saves, finds and removes the snapshots in one directory.
#[derive(Clone, Debug)]
pub struct Snapshotter {
    fs: DynFs,
    dir: PathBuf,
}

impl Snapshotter {
    /// Looks after the snapshots in `dir`, which exists.
    pub fn new(fs: DynFs, dir: impl Into<PathBuf>) -> Self {
        Self {
            fs,
            dir: dir.into(),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts `snapshot` on disk, durably, and gives its path. Record it in the log afterwards.
    pub fn save(&self, snapshot: &raftpb::Snapshot) -> Result<PathBuf> {
        let raftpb::SnapshotMetadata { term, index, .. } = snapshot.metadata;
        let path = self.dir.join(SnapName { term, index }.to_string());
        durable::write_file(
            self.fs.as_ref(),
            &path,
            &format::encode(snapshot),
            FILE_MODE,
        )
        .map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// The newest snapshot whose term and index are among `wal_snaps`, what the log says a start may
    /// use (`Wal::valid_snapshot_entries`). Files that are no snapshots are renamed to `.broken` on
    /// the way; `None` when no file is left.
    ///
    /// Errors: the system's. A file that cannot be opened or read for a reason that is not its bytes is
    /// an error, not a broken snapshot: older state must not win because of a passing failure.
    pub fn load_newest_valid(
        &self,
        wal_snaps: &[walpb::Snapshot],
    ) -> Result<Option<raftpb::Snapshot>> {
        let names = dir::names(&self.fs, &self.dir)?;
        // As text, descending: the order in which etcd tries them.
        for name in names.iter().rev().filter(|name| name.ends_with(SUFFIX)) {
            let path = self.dir.join(name);
            match self.read(&path) {
                Ok(snapshot) => {
                    let raftpb::SnapshotMetadata { term, index, .. } = snapshot.metadata;
                    if wal_snaps.iter().any(|s| s.term == term && s.index == index) {
                        return Ok(Some(snapshot));
                    }
                }
                Err(e) if e.is_corruption() => self.set_aside(&path)?,
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Reads one snapshot file.
    pub fn read(&self, path: &Path) -> Result<raftpb::Snapshot> {
        let bytes = self.fs.read(path).map_err(Error::io("read", path))?;
        let snapshot = format::decode(Bytes::from(bytes), path)?;
        let raftpb::SnapshotMetadata { term, index, .. } = snapshot.metadata;
        let named = path
            .file_name()
            .and_then(|name| SnapName::parse(name.to_str()?));
        if named.is_some_and(|name| name != SnapName { term, index }) {
            let file = path.to_path_buf();
            return Err(Error::Misnamed {
                file,
                found_term: term,
                found_index: index,
            });
        }
        Ok(snapshot)
    }

    pub(crate) fn fs(&self) -> &DynFs {
        &self.fs
    }

    /// Where the database that comes with the snapshot at `index` is kept until it replaces the
    /// member's own.
    pub fn db_path(&self, index: u64) -> PathBuf {
        self.dir.join(db_name(index))
    }

    /// Removes what an interrupted save, transfer or defragmentation left (`tmp*`, `db.tmp*`) and says
    /// what that was. Call it at start-up, before anything else writes here.
    pub fn clean_leftovers(&self) -> Result<Vec<PathBuf>> {
        dir::remove_leftovers(&self.fs, &self.dir)
    }

    /// Removes all snapshots but the newest `keep`. Received databases stay, however many there are: each
    /// may still wait to replace the member's own, behind a slow disk. [`Self::release_snap_dbs`] says which
    /// do not.
    pub fn purge(&self, keep: usize) -> Result<Vec<PathBuf>> {
        dir::purge(&self.fs, &self.dir, keep)
    }

    /// Removes received databases of snapshots below `index`: the member is past them.
    pub fn release_snap_dbs(&self, index: u64) -> Result<Vec<PathBuf>> {
        dir::remove_dbs_below(&self.fs, &self.dir, index)
    }

    fn set_aside(&self, path: &Path) -> Result<()> {
        let mut broken = path.as_os_str().to_owned();
        broken.push(".broken");
        self.fs
            .rename(path, Path::new(&broken))
            .map_err(Error::io("rename", path))
    }
}
