//! The engine: one file, one writer, any number of readers.
//!
//! Opened by start-up code and tools. Commits run on the committer's thread under the writer lock;
//! snapshots are taken on any thread and touch only the reader registry.
//!
//! # Commit
//! Free pages that no reader can see any more, build the changed pages and write them (to free pages, in
//! ascending order where they allow it; the file grows as needed), sync, write the meta of the other
//! slot, sync, publish. The order of the two syncs is
//! what makes a commit atomic: until the meta is on disk, everything the old meta reaches is untouched.
//!
//! # Failure model
//! A crash before the meta is durable leaves the old commit, after it the new one. When a write or sync
//! fails, what is on disk is unknown: the engine keeps the error and refuses all further commits;
//! snapshots go on reading the last commit it knows to be whole. A batch that is refused for its content
//! ([`ErrorKind::Invalid`]) changes nothing and poisons nothing.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use varve_backend::bbolt::{Meta, NO_FREELIST};
use varve_backend::{Batch, Engine, Error, ErrorKind, Export, Reclaimed, Result, Sizes, Snapshot};
use varve_vfs::{DynFs, File};

use crate::check::{CheckReport, check};
use crate::commit::{Move, Tx};
use crate::export::FileExport;
use crate::freelist::{FreeList, Run};
use crate::mmap::Map;
use crate::open::open;
use crate::options::{BtreeOptions, FreelistType};
use crate::out::Out;
use crate::page::Pages;
use crate::readers::{Registry, State};
use crate::snapshot::BtreeSnapshot;
use crate::source::{MappedSource, PageSource, PreadSource};
use crate::walk::{PageSet, claim, each_run, freelist_run};

mod reclaim;
mod sidecar;
mod write;

use sidecar::Sidecar;

/// A bbolt file as a storage engine.
#[derive(Debug)]
pub struct BtreeEngine {
    file: Arc<dyn File>,
    fs: DynFs,
    path: PathBuf,
    options: BtreeOptions,
    page_size: u64,
    registry: Arc<Registry>,
    /// Length of the file, shared with the maps.
    file_len: Arc<AtomicU64>,
    writer: Mutex<Writer>,
}

/// Whether a commit that changes nothing is written all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    IfChanged,
    Always,
}

#[derive(Debug)]
struct Writer {
    free: FreeList,
    failure: Option<Error>,
    /// A freelist page the newest commit has on disk.
    freelist_page: Option<Run>,
    /// High-water mark of the commit before the newest: the other meta still names it.
    previous_high_water: u64,
    /// Where the search for pages to move goes on; `None`: at the end of the file.
    search_below: Option<u64>,
    /// Memory in which the pages of a commit are put together.
    buffer: Vec<u8>,
    sidecar: Sidecar,
}

impl BtreeEngine {
    /// Opens (or creates) the file at `path`.
    ///
    /// Errors: [`ErrorKind::Locked`] when another handle has the file, [`ErrorKind::Corrupt`] when it is
    /// not a sound bbolt file, [`ErrorKind::Invalid`] for options that make no sense. Nothing is written
    /// to a file that is refused.
    pub fn open(fs: DynFs, path: impl AsRef<Path>, options: BtreeOptions) -> Result<Self> {
        let path = path.as_ref();
        let opened = open(&fs, path, &options)?;
        let meta = opened.meta;
        let file: Arc<dyn File> = Arc::from(opened.file);
        let file_len = Arc::new(AtomicU64::new(opened.file_len));
        let page_size = u64::from(meta.page_size);
        let source = make_source(
            &file,
            path,
            &options,
            &file_len,
            meta.high_water * page_size,
        )?;
        let pages = Pages {
            source,
            path: Arc::from(path),
            page_size: usize::try_from(meta.page_size).unwrap_or(usize::MAX),
            high_water: meta.high_water,
        };
        let (mut free, mut freelist_page) = (FreeList::default(), None);
        let mut sidecar = Sidecar::default();
        if !options.read_only {
            let listed;
            (sidecar, listed) = sidecar::read(&fs, &*file, &options, &meta, &pages)?;
            (free, freelist_page) = match listed {
                Some(free) => (free, None),
                None => find_free_pages(&pages, &meta, options.freelist_type)?,
            };
        }
        let state = State::new(meta, pages, free.free_pages());
        Ok(Self {
            file,
            fs,
            path: path.to_path_buf(),
            options,
            page_size,
            registry: Registry::new(state),
            file_len,
            writer: Mutex::new(Writer {
                free,
                failure: None,
                freelist_page,
                previous_high_water: meta.high_water,
                search_below: None,
                buffer: Vec::new(),
                sidecar,
            }),
        })
    }

