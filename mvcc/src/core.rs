//! The state every handle of a store shares, and how readers take a picture of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};
use varve_backend::Backend;

use crate::compact::Compactor;
use crate::error::{Error, Result};
use crate::hash::CompactionHashes;
use crate::index::Index;
use crate::lease::Lessor;
use crate::options::{Publish, StoreOptions};
use crate::read::{Published, ReadView};
use crate::signal::Signal;
use crate::watch::catch_up;
use crate::watch::hub::Hub;

#[cfg(test)]
mod tests;

/// What all handles, streams and the background thread of a store share.
///
/// Locks nest in this order: a running compaction, the writer, the backend's writer, then any of
/// the short ones (lessor, hub, compaction queue, hashes).
#[derive(Debug)]
pub(crate) struct Core {
    pub backend: Backend,
    pub options: StoreOptions,
    pub writer: Mutex<Writer>,
    /// Held for the copy of a pointer.
    latest: RwLock<Latest>,
    /// A reader has taken a picture since the last transaction looked.
    asked: AtomicBool,
    pub lessor: Lessor,
    pub hub: Hub,
    pub compactor: Compactor,
    pub hashes: CompactionHashes,
    pub signal: Signal,
    pub counters: Counters,
    /// The first failure of background work.
    failure: Mutex<Option<Arc<Error>>>,
}

/// What the last ended transaction left.
#[derive(Debug)]
struct Latest {
    revision: i64,
    compacted: i64,
    epoch: u64,
    /// `None` when no reader was expected ([`Publish::WhenRead`]): the next one has it made.
    picture: Option<Arc<Published>>,
}

/// Transactions after a reader that leave a picture for the next one, with [`Publish::WhenRead`].
const EXPECT_READERS: u32 = 32;

/// What only the writer changes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub index: Index,
    /// Newest revision.
    pub revision: i64,
    /// Newest compaction that was accepted, -1 for none.
    pub compacted: i64,
    /// How often the whole content was replaced.
    pub epoch: u64,
    /// Transactions that still leave a picture although nobody asked since.
    pub expecting: u32,
}

/// Totals since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub puts: AtomicU64,
    pub put_bytes: AtomicU64,
    pub deletes: AtomicU64,
    pub ranges: AtomicU64,
    pub multi_txns: AtomicU64,
    pub compacted_rows: AtomicU64,
    pub compactions: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

impl Writer {
    fn latest(&self, with_picture: bool) -> Latest {
        let picture = with_picture.then(|| {
            Arc::new(Published {
                index: self.index.view(),
                revision: self.revision,
                compacted: self.compacted,
                epoch: self.epoch,
            })
        });
        Latest {
            revision: self.revision,
            compacted: self.compacted,
            epoch: self.epoch,
            picture,
        }
    }
}

impl Core {
    pub(crate) fn new(
        backend: Backend,
        options: StoreOptions,
        writer: Writer,
        lessor: Lessor,
    ) -> Self {
        Self {
            backend,
            latest: RwLock::new(writer.latest(true)),
            asked: AtomicBool::new(false),
            hub: Hub::new(writer.revision, &options.watch),
            writer: Mutex::new(writer),
            lessor,
            compactor: Compactor::default(),
            hashes: CompactionHashes::default(),
            signal: Signal::default(),
            counters: Counters::default(),
            failure: Mutex::new(None),
            options,
        }
    }

    /// Makes the writer's state the one new readers get.
    pub(crate) fn publish(&self, writer: &mut Writer) {
        let expected = self.options.publish == Publish::Always || {
            // A load first: a flag that is only read stays in both processors' caches.
            if self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::Relaxed) {
                writer.expecting = EXPECT_READERS;
            }
            writer.expecting = writer.expecting.saturating_sub(1);
            writer.expecting > 0
        };
        self.publish_as(writer, expected);
    }

    /// Leaves a picture for readers who come while the writer is busy for long. Only between
    /// transactions, or before the first change of one.
    pub(crate) fn publish_ahead(&self, writer: &Writer) {
        if self.latest.read().picture.is_none() {
            self.publish_as(writer, true);
        }
    }

    fn publish_as(&self, writer: &Writer, with_picture: bool) {
        let latest = writer.latest(with_picture);
        // The old picture is dropped after the lock: it may be the last reference to many nodes.
        let _old = std::mem::replace(&mut *self.latest.write(), latest);
    }

    /// Puts other content in place while `swap` does the same below, with readers waiting: none may see
    /// the old index over new rows. Returns the old content; on an error nothing changed.
    pub(crate) fn replace(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        mut fresh: Writer,
        swap: impl FnOnce() -> Result<()>,
    ) -> Result<(Writer, Option<Arc<Published>>)> {
        let mut latest = self.latest.write();
        swap()?;
        fresh.epoch = writer.epoch + 1;
        let old = std::mem::replace(&mut **writer, fresh);
        let old_latest = std::mem::replace(&mut *latest, writer.latest(true));
        Ok((old, old_latest.picture))
    }

    /// Newest revision and newest accepted compaction.
    pub(crate) fn numbers(&self) -> (i64, i64) {
        let latest = self.latest.read();
        (latest.revision, latest.compacted)
    }

    /// What the last ended transaction left.
    pub(crate) fn published(&self) -> Arc<Published> {
        if let Some(picture) = self.left_picture() {
            return picture;
        }
        let writer = self.writer.lock();
        self.publish_ahead(&writer);
        self.left_picture()
            .expect("only the writer takes the picture away, and it is locked")
    }

    fn left_picture(&self) -> Option<Arc<Published>> {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
        self.latest.read().picture.clone()
    }

    /// A consistent picture of index and backend.
    pub(crate) fn read_view(&self) -> ReadView {
        loop {
            let published = self.published();
            let view = self.backend.view();
            // The view is not older than the index, so it has every row the index names; unless a
            // compaction was accepted in between and has already deleted some of them, or the whole
            // content was replaced.
            if self.still_stands(&published) {
                return ReadView { published, view };
            }
        }
    }

    /// Whether no row that `published` names can have been deleted so far.
    fn still_stands(&self, published: &Published) -> bool {
        let now = self.latest.read();
        now.compacted == published.compacted && now.epoch == published.epoch
    }

    /// One step of catching up; true when something was done.
    pub(crate) fn step_watchers(&self) -> bool {
        let stepped = catch_up::step(&self.hub, &self.options.watch, || self.read_view());
        stepped.unwrap_or_else(|error| {
            self.fail(error);
            false
        })
    }

    pub(crate) fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert_with(|| Arc::new(error));
    }

    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        self.failure.lock().clone()
    }

    pub(crate) fn forget_failure(&self) {
        *self.failure.lock() = None;
    }
}
