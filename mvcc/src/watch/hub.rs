//! All watchers of a store: who is synced, who has to catch up, and the hand-over between the two.
//!
//! `notify` runs on the apply thread at the end of each transaction; the rest on consumers' threads and,
//! for catching up, in the background. Everything here is short and in memory.
//!
//! # Invariants
//!
//! 1. `revision` is the newest revision every synced watcher has been told about. A synced watcher's
//!    next event is after it, or at its own later `next`.
//! 2. A watcher is in `matcher` exactly while it is synced, else exactly once in `unsynced` (a catch-up
//!    step takes it out and puts it back). `unsynced` may also name watchers that are gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::event::{Change, SharedEvent};
use super::matcher::{Matcher, Target};
use super::recent::Recent;
use super::stream::{Pushed, StreamQueue};
use super::{ALL_WATCHERS, WatchError, WatchItem, WatchOptions};
use crate::error::Result;
use crate::options::WatchLimits;

pub(super) type WatcherId = u64;
pub(super) type StreamId = u64;

/// The watchers of a store.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) state: Mutex<State>,
    events_sent: AtomicU64,
}

#[derive(Debug)]
pub(super) struct State {
    pub revision: i64,
    watchers: BTreeMap<WatcherId, Watcher>,
    streams: BTreeMap<StreamId, Stream>,
    matcher: Matcher<Synced>,
    /// Served in turn by catch-up steps.
    pub unsynced: VecDeque<WatcherId>,
    /// What was told last; empty while nobody watches.
    pub recent: Recent,
    next_watcher: WatcherId,
    next_stream: StreamId,
}

#[derive(Debug)]
struct Stream {
    queue: Arc<StreamQueue>,
    watchers: BTreeMap<i64, WatcherId>,
    next_id: i64,
}

/// One watcher.
#[derive(Clone, Debug)]
pub(super) struct Watcher {
    pub spec: Arc<Spec>,
    /// First revision it has not been told about; may lag behind while synced.
    pub next: i64,
    synced: bool,
}

/// What never changes about a watcher.
#[derive(Debug)]
pub(super) struct Spec {
    pub queue: Arc<StreamQueue>,
    stream: StreamId,
    /// Id on its stream.
    pub id: i64,
    pub target: Target,
    start_revision: i64,
    no_put: bool,
    no_delete: bool,
    pub prev_kv: bool,
}

/// A synced watcher as the matcher has it: with all that telling it takes, so that nothing has to be
/// looked up for each of thousands.
#[derive(Clone, Debug)]
struct Synced {
    id: WatcherId,
    next: i64,
    spec: Arc<Spec>,
}

impl PartialEq for Synced {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Spec {
    /// Whether the watcher is to be told of a change, `next` being the first revision it wants.
    pub(super) fn wants(&self, change: &Change, next: i64) -> bool {
        let filtered = if change.row.tombstone {
            self.no_delete
        } else {
            self.no_put
        };
        !filtered && change.row.revision.main >= next
    }
}

impl Watcher {
    fn member(&self, id: WatcherId) -> Synced {
        Synced {
            id,
            next: self.next,
            spec: Arc::clone(&self.spec),
        }
    }
}

/// A watcher that was added.
pub(super) struct Created {
    pub id: i64,
    pub revision: i64,
    pub synced: bool,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubCounts {
    pub watchers: usize,
    pub unsynced: usize,
    pub streams: usize,
    pub events_sent: u64,
    /// Revisions that unsynced watchers still have to look at, summed.
    pub pending: u64,
    /// Bytes in all queues, and of recent changes.
    pub bytes: usize,
}

/// Consumers to wake once no lock is held.
#[derive(Debug, Default)]
pub(super) struct Wakes(Vec<Arc<StreamQueue>>);

impl Wakes {
    pub(super) fn note(&mut self, pushed: Pushed, queue: &Arc<StreamQueue>) {
        if pushed == Pushed::First {
            self.0.push(Arc::clone(queue));
        }
    }

    pub(super) fn wake(self) {
        for queue in self.0 {
            queue.wake();
        }
    }
}

impl Hub {
    pub(crate) fn new(revision: i64, limits: &WatchLimits) -> Self {
        Self {
            state: Mutex::new(State {
                revision,
                watchers: BTreeMap::new(),
                streams: BTreeMap::new(),
                matcher: Matcher::new(),
                unsynced: VecDeque::new(),
                recent: Recent::new(limits.recent_bytes),
                next_watcher: 0,
                next_stream: 0,
            }),
            events_sent: AtomicU64::new(0),
        }
    }

    pub(super) fn add_stream(&self, queue: Arc<StreamQueue>) -> StreamId {
        let mut state = self.state.lock();
        let id = state.next_stream;
        state.next_stream += 1;
        let stream = Stream {
            queue,
            watchers: BTreeMap::new(),
            next_id: 0,
        };
        state.streams.insert(id, stream);
        id
    }