    /// A snapshot with the methods tools need beyond [`Snapshot`].
    pub fn btree_snapshot(&self) -> BtreeSnapshot {
        let (state, reader) = self.registry.enter();
        BtreeSnapshot {
            state,
            reader: Arc::new(reader),
        }
    }

    /// Walks everything the newest commit reaches and reports what is not as it should be. Reads only.
    pub fn check(&self) -> CheckReport {
        check(&self.btree_snapshot())
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the free-list sidecar, when the options ask for it and something was committed, and refuses
    /// commits from then on. The file itself needs no closing.
    pub fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.put_sidecar(&mut writer)?;
        writer
            .failure
            .get_or_insert_with(|| ErrorKind::Closed.into());
        Ok(())
    }

    fn put_sidecar(&self, writer: &mut Writer) -> Result<()> {
        if writer.failure.is_some() || !self.options.freelist_sidecar || self.options.read_only {
            return Ok(());
        }
        sidecar::put(self, writer)
    }

    fn refuse_if_unusable(&self, writer: &Writer) -> Result<()> {
        if self.options.read_only {
            return Err(ErrorKind::ReadOnly {
                path: self.path.clone(),
            }
            .into());
        }
        match &writer.failure {
            Some(error) if error.is_closed() => Err(error.clone()),
            Some(first) => Err(ErrorKind::Poisoned {
                first: first.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }

    /// One commit: the batch, and pages to move by `(bucket, key)`.
    /// Returns whether there was anything to write.
    fn commit_with(
        &self,
        writer: &mut Writer,
        batch: &Batch,
        mut moves: Vec<Move>,
        when: Write,
    ) -> Result<bool> {
        let state = self.registry.newest();
        writer.free.release(&self.registry.open());
        moves.sort();
        let old_list = writer.freelist_page;
        let out = Out::new(self.target(), std::mem::take(&mut writer.buffer));
        let mut tx = Tx::new(&state.pages, &mut writer.free, &self.options, out);
        let root = match tx.apply_batch(state.meta.root, batch, &moves) {
            Ok(root) => root,
            Err(error) => {
                tx.abort();
                if !matches!(error.kind(), ErrorKind::Invalid { .. }) {
                    writer.failure = Some(error.clone());
                }
                return Err(error);
            }
        };
        tx.lower_high_water();
        if when == Write::IfChanged
            && tx.written.is_empty()
            && root == state.meta.root
            && tx.high_water == state.meta.high_water
        {
            return Ok(false);
        }
        sidecar::remove(self, &mut writer.sidecar);
        if let Some(run) = old_list {
            tx.release(run);
        }
        let on_disk = tx.write_freelist().and_then(|freelist| {
            tx.out.sync(tx.high_water * self.page_size)?;
            let meta = Meta {
                root,
                freelist,
                high_water: tx.high_water,
                txid: state.meta.txid + 1,
                ..state.meta
            };
            Ok((meta, self.finish(&state, &meta)?))
        });
        let (written, freed) = (tx.written, tx.freed);
        writer.buffer = tx.out.into_buffer();
        let (meta, pages) = match on_disk {
            Ok(on_disk) => on_disk,
            Err(error) => {
                writer.failure = Some(error.clone());
                return Err(error);
            }
        };
        writer.free.commit(meta.txid, &written, &freed);
        writer.freelist_page = (meta.freelist != NO_FREELIST)
            .then(|| {
                written
                    .iter()
                    .copied()
                    .find(|run| run.start == meta.freelist)
            })
            .flatten();
        writer.previous_high_water = state.meta.high_water;
        let free_pages = writer.free.free_pages();
        self.registry.publish(State::new(meta, pages, free_pages));
        Ok(true)
    }

    /// The pages of a new commit: the old source, or a larger map when the file has outgrown it.
    fn pages_for(&self, old: &Pages, high_water: u64) -> Result<Pages> {
        let end = high_water * self.page_size;
        let fits = self.file.as_real().is_none()
            || !self.options.mmap
            || end == 0
            || old
                .source
                .mapped(end - self.page_size, old.page_size)
                .is_some();
        let source = if fits {
            Arc::clone(&old.source)
        } else {
            make_source(&self.file, &self.path, &self.options, &self.file_len, end)?
        };
        Ok(Pages {
            source,
            high_water,
            ..old.clone()
        })
    }
}

impl Engine for BtreeEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(self.btree_snapshot()))
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut writer = self.writer.lock();
        self.refuse_if_unusable(&writer)?;
        batch.validate()?;
        if batch.is_empty() {
            return Ok(());
        }
        let moves = self.pick_moves(&mut writer);
        self.commit_with(&mut writer, batch, moves, Write::IfChanged)?;
        self.trim_if_worth_it(&mut writer);
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        let state = self.registry.newest();
        let total = state.meta.high_water * self.page_size;
        Sizes {
            total_bytes: total,
            in_use_bytes: total - state.free_pages * self.page_size,
            open_readers: self.registry.count(),
        }
    }

