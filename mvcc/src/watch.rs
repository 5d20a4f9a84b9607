//! Watch: telling whoever asked what changed, in order, without gaps.
//!
//! A [`WatchStream`] is one client's set of watchers and the queue they share. The write transaction
//! puts events of synced watchers into the queues when it ends ([`hub`]); watchers that start in the
//! past or cannot keep up read what they missed in bounded steps, on the background thread
//! ([`catch_up`]): from memory while that is recent, else from the rows of the backend. Consumers drain
//! their queue on their own threads.
//!
//! # Invariants
//!
//! 1. Per watcher, revisions arrive ascending, none missing and none twice, and the events of one
//!    revision in one item, by sub-revision (`tests/it/watch.rs` checks all of it against a model).
//! 2. A progress item is queued only behind every event at or before its revision.
//! 3. Locks nest in this order: hub, stream queue. Wake callbacks run without either.
//!
//! # Failure model
//!
//! A consumer that does not drain costs its queue's bound in memory and nothing else
//! (`tests/it/watch_crowd.rs`).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) mod catch_up;
pub(crate) mod event;
pub(crate) mod hub;
mod intervals;
mod matcher;
mod recent;
mod stream;

use crate::core::Core;
use hub::StreamId;
use stream::StreamQueue;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Id on the stream; `None` lets the stream choose.
    pub id: Option<i64>,
    /// First key.
    pub key: Bytes,
    /// Empty for the single key, `b"\0"` for all keys from `key` on, else the first key past the range.
    pub end: Bytes,
    /// First revision of interest; 0 for whatever comes after now.
    pub start_revision: i64,
    /// Leave puts out.
    pub no_put: bool,
    /// Leave deletions out.
    pub no_delete: bool,
    /// Add to each event the pair as it was before, where it still exists.
    pub prev_kv: bool,
}

/// Why a watcher was not created. The texts are the reasons etcd gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The range cannot contain a key.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The id is in use on this stream.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The start revision is negative.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    NegativeRevision,
}

/// One thing to tell a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// Something changed.
    Events {
        /// The watcher's id.
        id: i64,
        /// For the response's header: all events of the watcher up to here have been given out.
        revision: i64,
        /// Encoded `mvccpb.Event` messages.
        events: Vec<Bytes>,
    },
    /// The watcher needed a revision that is compacted away; it is gone.
    Compacted {
        /// The watcher's id.
        id: i64,
        /// The newest compaction.
        compact_revision: i64,
    },
    /// Everything up to a revision has been given out.
    Progress {
        /// The watcher's id, -1 for all of the stream.
        id: i64,
        /// That revision.
        revision: i64,
    },
}

/// Id of a progress item that speaks for all watchers of a stream.
pub const ALL_WATCHERS: i64 = -1;

/// One client's watchers. Dropping it ends them.
pub struct WatchStream {
    core: Arc<Core>,
    id: StreamId,
    queue: Arc<StreamQueue>,
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream")
            .field("id", &self.id)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl WatchStream {
    /// `wake` is called, on any thread and without locks, when the queue stops being empty.
    pub(crate) fn open(core: Arc<Core>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let queue = Arc::new(StreamQueue::new(wake, core.options.watch.queue_bytes));
        let id = core.hub.add_stream(Arc::clone(&queue));
        Self { core, id, queue }
    }

    /// Adds a watcher. Returns its id and the revision for the header of the "created" answer; its
    /// events may be in the queue before this returns.
    pub fn watch(&self, options: WatchOptions) -> Result<(i64, i64), WatchError> {
        let created = self.core.hub.add_watcher(self.id, options)?;
        if !created.synced {
            self.core.signal.notify();
        }
        Ok((created.id, created.revision))
    }

    /// Ends a watcher; events already queued stay. False when there is none of this id.
    pub fn cancel(&self, id: i64) -> bool {
        self.core.hub.cancel(self.id, id)
    }

    /// Queues a progress item for all watchers behind everything that was queued before, unless one of
    /// them has not caught up; then nothing happens and the client may ask again. Returns which.
    pub fn request_progress(&self) -> bool {
        self.core.hub.request_progress(self.id, None)
    }

    /// The same for one watcher.
    pub fn request_progress_of(&self, id: i64) -> bool {
        self.core.hub.request_progress(self.id, Some(id))
    }

    /// Takes items from the front of the queue until they make up `max_bytes`, one at least. Drain until
    /// nothing comes: only a queue that was empty wakes its consumer again.
    pub fn drain(&self, max_bytes: usize) -> Vec<WatchItem> {
        let (items, relieved) = self.queue.drain(max_bytes);
        if relieved {
            self.core.signal.notify();
        }
        items
    }

    /// Whether the watcher gets events as they happen; `None` when there is none of this id.
    pub fn is_synced(&self, id: i64) -> Option<bool> {
        self.core.hub.is_synced(self.id, id)
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.core.hub.remove_stream(self.id);
    }
}
