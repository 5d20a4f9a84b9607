//! The store as its users hold it.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use varve_backend::{Backend, BackendOptions, Engine, Export};

use crate::background;
use crate::compact;
use crate::core::{Core, Counters};
use crate::error::{Error, Result};
use crate::hash::{self, HashKv};
use crate::lease::Lessor;
use crate::options::StoreOptions;
use crate::read::ReadView;
use crate::restore::{Restored, restore};
use crate::schema;
use crate::stats::Stats;
use crate::watch::WatchStream;
use crate::write::WriteTxn;

/// A multi-version store over a backend. Clones share one store.
///
/// Dropping the last clone stops the background thread; [`close`](Self::close) also commits.
#[derive(Clone, Debug)]
pub struct Store {
    handle: Arc<Handle>,
}

/// A byte image of a store and what it holds; see [`Store::export`].
pub struct StoreExport {
    /// The image; its length is known before it is read.
    pub image: Box<dyn Export>,
    /// The newest revision in it.
    pub revision: i64,
    /// Raft index of the newest entry whose effects are in it; `None` in a store without a raft log.
    pub consistent_index: Option<u64>,
    /// Term of that entry.
    pub term: Option<u64>,
}

impl fmt::Debug for StoreExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreExport")
            .field("len_bytes", &self.image.len())
            .field("revision", &self.revision)
            .field("consistent_index", &self.consistent_index)
            .field("term", &self.term)
            .finish()
    }
}

#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    background: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    fn stop(&self) {
        self.core.signal.stop();
        let thread = self.background.lock().take();
        // A callback on the background thread may hold the last clone; a thread cannot join itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let panicked = thread.join().is_err();
            assert!(!panicked, "the background thread panicked");
        }
        self.core.compactor.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.core.signal.stop();
        } else {
            self.stop();
        }
    }
}

impl Store {
    /// Opens what the backend holds: creates missing buckets, rebuilds index and leases, resumes a
    /// compaction that was cut short. Reads every row once.
    pub fn open(backend: Backend, options: StoreOptions) -> Result<Self> {
        let Restored {
            writer,
            lessor,
            finished,
            resume,
        } = restore(&backend, &options)?;
        let manual = options.manual;
        let core = Arc::new(Core::new(backend, options, writer, lessor));
        core.compactor.pause().restored(finished, resume).call();
        let thread = if manual {
            None
        } else {
            Some(background::spawn(Arc::clone(&core)).map_err(Error::Thread)?)
        };
        Ok(Self {
            handle: Arc::new(Handle {
                core,
                background: Mutex::new(thread),
            }),
        })
    }

    /// Opens a store for embedding: an engine, and defaults for everything else.
    pub fn open_engine(engine: Arc<dyn Engine>) -> Result<Self> {
        let backend = Backend::open(engine, BackendOptions::default())?;
        Self::open(backend, StoreOptions::default())
    }

    fn core(&self) -> &Core {
        &self.handle.core
    }

    /// The backend below.
    pub fn backend(&self) -> &Backend {
        &self.core().backend
    }

    /// The newest revision; 1 when nothing was ever written.
    pub fn revision(&self) -> i64 {
        self.core().numbers().0
    }

    /// The newest compaction that was accepted; -1 when there was none.
    pub fn compact_revision(&self) -> i64 {
        self.core().numbers().1
    }

    /// A picture of the store as it is now. Scanning it takes no lock and keeps no writer waiting.
    pub fn read(&self) -> ReadView {
        Counters::add(&self.core().counters.ranges.0, 1);
        self.core().read_view()
    }

