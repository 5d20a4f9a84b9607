//! The queue between the store and one consumer, bounded in bytes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::WatchItem;

/// Bytes an item costs besides its events.
const ITEM_BYTES: usize = 64;

/// The queue of one stream.
pub(super) struct StreamQueue {
    state: Mutex<State>,
    wake: Arc<dyn Fn() + Send + Sync>,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Queued>,
    bytes: usize,
    /// A watcher of this stream waits for room.
    starved: bool,
}

#[derive(Debug)]
struct Queued {
    item: Item,
    bytes: usize,
}

/// An item whose common case, one event, needs no vector.
#[derive(Debug)]
enum Item {
    One {
        id: i64,
        revision: i64,
        event: Bytes,
    },
    Whole(WatchItem),
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Queued behind others.
    Behind,
    /// Queued as the only one: the consumer must be woken.
    First,
    /// Refused: the queue is full.
    Full,
}

impl fmt::Debug for StreamQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("StreamQueue")
            .field("items", &state.items.len())
            .field("bytes", &state.bytes)
            .field("starved", &state.starved)
            .finish_non_exhaustive()
    }
}

impl StreamQueue {
    pub(super) fn new(wake: Arc<dyn Fn() + Send + Sync>, limit_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            wake,
            limit_bytes,
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Tells the consumer that the queue is not empty any more. Not to be called under a lock.
    pub(super) fn wake(&self) {
        (self.wake)();
    }

    /// Whether catch-up may add to the queue; if not, the drain that makes room says so.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let room = state.bytes <= self.limit_bytes / 2;
        state.starved |= !room;
        room
    }

    pub(super) fn push_event(&self, id: i64, revision: i64, event: Bytes) -> Pushed {
        let bytes = event.len();
        let item = Item::One {
            id,
            revision,
            event,
        };
        self.push_item(item, bytes, true)
    }

    /// Queues events, unless that passes the bound.
    pub(super) fn push_events(&self, id: i64, revision: i64, events: Vec<Bytes>) -> Pushed {
        let bytes = events.iter().map(Bytes::len).sum();
        let item = WatchItem::Events {
            id,
            revision,
            events,
        };
        self.push_item(Item::Whole(item), bytes, true)
    }

    /// Queues what a catch-up step found, whatever the bound says: the step asked for room before, so
    /// the queue passes its bound by one step's events at most.
    pub(super) fn push_history(&self, id: i64, revision: i64, events: Vec<Bytes>) -> Pushed {
        let bytes = events.iter().map(Bytes::len).sum();
        let item = WatchItem::Events {
            id,
            revision,
            events,
        };
        self.push_item(Item::Whole(item), bytes, false)
    }

    /// Queues something that is not an event, whatever the bound says: these are small and few.
    pub(super) fn push_notice(&self, item: WatchItem) -> Pushed {
        self.push_item(Item::Whole(item), 0, false)
    }

    fn push_item(&self, item: Item, bytes: usize, bounded: bool) -> Pushed {
        let bytes = bytes + ITEM_BYTES;
        let mut state = self.state.lock();
        if bounded && !state.items.is_empty() && state.bytes + bytes > self.limit_bytes {
            state.starved = true;
            return Pushed::Full;
        }
        state.bytes += bytes;
        state.items.push_back(Queued { item, bytes });
        if state.items.len() == 1 {
            Pushed::First
        } else {
            Pushed::Behind
        }
    }

    /// Items from the front, and whether a starved watcher has room again.
    pub(super) fn drain(&self, max_bytes: usize) -> (Vec<WatchItem>, bool) {
        let mut state = self.state.lock();
        let mut taken = 0;
        let mut items = Vec::new();
        while taken < max_bytes.max(1)
            && let Some(queued) = state.items.pop_front()
        {
            taken += queued.bytes;
            items.push(queued.item.into());
        }
        state.bytes -= taken;
        let relieved = state.starved && state.bytes <= self.limit_bytes / 2;
        state.starved &= !relieved;
        (items, relieved)
    }
}

impl From<Item> for WatchItem {
    fn from(item: Item) -> Self {
        match item {
            Item::Whole(item) => item,
            Item::One {
                id,
                revision,
                event,
            } => Self::Events {
                id,
                revision,
                events: vec![event],
            },
        }
    }
}
