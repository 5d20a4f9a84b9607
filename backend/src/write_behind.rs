//! The write-behind batch: writes land in memory at once and reach the engine a little later.
//!
//! One writer at a time holds a [`Guard`]; when it ends, its operations are visible to new views. A
//! committer thread ("backend-commit") freezes the open batch when it is full or old enough and commits
//! it while the next one fills. The caller's log (raft, in a server) is the redo log for what is not yet
//! committed; `tag` tells it how far the engine has come.
//!
//! # Invariants
//! 1. A view reads, newest first: the open layer up to the sequence number that was published when the
//!    view was taken, the frozen layers, the engine snapshot below them. Each layer leaves the list in
//!    the same step in which a snapshot that contains it comes in.
//! 2. Operations of one guard share a sequence number and always reach the engine in one commit:
//!    freezing needs the writer's lock.
//! 3. Layers are committed in the order they were frozen.
//! 4. Locks nest in this order: commit, writer, queue, published, layer; `retired` is held alone or under
//!    queue.
//!
//! # Backpressure
//! The writer does not wait for a commit that is running, unless what is frozen exceeds four times the
//! batch limit (operations or bytes); then [`Backend::begin`] waits for the committer. Memory is thus
//! bounded by about five batches, and four more that were committed and that views read (`retired`).
//!
//! # Failure model
//! When a commit or the snapshot after it fails, the backend keeps that error ([`Backend::failure`]):
//! nothing is committed any more and everybody who waits gets the error. Views keep working on memory
//! and the last snapshot, so that a server can say why it stops. It is expected to stop: what is written
//! from then on stays in memory only.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::{Engine, Error, ErrorKind, Reclaimed, Result, Sizes, Snapshot};

mod committer;
mod guard;
mod layer;
mod retired;
#[cfg(test)]
mod tests;
mod view;

pub use guard::Guard;
use layer::Layer;
use retired::Retired;
pub use view::{View, ViewScan};

/// The writer waits when more than this many times the batch limit is frozen and not yet committed.
const BACKPRESSURE_FACTOR: usize = 4;

/// `reclaim` ends after so many steps even if each gains a little: writers may free space for ever.
const MAX_RECLAIM_STEPS: usize = 1000;

/// Observer of commits.
pub type OnCommit = Arc<dyn Fn(CommitStats) + Send + Sync>;

/// Observer of the failure that ends a backend's service.
pub type OnFailure = Arc<dyn Fn(&Error) + Send + Sync>;

/// How a [`Backend`] batches.
#[derive(Clone)]
pub struct BackendOptions {
    /// Operations after which a batch is committed at once. etcd: 10000.
    pub batch_limit: usize,
    /// Bytes of keys and values after which a batch is committed at once; bounds memory when values are
    /// large.
    pub batch_bytes: usize,
    /// How long the first operation of a batch waits at most before its commit begins. etcd: 100 ms.
    pub batch_interval: Duration,
    /// No committer thread: commits happen in [`Backend::commit_due`] and [`Backend::force_commit`], on
    /// the caller's thread. For simulation and tests. A writer that meets backpressure commits itself.
    pub manual: bool,
    /// Called after each successful commit, on the committing thread, without locks held.
    pub on_commit: Option<OnCommit>,
    /// Called once when the backend fails for good, on the committing thread, without locks held.
    pub on_failure: Option<OnFailure>,
}

impl Default for BackendOptions {
    /// etcd's defaults, with a committer thread.
    fn default() -> Self {
        Self {
            batch_limit: 10_000,
            batch_bytes: 64 << 20,
            batch_interval: Duration::from_millis(100),
            manual: false,
            on_commit: None,
            on_failure: None,
        }
    }
}

impl BackendOptions {
    /// The defaults without a committer thread.
    pub fn manual() -> Self {
        Self {
            manual: true,
            ..Self::default()
        }
    }
}

impl fmt::Debug for BackendOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendOptions")
            .field("batch_limit", &self.batch_limit)
            .field("batch_bytes", &self.batch_bytes)
            .field("batch_interval", &self.batch_interval)
            .field("manual", &self.manual)
            .finish_non_exhaustive()
    }
}

/// One commit, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitStats {
    /// Keys the commit changed.
    pub ops: usize,
    /// Bytes of their keys and values.
    pub bytes: usize,
    /// Time the engine took.
    pub duration: Duration,
    /// Highest tag that is durable now.
    pub durable_tag: u64,
}

/// Totals since the backend was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CommitCounts {
    /// Successful commits.
    pub commits: u64,
    /// Keys they changed.
    pub ops: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// A storage engine with the write-behind batch in front of it. Clones share one backend.
