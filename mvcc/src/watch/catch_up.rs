//! One step of catching up: watchers that are behind read the rows they missed.
//!
//! Called in the background (or by whoever drives a manual store). A step takes one watcher that is
//! behind and everyone who is about as far, takes a bounded number of revisions from the hub's recent
//! changes or reads them from a view of the backend without any lock, and hands out what it found. Watchers that reach the present are synced
//! under the hub's lock, so that nothing falls between. The next step takes the next in line: one that
//! is far behind holds up nobody.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use varve_backend::{Direction, KeyRange};

use super::WatchItem;
use super::event::{Change, SharedEvent};
use super::hub::{Hub, Wakes, Watcher, WatcherId};
use super::matcher::Matcher;
use crate::error::Result;
use crate::options::WatchLimits;
use crate::read::ReadView;
use crate::record::Record;
use crate::revision::{Revision, RowKey};
use crate::schema::KEY;

/// A watcher this step serves.
struct Served {
    id: WatcherId,
    watcher: Watcher,
    events: Vec<Bytes>,
}

impl Served {
    fn wants(&self, change: &Change) -> bool {
        self.watcher.spec.wants(change, self.watcher.next)
    }
}

/// Does one step; `view` takes a view no older than everything the hub has told. False when nobody is
/// behind or those who are have no room.
pub(crate) fn step(
    hub: &Hub,
    limits: &WatchLimits,
    view: impl FnOnce() -> ReadView,
) -> Result<bool> {
    let (mut served, recent) = choose(hub, limits);
    if served.is_empty() {
        return Ok(false);
    }
    let view = view();
    match read(&mut served, recent, limits, &view) {
        Ok(up_to) => {
            hand_out(hub, served, view.compact_revision(), up_to);
            Ok(true)
        }
        Err(error) => {
            let mut state = hub.state.lock();
            for one in served {
                state.advance(one.id, one.watcher.next);
            }
            Err(error)
        }
    }
}

/// Changes of consecutive transactions.
type Transactions = Vec<Arc<[Change]>>;

/// Takes the first watcher in line that has room out of the line, and those about as far with it; and
/// what they missed, if that is recent.
fn choose(hub: &Hub, limits: &WatchLimits) -> (Vec<Served>, Option<Transactions>) {
    let state = &mut *hub.state.lock();
    let mut served: Vec<Served> = Vec::new();
    let mut window = None;
    for _ in 0..state.unsynced.len() {
        let Some(id) = state.unsynced.pop_front() else {
            break;
        };
        let Some(watcher) = state.watcher(id) else {
            continue;
        };
        let next = watcher.next;
        let fits = window.is_none_or(|(first, last)| first <= next && next <= last);
        if fits && served.len() < limits.catch_up_watchers.max(1) && watcher.spec.queue.has_room() {
            let last = next.saturating_add(limits.catch_up_revisions.max(1) - 1);
            window.get_or_insert((next, last));
            let watcher = watcher.clone();
            let events = Vec::new();
            served.push(Served {
                id,
                watcher,
                events,
            });
        } else {
            state.unsynced.push_back(id);
        }
    }
    let recent = window.and_then(|(first, last)| state.recent.between(first, last));
    (served, recent)
}

/// Collects the events of everyone served; returns the last revision that was looked at.
fn read(
    served: &mut [Served],
    recent: Option<Transactions>,
    limits: &WatchLimits,
    view: &ReadView,
) -> Result<i64> {
    let mut matcher = Matcher::new();
    let mut first = i64::MAX;
    for (i, one) in served.iter().enumerate() {
        if one.watcher.next >= view.compact_revision() {
            matcher.insert(&one.watcher.spec.target, i);
            first = first.min(one.watcher.next);
        }
    }
    let last = first.saturating_add(limits.catch_up_revisions.max(1) - 1);
    let newest = last.min(view.revision());
    let mut up_to = newest;
    let mut bytes = 0;
    let mut seen = first;
    let mut tell = |change: &Change| {
        let main = change.row.revision.main;
        if bytes >= limits.catch_up_bytes && main > seen {
            up_to = main - 1;
            return Ok(ControlFlow::Break(()));
        }
        seen = main;
        bytes += change.stored.len();
        let mut wanted = Vec::new();
        matcher.matching(&change.key, &mut |i: &usize| {
            if served[*i].wants(change) {
                wanted.push(*i);
            }
        });
        let mut event = SharedEvent::new(change);
        let mut previous = |change: &Change| view.previous(&change.key, main);
        for i in wanted {
            let encoded = event.encoded(served[i].watcher.spec.prev_kv, &mut previous)?;
            served[i].events.push(encoded);
        }
        Ok(ControlFlow::Continue(()))
    };
    match recent {
        Some(transactions) => {
            // Later ones may have ended since they were collected.
            let mut last = first - 1;
            for change in transactions.iter().flat_map(|changes| changes.iter()) {
                last = change.row.revision.main;
                if last >= first && tell(change)?.is_break() {
                    break;
                }
            }
            up_to = up_to.min(last);
        }
        None => scan(view, first, newest, &mut tell)?,
    }
    Ok(up_to)
}

/// Calls `f` with the rows of the revisions `first..=last` until it breaks.
fn scan(
    view: &ReadView,
    first: i64,
    last: i64,
    f: &mut dyn FnMut(&Change) -> Result<ControlFlow<()>>,
) -> Result<()> {
    if first > last {
        return Ok(());
    }
    let end = last.checked_add(1);
    let range = KeyRange {
        start: RowKey::put(Revision::new(first, 0)).encode(),
        end: end.map(|end| RowKey::put(Revision::new(end, 0)).encode()),
    };
    let mut rows = view.view.scan(KEY, &range, Direction::Forward)?;
    while let Some((key, stored)) = rows.next()? {
        let row = RowKey::decode(&key)?;
        let key = stored.slice(Record::of_row(row, &stored)?.key);
        if f(&Change { row, key, stored })?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Queues what was found and moves everyone on.
fn hand_out(hub: &Hub, served: Vec<Served>, compacted: i64, up_to: i64) {
    let mut wakes = Wakes::default();
    let mut sent = 0;
    let mut state = hub.state.lock();
    for one in served {
        let Served {
            id,
            watcher,
            events,
        } = one;
        if state.watcher(id).is_none() {
            continue;
        }
        let queue = &watcher.spec.queue;
        if watcher.next < compacted {
            state.drop_watcher(id);
            let item = WatchItem::Compacted {
                id: watcher.spec.id,
                compact_revision: compacted,
            };
            wakes.note(queue.push_notice(item), queue);
        } else if up_to < watcher.next || !queue.has_room() {
            // The step ended early, or others of this stream filled the queue.
            state.advance(id, watcher.next);
        } else {
            if !events.is_empty() {
                sent += events.len() as u64;
                wakes.note(queue.push_history(watcher.spec.id, up_to, events), queue);
            }
            state.advance(id, up_to + 1);
        }
    }
    drop(state);
    hub.count_sent(sent);
    wakes.wake();
}
