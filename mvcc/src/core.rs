//! The state every handle of a store shares, and how readers take a picture of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

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
    standing: Standing,
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

/// What decides whether a picture still stands, of [`Latest`]. Apart from it, since transactions write there
/// all the time and these two hardly ever: a reader's look costs nothing.
///
/// Set before what they announce happens below: rows are deleted, or the content is replaced. A reader who
/// has seen that in a view of the backend (which it took under a lock) also sees these.
#[derive(Debug)]
#[repr(align(128))]
struct Standing {
    compacted: AtomicI64,
    epoch: AtomicU64,
}

impl Standing {
    fn of(latest: &Latest) -> Self {
        Self {
            compacted: AtomicI64::new(latest.compacted),
            epoch: AtomicU64::new(latest.epoch),
        }
    }

    /// Only under the lock of [`Latest`].
    fn set(&self, compacted: i64, epoch: u64) {
        if self.compacted.load(Ordering::Relaxed) != compacted {
            self.compacted.store(compacted, Ordering::Release);
        }
        if self.epoch.load(Ordering::Relaxed) != epoch {
            self.epoch.store(epoch, Ordering::Release);
        }
    }
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
    pub ranges: Apart<AtomicU64>,
    pub multi_txns: AtomicU64,
    pub compacted_rows: AtomicU64,
    pub compactions: AtomicU64,
}

/// A value that shares its cache lines with no other: readers count while the writer does.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Apart<T>(pub T);

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
        let latest = writer.latest(true);
        Self {
            backend,
            standing: Standing::of(&latest),
            latest: RwLock::new(latest),
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
        let mut current = self.latest.write();
        self.standing.set(latest.compacted, latest.epoch);
        let old = std::mem::replace(&mut *current, latest);
        drop(current);
        // Only now: it may be the last reference to many nodes.
        drop(old);
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
        fresh.epoch = writer.epoch + 1;
        // A reader who took its picture before and takes its view now asks again, and waits.
        self.standing.set(latest.compacted, fresh.epoch);
        if let Err(error) = swap() {
            self.standing.set(latest.compacted, latest.epoch);
            return Err(error);
        }
        self.standing.set(fresh.compacted, fresh.epoch);
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
        self.standing.compacted.load(Ordering::Acquire) == published.compacted
            && self.standing.epoch.load(Ordering::Acquire) == published.epoch
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