///
/// Dropping the last clone commits what is pending and stops the committer, like [`close`](Self::close);
/// a manual backend drops what is pending, as a crash would.
#[derive(Clone)]
pub struct Backend {
    handle: Arc<Handle>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("options", &self.handle.shared.options)
            .field("durable_tag", &self.durable_tag())
            .finish_non_exhaustive()
    }
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What views start from.
struct Published {
    /// Newest first; the first one is open.
    layers: Vec<Arc<Layer>>,
    snapshot: Arc<dyn Snapshot>,
}

/// The writer's own state, behind the lock a guard holds.
struct Writer {
    ops: usize,
    bytes: usize,
    tag: u64,
    /// Highest tag that is part of a frozen batch.
    frozen_tag: u64,
    /// Batches frozen so far.
    generation: u64,
}

/// A batch on its way to the engine.
#[derive(Clone)]
struct Frozen {
    layer: Arc<Layer>,
    ops: usize,
    bytes: usize,
    tag: u64,
    generation: u64,
}

struct Queue {
    frozen: Vec<Frozen>,
    /// When the open batch is due; set by its first operation.
    deadline: Option<Instant>,
    /// Generation up to which batches are in the engine.
    committed: u64,
    /// Generations the last `swap_engine` dropped.
    dropped: std::ops::Range<u64>,
    failure: Option<Error>,
    stop: bool,
    counts: CommitCounts,
}

type DurableCallback = Arc<dyn Fn(u64) + Send + Sync>;

struct Shared {
    options: BackendOptions,
    engine: RwLock<Arc<dyn Engine>>,
    /// Held while batches are handed to the engine; serialises commits and engine swaps.
    commit: Mutex<()>,
    writer: Mutex<Writer>,
    queue: Mutex<Queue>,
    /// The committer sleeps here.
    wake: Condvar,
    /// Everybody who waits for the committer sleeps here.
    done: Condvar,
    /// What views take, with the sequence number up to which the open layer is visible.
    published: RwLock<(Arc<Published>, u64)>,
    /// Committed batches that views may still read.
    retired: Mutex<Retired>,
    durable_tag: AtomicU64,
    on_durable: Mutex<Vec<DurableCallback>>,
}

impl Backend {
    /// Takes the first snapshot of the engine and starts the committer thread unless
    /// `options.manual`.
    pub fn open(engine: Arc<dyn Engine>, options: BackendOptions) -> Result<Self> {
        let snapshot = engine.snapshot()?;
        let manual = options.manual;
        let published = Published {
            layers: vec![Arc::new(Layer::default())],
            snapshot,
        };
        let shared = Arc::new(Shared {
            options,
            engine: RwLock::new(engine),
            commit: Mutex::new(()),
            writer: Mutex::new(Writer {
                ops: 0,
                bytes: 0,
                tag: 0,
                frozen_tag: 0,
                generation: 0,
            }),
            queue: Mutex::new(Queue {
                frozen: Vec::new(),
                deadline: None,
                committed: 0,
                dropped: 0..0,
                failure: None,
                stop: false,
                counts: CommitCounts::default(),
            }),
            wake: Condvar::new(),
            done: Condvar::new(),
            published: RwLock::new((Arc::new(published), 0)),
            retired: Mutex::default(),
            durable_tag: AtomicU64::new(0),
            on_durable: Mutex::new(Vec::new()),
        });
        let thread = if manual {
            None
        } else {
            Some(committer::spawn(Arc::clone(&shared))?)
        };
        Ok(Self {
            handle: Arc::new(Handle {
                shared,
                thread: Mutex::new(thread),
            }),
        })
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Becomes the writer; waits for another guard to end, and under backpressure for the committer.
    /// A thread that holds a guard must not call this, [`force_commit`](Self::force_commit),
    /// [`swap_engine`](Self::swap_engine) or [`close`](Self::close).
    pub fn begin(&self) -> Guard<'_> {
        let shared = self.shared();
        shared.wait_for_room();
        Guard::new(shared)
    }

    /// Returns when [`begin`](Self::begin) would not have to wait for the committer: for those who would
    /// hold a lock of their own meanwhile.
    pub fn wait_for_room(&self) {
        self.shared().wait_for_room();
    }

    /// Whether [`begin`](Self::begin) would not wait for the committer now.
    pub fn has_room(&self) -> bool {
        self.shared().has_room()
    }

    /// Everything whose guard ended before this call, unaffected by what follows.
    pub fn view(&self) -> View {
        let (published, seq) = &*self.shared().published.read();
        View::new(Arc::clone(published), *seq)
    }

    /// Returns when everything whose guard ended before this call is durable in the engine.
    pub fn force_commit(&self) -> Result<()> {
        self.shared().force_commit()
    }