    pub(super) fn remove_stream(&self, id: StreamId) {
        let mut state = self.state.lock();
        if let Some(stream) = state.streams.remove(&id) {
            for watcher in stream.watchers.into_values() {
                state.forget(watcher);
            }
        }
    }

    pub(super) fn add_watcher(
        &self,
        stream_id: StreamId,
        o: WatchOptions,
    ) -> Result<Created, WatchError> {
        if o.start_revision < 0 {
            return Err(WatchError::NegativeRevision);
        }
        let target = Target::of(&o.key, &o.end).ok_or(WatchError::EmptyRange)?;
        let state = &mut *self.state.lock();
        let stream = state
            .streams
            .get_mut(&stream_id)
            .expect("a stream is removed when its handle is dropped");
        let id = match o.id {
            Some(id) if stream.watchers.contains_key(&id) => return Err(WatchError::DuplicateId),
            Some(id) => id,
            None => {
                while stream.watchers.contains_key(&stream.next_id) {
                    stream.next_id += 1;
                }
                stream.next_id += 1;
                stream.next_id - 1
            }
        };
        let watcher_id = state.next_watcher;
        state.next_watcher += 1;
        stream.watchers.insert(id, watcher_id);
        let synced = o.start_revision == 0 || o.start_revision > state.revision;
        let spec = Spec {
            queue: Arc::clone(&stream.queue),
            stream: stream_id,
            id,
            target,
            start_revision: o.start_revision,
            no_put: o.no_put,
            no_delete: o.no_delete,
            prev_kv: o.prev_kv,
        };
        let watcher = Watcher {
            spec: Arc::new(spec),
            next: if o.start_revision == 0 {
                state.revision + 1
            } else {
                o.start_revision
            },
            synced,
        };
        if synced {
            let member = watcher.member(watcher_id);
            state.matcher.insert(&watcher.spec.target, member);
        } else {
            state.unsynced.push_back(watcher_id);
        }
        state.watchers.insert(watcher_id, watcher);
        Ok(Created {
            id,
            revision: state.revision,
            synced,
        })
    }

    pub(super) fn cancel(&self, stream: StreamId, id: i64) -> bool {
        let mut state = self.state.lock();
        let Some(stream) = state.streams.get_mut(&stream) else {
            return false;
        };
        let Some(watcher) = stream.watchers.remove(&id) else {
            return false;
        };
        state.forget(watcher);
        true
    }

    pub(super) fn is_synced(&self, stream: StreamId, id: i64) -> Option<bool> {
        let state = self.state.lock();
        let watcher = state.streams.get(&stream)?.watchers.get(&id)?;
        Some(state.watchers[watcher].synced)
    }

    pub(super) fn request_progress(&self, stream: StreamId, only: Option<i64>) -> bool {
        let state = self.state.lock();
        let Some(stream) = state.streams.get(&stream) else {
            return false;
        };
        let is_told = |watcher: &WatcherId| {
            let watcher = &state.watchers[watcher];
            watcher.synced && watcher.spec.start_revision <= state.revision
        };
        let all_told = match only {
            Some(id) => stream.watchers.get(&id).is_some_and(is_told),
            None => !stream.watchers.is_empty() && stream.watchers.values().all(is_told),
        };
        if !all_told {
            return false;
        }
        let queue = Arc::clone(&stream.queue);
        let pushed = queue.push_notice(WatchItem::Progress {
            id: only.unwrap_or(ALL_WATCHERS),
            revision: state.revision,
        });
        drop(state);
        let mut wakes = Wakes::default();
        wakes.note(pushed, &queue);
        wakes.wake();
        true
    }

    /// Tells synced watchers of a transaction that was just published. `previous` finds the pair a
    /// change replaced; a watcher for which that fails is left to catch-up, which reports the failure.
    /// True when a watcher fell behind.
    pub(crate) fn notify(
        &self,
        revision: i64,
        changes: Vec<Change>,
        previous: &mut dyn FnMut(&Change) -> Result<Option<Bytes>>,
    ) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.revision = revision;
        if state.watchers.is_empty() {
            state.recent.clear();
            return false;
        }
        let mut wakes = Wakes::default();
        let (sent, behind) = match &changes[..] {
            [] => (0, Vec::new()),
            [change] => state.tell_one(change, previous, &mut wakes),
            changes => state.tell_many(revision, changes, previous, &mut wakes),
        };
        for watcher in &behind {
            state.fall_behind(*watcher, revision);
        }
        state.recent.push(revision, changes);
        drop(guard);
        self.events_sent.fetch_add(sent, Ordering::Relaxed);
        wakes.wake();
        !behind.is_empty()
    }

    /// The store's content was replaced and stands at `revision` now: whoever was synced reads what it
    /// missed from the new content, or waits until that is past what it was told.
    pub(crate) fn restored(&self, revision: i64) {
        let state = &mut *self.state.lock();
        let told = state.revision;
        state.revision = revision;
        state.recent.clear();
        let ids: Vec<_> = state.watchers.keys().copied().collect();
        for id in ids {
            let watcher = &state.watchers[&id];
            if watcher.synced {
                let next = watcher.next.max(told + 1);
                state.fall_behind(id, next);
            }
        }
        let ids = std::mem::take(&mut state.unsynced);
        for id in ids {
            if let Some(next) = state.watcher(id).map(|watcher| watcher.next) {
                state.advance(id, next);
            }
        }
    }

