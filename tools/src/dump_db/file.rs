//! A database that somebody may be writing to.
//!
//! # Invariants
//! 1. What [`DbFile::consistent`] gives was read from one commit. A commit writes only to pages that the
//!    commit before it does not use, and its meta last; as long as a commit is the newest in the file,
//!    nothing it uses has been written to. bbolt and `varve-backend-btree` both keep to this.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use varve_backend::bbolt::{META_LEN, Meta, MetaFault};
use varve_backend_btree::{BtreeEngine, BtreeOptions, BtreeSnapshot};
use varve_vfs::{File, OpenOptions};

use crate::console::Progress;
use crate::look_fs::LookFs;

/// How often an invalid meta page is read again: it may have been seen half written.
const META_ATTEMPTS: usize = 3;

/// Where a database is, and how patient to be with it.
#[derive(Debug)]
pub(crate) struct DbFile {
    pub(crate) path: PathBuf,
    timeout: Duration,
    /// Whether somebody watches a terminal for progress.
    watched: bool,
}

/// One reading of one commit.
pub(crate) struct Reading<'a> {
    pub(crate) file: &'a dyn File,
    pub(crate) engine: BtreeEngine,
    pub(crate) snapshot: BtreeSnapshot,
}

impl Reading<'_> {
    /// What the two meta pages say, or why they say nothing.
    pub(crate) fn metas(&self) -> [Result<Meta, MetaFault>; 2] {
        metas(self.file, self.engine.page_size())
    }
}

impl DbFile {
    /// Finds the database of a data directory or snapshot directory; a file is one itself.
    pub(crate) fn locate(path: &Path, timeout: Duration, watched: bool) -> Result<Self> {
        let places = [
            path.join("member/snap/db"),
            path.join("db"),
            path.to_path_buf(),
        ];
        let meta = |path: &Path| std::fs::metadata(path);
        let given = meta(path).with_context(|| format!("cannot look at {}", path.display()))?;
        let found = places.into_iter().find(|place| match meta(place) {
            Ok(meta) => meta.is_file(),
            Err(_) => false,
        });
        match found {
            Some(path) => Ok(Self {
                path,
                timeout,
                watched,
            }),
            None if given.is_dir() => {
                let below = path.join("member/snap/db");
                bail!(
                    "there is no database in {}: {} does not exist",
                    path.display(),
                    below.display()
                )
            }
            None => bail!("{} is not a file", path.display()),
        }
    }

    /// Calls `read` until what it read belongs together. `read` must be free of side effects.
    ///
    /// Errors: those of `read`, when they are there in a file that holds still; a file that does not for
    /// longer than the timeout.
    pub(crate) fn consistent<T>(
        &self,
        mut read: impl FnMut(&Reading<'_>) -> varve_backend::Result<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut changes = 0_u64;
        loop {
            let (outcome, changed) = self.once(&mut read)?;
            if !changed {
                return outcome;
            }
            changes += 1;
            if !self.timeout.is_zero() && started.elapsed() >= self.timeout {
                bail!(
                    "{} changed while it was read, {changes} times in {:.1} s; \
                     a longer --timeout may help, a copy of the file or a snapshot will",
                    self.path.display(),
                    started.elapsed().as_secs_f64(),
                );
            }
        }
    }

    /// One attempt, and whether the file changed meanwhile.
    fn once<T>(
        &self,
        read: &mut impl FnMut(&Reading<'_>) -> varve_backend::Result<T>,
    ) -> Result<(Result<T>, bool)> {
        let file = self.open()?;
        let before = newest(&*file, None);
        let options = BtreeOptions {
            read_only: true,
            mmap: false,
            ..BtreeOptions::default()
        };
        let fs = LookFs::of_file(Arc::clone(&file), Progress::new(self.watched, file.len()?));
        let engine = match BtreeEngine::open(fs, &self.path, options) {
            Ok(engine) => engine,
            Err(e) => return Ok((Err(e.into()), newest(&*file, None) != before)),
        };
        let (snapshot, page_size) = (engine.btree_snapshot(), engine.page_size());
        let read_from = snapshot.txid();
        let reading = Reading {
            file: &*file,
            engine,
            snapshot,
        };
        let outcome = read(&reading);
        let changed = newest(&*file, Some(page_size)) != Some(read_from);
        Ok((outcome.map_err(Into::into), changed))
    }

    /// The file as it is now under its name.
    pub(super) fn open(&self) -> Result<Arc<dyn File>> {
        let file = LookFs::shared().open(&self.path, OpenOptions::read_only());
        let file = file.with_context(|| format!("cannot open {}", self.path.display()))?;
        Ok(file.into())
    }
}

/// Both meta pages.
pub(super) fn metas(file: &dyn File, page_size: u64) -> [Result<Meta, MetaFault>; 2] {
    [0, page_size].map(|offset| {
        let mut attempt = 1;
        loop {
            let meta = meta(file, offset);
            if meta.is_ok() || attempt >= META_ATTEMPTS {
                break meta;
            }
            attempt += 1;
        }
    })
}

fn meta(file: &dyn File, offset: u64) -> Result<Meta, MetaFault> {
    let mut page = [0; META_LEN];
    match file.read_exact_at(&mut page, offset) {
        Ok(()) => Meta::decode(&page),
        Err(_) => Meta::decode(&[]),
    }
}

/// The newest commit in the file; none without a valid meta.
fn newest(file: &dyn File, page_size: Option<u64>) -> Option<u64> {
    let page_size = page_size.or_else(|| meta(file, 0).ok().map(|meta| meta.page_size.into()));
    let metas = metas(file, page_size.unwrap_or(4096));
    metas.iter().flatten().map(|meta| meta.txid).max()
}