    fn export(&self) -> Result<Box<dyn Export>> {
        let snapshot = self.btree_snapshot();
        Ok(Box::new(FileExport::new(
            Arc::clone(&self.file),
            self.path.clone(),
            snapshot,
        )))
    }

    fn reclaim(&self) -> Result<Reclaimed> {
        self.reclaim_space()
    }

    fn prepare_reopening(&self) {
        // A failed sidecar only costs the next open a walk.
        drop(self.put_sidecar(&mut self.writer.lock()));
    }
}

/// A map of at least `end` bytes, or positioned reads.
fn make_source(
    file: &Arc<dyn File>,
    path: &Path,
    options: &BtreeOptions,
    file_len: &Arc<AtomicU64>,
    end: u64,
) -> Result<Arc<dyn PageSource>> {
    let path = path.to_path_buf();
    if let Some(real) = file.as_real().filter(|_| options.mmap) {
        // Twice the need, so that a growing file is not mapped anew with every growth.
        let len = end
            .saturating_mul(2)
            .max(options.initial_map_bytes)
            .max(1 << 15);
        let len = usize::try_from(len)
            .map_err(|_| Error::invalid(format!("a map of {len} bytes has no address space")))?;
        let map = Map::new(real, len).map_err(|e| Error::io("map", &path, e))?;
        return Ok(Arc::new(MappedSource {
            map,
            file_len: Arc::clone(file_len),
            path,
        }));
    }
    Ok(Arc::new(PreadSource {
        file: Arc::clone(file),
        path,
    }))
}

/// Walks the tree: what it does not reach is free. A persisted list is not believed, but its own pages
/// are in use until the next commit lets go of them.
fn find_free_pages(
    pages: &Pages,
    meta: &Meta,
    kind: FreelistType,
) -> Result<(FreeList, Option<Run>)> {
    let mut seen = PageSet::new(meta.high_water);
    let list = match meta.freelist {
        NO_FREELIST => None,
        id => Some(freelist_run(pages, id)?),
    };
    if let Some(run) = list {
        claim(pages, &mut seen, run)?;
    }
    each_run(pages, meta.root, &mut |run| claim(pages, &mut seen, run))?;
    let free = FreeList::new(kind, seen.gaps().into_iter());
    Ok((free, list))
}

impl Drop for BtreeEngine {
    fn drop(&mut self) {
        // A failed sidecar only costs the next open a walk.
        drop(self.close());
    }
}