    pub(super) fn count_sent(&self, events: u64) {
        self.events_sent.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> HubCounts {
        let state = self.state.lock();
        let behind = state.watchers.values().filter(|w| !w.synced);
        let pending = behind.clone().map(|w| state.revision + 1 - w.next);
        HubCounts {
            watchers: state.watchers.len(),
            unsynced: behind.count(),
            streams: state.streams.len(),
            events_sent: self.events_sent.load(Ordering::Relaxed),
            pending: pending.filter_map(|n| u64::try_from(n).ok()).sum(),
            bytes: state
                .streams
                .values()
                .map(|s| s.queue.bytes())
                .sum::<usize>()
                + state.recent.bytes(),
        }
    }
}

impl State {
    /// One change: every watcher gets the same one or two events, nothing to group. Returns how many
    /// events were queued and who could not take theirs.
    fn tell_one(
        &self,
        change: &Change,
        previous: &mut dyn FnMut(&Change) -> Result<Option<Bytes>>,
        wakes: &mut Wakes,
    ) -> (u64, Vec<WatcherId>) {
        let revision = change.row.revision.main;
        let mut event = SharedEvent::new(change);
        let mut behind = Vec::new();
        let mut sent = 0;
        self.matcher
            .matching(&change.key, &mut |Synced { id, next, spec }| {
                if !spec.wants(change, *next) {
                    return;
                }
                let Ok(encoded) = event.encoded(spec.prev_kv, previous) else {
                    behind.push(*id);
                    return;
                };
                match spec.queue.push_event(spec.id, revision, encoded) {
                    Pushed::Full => behind.push(*id),
                    pushed => {
                        sent += 1;
                        wakes.note(pushed, &spec.queue);
                    }
                }
            });
        (sent, behind)
    }

    fn tell_many(
        &self,
        revision: i64,
        changes: &[Change],
        previous: &mut dyn FnMut(&Change) -> Result<Option<Bytes>>,
        wakes: &mut Wakes,
    ) -> (u64, Vec<WatcherId>) {
        let mut events: Vec<_> = changes.iter().map(SharedEvent::new).collect();
        let mut hits: Vec<(WatcherId, usize)> = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            self.matcher
                .matching(&change.key, &mut |Synced { id, next, spec }| {
                    if spec.wants(change, *next) {
                        hits.push((*id, i));
                    }
                });
        }
        hits.sort_unstable();
        let mut behind = Vec::new();
        let mut sent = 0;
        for hits in hits.chunk_by(|a, b| a.0 == b.0) {
            let id = hits[0].0;
            let spec = &self.watchers[&id].spec;
            let encoded: Result<Vec<Bytes>> = hits
                .iter()
                .map(|(_, i)| events[*i].encoded(spec.prev_kv, previous))
                .collect();
            let Ok(encoded) = encoded else {
                behind.push(id);
                continue;
            };
            let count = encoded.len() as u64;
            match spec.queue.push_events(spec.id, revision, encoded) {
                Pushed::Full => behind.push(id),
                pushed => {
                    sent += count;
                    wakes.note(pushed, &spec.queue);
                }
            }
        }
        (sent, behind)
    }

    pub(super) fn watcher(&self, id: WatcherId) -> Option<&Watcher> {
        self.watchers.get(&id)
    }

    fn forget(&mut self, id: WatcherId) {
        let Some(watcher) = self.watchers.remove(&id) else {
            return;
        };
        // An unsynced one leaves its id in `unsynced`; the next catch-up step passes over it.
        if watcher.synced {
            let member = watcher.member(id);
            self.matcher.remove(&watcher.spec.target, &member);
        }
    }

    /// Removes a watcher on the hub's own account.
    pub(super) fn drop_watcher(&mut self, id: WatcherId) {
        let Some(watcher) = self.watchers.get(&id) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&watcher.spec.stream) {
            stream.watchers.remove(&watcher.spec.id);
        }
        self.forget(id);
    }

    /// A synced watcher could not be told about `next` and everything after.
    fn fall_behind(&mut self, id: WatcherId, next: i64) {
        let watcher = self.watchers.get_mut(&id).expect("the caller just saw it");
        watcher.synced = false;
        watcher.next = next;
        let member = watcher.member(id);
        self.matcher.remove(&watcher.spec.target, &member);
        self.unsynced.push_back(id);
    }

    /// An unsynced watcher that is in no queue has been told about everything before `next`.
    pub(super) fn advance(&mut self, id: WatcherId, next: i64) {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return;
        };
        watcher.next = next;
        if next > self.revision {
            watcher.synced = true;
            let member = watcher.member(id);
            self.matcher.insert(&watcher.spec.target, member);
        } else {
            self.unsynced.push_back(id);
        }
    }
}