    /// Commits what is pending on the caller's thread, as the committer does when the interval has
    /// passed. Returns whether there was anything.
    pub fn commit_due(&self) -> Result<bool> {
        self.shared().freeze_now();
        self.shared().commit_frozen()
    }

    /// Highest tag of a guard whose operations are durable; 0 before the first commit and after
    /// [`swap_engine`](Self::swap_engine).
    pub fn durable_tag(&self) -> u64 {
        self.shared().durable_tag.load(Ordering::Acquire)
    }

    /// Registers a callback for every commit; it gets the durable tag, runs on the committing thread and
    /// holds up the next commit while it runs. It must not write to this backend and wait for it.
    pub fn on_durable(&self, callback: Box<dyn Fn(u64) + Send + Sync>) {
        self.shared().on_durable.lock().push(Arc::from(callback));
    }

    /// Sizes of the engine as of its newest commit.
    pub fn sizes(&self) -> Sizes {
        self.engine().sizes()
    }

    /// The engine in place now.
    pub fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.shared().engine.read())
    }

    /// The error that ended this backend's service, if one did.
    pub fn failure(&self) -> Option<Error> {
        self.shared().queue.lock().failure.clone()
    }

    /// Totals since the backend was opened.
    pub fn commit_stats(&self) -> CommitCounts {
        self.shared().queue.lock().counts
    }

    /// Puts another engine in place (a snapshot was received): pending batches are dropped, a failure of
    /// the old engine is forgotten, tags start again at 0. Views taken before stay on the old engine.
    pub fn swap_engine(&self, engine: Arc<dyn Engine>) -> Result<()> {
        let shared = self.shared();
        let snapshot = engine.snapshot()?;
        let _commit = shared.commit.lock();
        let mut writer = shared.writer.lock();
        let mut queue = shared.queue.lock();
        if let Some(error) = queue.failure.clone()
            && error.is_closed()
        {
            return Err(error);
        }
        *writer = Writer {
            ops: 0,
            bytes: 0,
            tag: 0,
            frozen_tag: 0,
            generation: writer.generation + 1,
        };
        queue.frozen.clear();
        queue.deadline = None;
        queue.dropped = queue.committed + 1..writer.generation;
        queue.committed = writer.generation;
        queue.failure = None;
        shared.durable_tag.store(0, Ordering::Release);
        *shared.engine.write() = engine;
        let fresh = Published {
            layers: vec![Arc::new(Layer::default())],
            snapshot,
        };
        shared.published.write().0 = Arc::new(fresh);
        shared.done.notify_all();
        Ok(())
    }

    /// [`Engine::reclaim`] for an engine behind a backend: the snapshot the backend keeps for its views would
    /// hold on to the space, so it is taken anew between the steps. Writers and readers go on meanwhile.
    /// Views that are alive keep what they can see.
    pub fn reclaim(&self) -> Result<Reclaimed> {
        let shared = self.shared();
        let mut done = self.engine().reclaim()?;
        for _ in 0..MAX_RECLAIM_STEPS {
            shared.refresh_snapshot()?;
            let step = self.engine().reclaim()?;
            let gained = step.bytes_after < done.bytes_after;
            done.bytes_after = step.bytes_after;
            if !gained {
                break;
            }
        }
        shared.refresh_snapshot()?;
        Ok(done)
    }

    /// Commits what is pending, stops the committer and refuses further commits with
    /// [`ErrorKind::Closed`]. Closing twice is no error.
    pub fn close(&self) -> Result<()> {
        self.handle.close()
    }
}

impl Handle {
    fn close(&self) -> Result<()> {
        let result = match self.shared.force_commit() {
            Err(error) if error.is_closed() => Ok(()),
            other => other,
        };
        self.stop();
        if result.is_ok() {
            let engine = Arc::clone(&self.shared.engine.read());
            engine.prepare_reopening();
        }
        let mut queue = self.shared.queue.lock();
        queue
            .failure
            .get_or_insert_with(|| ErrorKind::Closed.into());
        self.shared.done.notify_all();
        result
    }

    fn stop(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().take();
        // The last clone may be dropped by a callback, on the committer itself: it cannot join itself
        // and ends on its own.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the committer was reported by its hook; there is nobody to hand it to here.
            drop(thread.join());
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let on_committer = self
            .thread
            .lock()
            .as_ref()
            .is_some_and(|t| t.thread().id() == std::thread::current().id());
        if self.shared.options.manual || on_committer {
            self.stop();
        } else {
            // Nobody is left to hear of a failure; `close` is for those who want to.
            drop(self.close());
        }
    }
}