    /// Becomes the writer, after the one before has ended.
    pub fn write(&self) -> WriteTxn<'_> {
        WriteTxn::begin(self.core())
    }

    /// etcd's `HashKV`: the hash of everything up to `revision` (0 for now), or the remembered hash of
    /// the compaction at that revision. [`Error::Compacted`] below the last compaction,
    /// [`Error::FutureRevision`] above the newest revision.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv> {
        if let Some(hash) = self.core().hashes.get(revision) {
            return Ok(HashKv {
                current_revision: self.revision(),
                ..hash
            });
        }
        hash::hash_kv(&self.core().read_view(), revision)
    }

    /// The hashes of the last compactions, ascending; for members that compare them.
    pub fn compaction_hashes(&self) -> Vec<HashKv> {
        self.core().hashes.all()
    }

    /// etcd's `Hash`: every bucket. Commits first.
    pub fn hash(&self) -> Result<u32> {
        hash::hash_all(&self.core().backend)
    }

    /// Whether the rows a compaction at `revision` removes are gone, and that is committed.
    pub fn compaction_done(&self, revision: i64) -> bool {
        self.core().compactor.is_done(revision)
    }

    /// Calls `f` with the newest finished compaction once it is at least `revision`: now, or later on
    /// the background thread. Dropped uncalled when the store is closed before.
    pub fn on_compaction_done(&self, revision: i64, f: Box<dyn FnOnce(i64) + Send>) {
        self.core().compactor.when_done(revision, f);
    }

    /// Does one bounded part of a compaction. True when there is more to do.
    pub fn step_compaction(&self) -> Result<bool> {
        Ok(compact::step(self.core())?.more)
    }

    /// Does one bounded part of catching up. True when something was done.
    pub fn step_watchers(&self) -> bool {
        self.core().step_watchers()
    }

    /// A new client's watchers. `wake` is called when its queue stops being empty: on any thread, and
    /// it must not call the store.
    pub fn watch_stream(&self, wake: Arc<dyn Fn() + Send + Sync>) -> WatchStream {
        WatchStream::open(Arc::clone(&self.handle.core), wake)
    }

    /// The leases.
    pub fn lessor(&self) -> &Lessor {
        &self.core().lessor
    }

    /// Puts the content of another engine in the place of this store's, which goes on serving: what a
    /// member does that received a snapshot. Creates missing buckets in it, as opening does.
    ///
    /// The new content is read first, with nobody waiting; on an error the store stays as it was. Then
    /// engine, index, revisions, compaction state and leases change as one: a view taken before stays
    /// on the old content and keeps the old engine alive, which ends with its last view; one taken
    /// after sees only the new. All handles, [`backend`](Self::backend) included, stay valid. What the
    /// backend had not committed, and what is written while the new content is read, is dropped: a
    /// server calls this on the thread that applies.
    ///
    /// Watchers stay. Each goes on behind the last revision it was told about, reading from the new
    /// content; where that revision is compacted there it is cancelled with the compact revision. One
    /// that is further than the new content waits until that has caught up. Leases of a lessor that
    /// keeps time run from now. Remembered hashes of compactions are forgotten.
    pub fn restore(&self, engine: Arc<dyn Engine>) -> Result<()> {
        let core = self.core();
        let fresh = Restored::of_engine(Arc::clone(&engine), &core.options)?;
        let mut compactor = core.compactor.pause();
        let mut writer = core.writer.lock();
        let old = core.replace(&mut writer, fresh.writer, || {
            core.backend.swap_engine(engine)?;
            core.lessor.replace(fresh.lessor);
            core.hashes.clear();
            Ok(())
        })?;
        let done = compactor.restored(fresh.finished, fresh.resume);
        core.forget_failure();
        core.hub.restored(writer.revision);
        drop(writer);
        drop(compactor);
        core.signal.notify();
        done.call();
        // Freeing a large index takes a while; nobody waits for it here.
        drop(old);
        Ok(())
    }

    /// An image of the store with everything that ended before, in bbolt's file format: what a member
    /// sends to one that is far behind. Commits first, with writers waiting for that commit, so that
    /// image and numbers agree; reading the image keeps nobody waiting.
    pub fn export(&self) -> Result<StoreExport> {
        let core = self.core();
        let writer = core.writer.lock();
        core.publish_ahead(&writer);
        core.backend.force_commit()?;
        let view = core.backend.view();
        let image = core.backend.engine().export()?;
        let revision = writer.revision;
        drop(writer);
        Ok(StoreExport {
            image,
            revision,
            consistent_index: schema::consistent_index(&view)?,
            term: schema::term(&view)?,
        })
    }

    /// The first failure of background work (compaction, catching up), if there was one. The store
    /// then still answers, and should be closed.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.core().failure()
    }

    /// Stops the background thread, commits and closes the backend.
    pub fn close(&self) -> Result<()> {
        self.handle.stop();
        Ok(self.core().backend.close()?)
    }

    /// Memory of the key index in bytes. Walks all of it with the writer waiting: for measurements.
    pub fn index_memory_bytes(&self) -> usize {
        self.core().writer.lock().index.memory_bytes()
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> Stats {
        Stats::of(self.core())
    }
}
