//! The data directory: its layout, whether it is ours, whether it can be written.
//!
//! Source of the layout and the checks: etcd `server/etcdmain/etcd.go` (identifyDataDirOrDie) and
//! `client/pkg/fileutil`; `docs/formats/snapshot.md` has the table.
use std::io;
use std::path::{Path, PathBuf};

use varve_vfs::{DynFs, OpenOptions};

use crate::start::StartError;

/// Permission bits of every directory in it.
const DIR_MODE: u32 = 0o700;
/// Written and removed to prove that a directory can be written.
const TOUCH: &str = ".touch";

/// Where a member keeps what.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    pub(crate) root: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) snap: PathBuf,
}

impl DataDir {
    /// The paths below `root`; the log may live elsewhere.
    pub(crate) fn new(root: &Path, wal_dir: Option<&Path>) -> Self {
        let member = root.join("member");
        Self {
            root: root.to_owned(),
            wal: wal_dir.map_or_else(|| member.join("wal"), Path::to_owned),
            snap: member.join("snap"),
        }
    }

    /// The database file.
    pub(crate) fn db(&self) -> PathBuf {
        self.snap.join("db")
    }

    /// Makes the directories and proves that they can be written.
    ///
    /// # Errors
    /// The path is not a directory, belongs to something else, or cannot be written. Nothing of a
    /// foreign directory is changed.
    pub(crate) fn prepare(&self, fs: &DynFs) -> Result<(), StartError> {
        self.identify(fs)?;
        for dir in [&self.root, &self.root.join("member"), &self.snap] {
            fs.create_dir_all(dir, DIR_MODE)
                .map_err(|e| unusable(dir, e))?;
            warn_if_open(fs, dir);
            touch(fs, dir)?;
        }
        // The names must be durable before anything in them is acknowledged. etcd leaves this out: on a
        // file system that orders nothing, a power cut could take a new member's whole log with it.
        for dir in [&self.root, &self.root.join("member"), &self.snap] {
            let parent = varve_vfs::parent_dir(dir);
            fs.sync_dir(&parent).map_err(|e| unusable(&parent, e))?;
        }
        // Names that a crash left behind mean nothing: a database that was being received or copied.
        for name in fs
            .read_dir(&self.snap)
            .map_err(|e| unusable(&self.snap, e))?
        {
            if name.starts_with("tmp") || name.starts_with("db.tmp") {
                let path = self.snap.join(name);
                tracing::info!(path = %path.display(), "removing what an interrupted write left");
                fs.remove_file(&path).map_err(|e| unusable(&path, e))?;
            }
        }
        Ok(())
    }

    fn identify(&self, fs: &DynFs) -> Result<(), StartError> {
        let metadata = match fs.metadata(&self.root) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(unusable(&self.root, e)),
        };
        if !metadata.is_dir {
            return Err(StartError::NotADirectory {
                path: self.root.clone(),
            });
        }
        let names = fs
            .read_dir(&self.root)
            .map_err(|e| unusable(&self.root, e))?;
        if names.iter().any(|n| n == "proxy") {
            return Err(StartError::ProxyDir {
                path: self.root.clone(),
            });
        }
        for name in names.iter().filter(|n| n.as_str() != "member") {
            tracing::warn!(filename = %name, data_dir = %self.root.display(),
                "found an unexpected name in the data directory");
        }
        Ok(())
    }
}

fn warn_if_open(fs: &DynFs, dir: &Path) {
    if let Ok(metadata) = fs.metadata(dir)
        && metadata.mode & 0o077 != 0
    {
        tracing::warn!(path = %dir.display(), mode = format_args!("{:o}", metadata.mode),
            "the directory is open to others; recommended mode is 700");
    }
}

fn touch(fs: &DynFs, dir: &Path) -> Result<(), StartError> {
    let path = dir.join(TOUCH);
    fs.open(&path, OpenOptions::create_truncate())
        .map_err(|e| unusable(dir, e))?;
    fs.remove_file(&path).map_err(|e| unusable(dir, e))
}

fn unusable(path: &Path, source: io::Error) -> StartError {
    StartError::DataDir {
        path: path.to_owned(),
        source,
    }
}
