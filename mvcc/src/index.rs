//! The key index: which revision of which key is visible when.
//!
//! A copy-on-write B+tree in memory, rebuilt from the `key` bucket on opening. [`Index`] is changed by
//! the write transaction, on the apply thread; [`IndexView`] is a snapshot for readers on any thread,
//! who wait for nobody: neither for writers nor for compaction.
//!
//! # Invariants
//!
//! 1. An entry of the tree is marked live exactly when the newest write of its key is a put, so live
//!    keys of a range are counted in the depth of the tree.
//! 2. Every revision that some later revision made useless waits in one of two queues, in the order
//!    in which compactions reach it: a compaction touches the keys that lose something and no others.
//!
//! `tests.rs` compares all of it with a plain list of writes.
//!
//! # Not here
//!
//! Rows and values (`range`, `write`), and the deletion of what dies (`compact`).

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::key_history::{Entry, Found, KeyHistory};
use crate::revision::{Revision, RowKey};

mod keys;
mod slot;
#[cfg(test)]
mod tests;
mod tree;

use slot::Slot;
pub(crate) use tree::{Bounds, KeyParts};
use tree::{Place, Tree};

/// The index, as the writer has it.
#[derive(Debug)]
pub(crate) struct Index {
    tree: Tree<Slot>,
    /// Main revisions that superseded an older revision of a key, ascending.
    superseding: VecDeque<Due>,
    /// Main revisions of tombstones, ascending.
    tombstones: VecDeque<Due>,
}

/// A key that may lose a revision once a compaction reaches `main`.
#[derive(Debug)]
struct Due {
    main: i64,
    key: Arc<[u8]>,
}

/// The index as it was when the view was taken.
#[derive(Clone, Debug)]
pub(crate) struct IndexView {
    tree: Tree<Slot>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            tree: Tree::new(),
            superseding: VecDeque::new(),
            tombstones: VecDeque::new(),
        }
    }

    /// A snapshot; costs one reference count.
    pub(crate) fn view(&self) -> IndexView {
        IndexView {
            tree: self.tree.clone(),
        }
    }

    /// Adds a put and returns what it became.
    pub(crate) fn put(&mut self, key: &[u8], revision: Revision) -> Found {
        let (place, was) = self.find(key);
        let entry = match &was {
            Some((slot, _)) => slot.last().next_put(revision),
            None => Entry::put(revision, revision.main, 1),
        };
        self.push(&place, was, key, entry);
        entry.found().expect("a put is found")
    }

    /// Adds a deletion. False, and no change, when there is nothing to delete.
    pub(crate) fn tombstone(&mut self, key: &[u8], revision: Revision) -> bool {
        let (place, was) = self.find(key);
        let live = was.as_ref().is_some_and(|(_, live)| *live);
        if live {
            self.push(&place, was, key, Entry::tombstone(revision));
        }
        live
    }

    /// Adds a write read back from the `key` bucket; rows come in ascending order.
    pub(crate) fn restore(&mut self, key: &[u8], entry: Entry) {
        let (place, was) = self.find(key);
        self.push(&place, was, key, entry);
    }

    fn find(&mut self, key: &[u8]) -> (Place, Option<(Slot, bool)>) {
        let (place, found) = self.tree.find(key);
        (place, found.map(|(slot, live)| (slot.clone(), live)))
    }

    fn push(&mut self, place: &Place, was: Option<(Slot, bool)>, key: &[u8], entry: Entry) {
        let live = !entry.is_tombstone();
        let main = entry.revision.main;
        let Some((slot, was_live)) = was else {
            let slot = Slot::of(key, entry);
            if let Slot::Many(history) = &slot
                && !live
            {
                let key = Arc::clone(&history.key);
                self.tombstones.push_back(Due { main, key });
            }
            self.tree.insert_at(place, key, slot, live);
            return;
        };
        let shared = match slot {
            Slot::Many(history) => {
                history.versions.lock().push(entry);
                let shared = Arc::clone(&history.key);
                if live != was_live {
                    self.tree.insert_at(place, key, Slot::Many(history), live);
                }
                shared
            }
            Slot::One(one) => {
                let shared: Arc<[u8]> = key.into();
                let versions = KeyHistory::of_two(one.entry(), entry);
                let slot = Slot::many(Arc::clone(&shared), versions);
                self.tree.insert_at(place, key, slot, live);
                shared
            }
        };
        if !live {
            let key = Arc::clone(&shared);
            self.tombstones.push_back(Due { main, key });
        }
        // A put after a tombstone supersedes nothing: the tombstone has its own time to die.
        if was_live || !live {
            self.superseding.push_back(Due { main, key: shared });
        }
    }

    /// Forgets a part of what a compaction at `at` removes: touches at most `limit` queued keys and
    /// adds the rows that die to `dead`, in no order. True when nothing is left to do.
    ///
    /// Until then readers at `at` or later already find what they will find afterwards.
    pub(crate) fn compact_some(&mut self, at: i64, limit: usize, dead: &mut Vec<RowKey>) -> bool {
        let mut touched = Vec::new();
        while touched.len() < limit {
            let due = self.superseding.pop_front_if(|due| due.main <= at);
            // A tombstone at the compaction's own revision stays until the next one.
            let due = due.or_else(|| self.tombstones.pop_front_if(|due| due.main < at));
            let Some(due) = due else { break };
            touched.push(due.key);
        }
        let done = touched.len() < limit;
        if done {
            shrink(&mut self.superseding);
            shrink(&mut self.tombstones);
        }
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            self.compact_key(&key, at, dead);
        }
        done
    }

    fn compact_key(&mut self, key: &Arc<[u8]>, at: i64, dead: &mut Vec<RowKey>) {
        let (place, Some((Slot::Many(history), live))) = self.find(key) else {
            // An earlier compaction already left the key with one version, or with none.
            return;
        };
        let versions = history.versions.lock();
        let (dying, kept) = versions.split_at_compaction(at);
        if dying.is_empty() {
            return;
        }
        dead.extend(dying.iter().map(Entry::row));
        let Some(left) = KeyHistory::from_kept(kept) else {
            drop(versions);
            self.tree.remove(key);
            return;
        };
        let slot = match left.single() {
            Some(entry) if live => Slot::of(key, entry),
            _ => Slot::many(Arc::clone(key), left),
        };
        drop(versions);
        self.tree.insert_at(&place, key, slot, live);
    }

    /// The version of `key` visible at main revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: i64) -> Option<Found> {
        self.tree.get(key)?.0.get(at)
    }

    /// Memory of the index in bytes: tree, histories and queues. Walks all of it.
    pub(crate) fn memory_bytes(&self) -> usize {
        let mut sum = self.tree.heap_bytes();
        let bounds = Bounds {
            start: b"",
            end: None,
        };
        self.tree.visit(bounds, &mut |_, slot, _| {
            if let Slot::Many(history) = slot {
                let versions = history.versions.lock().len();
                sum += size_of::<slot::History>() + 32 + history.key.len();
                sum += versions * size_of::<Entry>();
            }
            ControlFlow::Continue(())
        });
        sum + (self.superseding.capacity() + self.tombstones.capacity()) * size_of::<Due>()
    }
}

/// Gives back what a large compaction left unused.
fn shrink(queue: &mut VecDeque<Due>) {
    if queue.capacity() / 4 > queue.len() {
        queue.shrink_to(queue.len() * 2);
    }
}

impl IndexView {
    /// The version of `key` visible at main revision `at`.
    pub(crate) fn get(&self, key: &[u8], at: i64) -> Option<Found> {
        self.tree.get(key)?.0.get(at)
    }

    /// The newest write of `key` whose main revision is at most `at`.
    pub(crate) fn write_at(&self, key: &[u8], at: i64) -> Option<Entry> {
        self.tree.get(key)?.0.write_at(at)
    }

    /// Number of keys visible now.
    pub(crate) fn live_keys(&self) -> usize {
        self.tree.counts().live
    }

    /// Number of keys visible now in `bounds`: the depth of the tree, not the length of the range.
    pub(crate) fn count_live(&self, bounds: Bounds<'_>) -> usize {
        self.tree.count_live(bounds)
    }

    /// Calls `f` with every key of `bounds` visible at main revision `at`, in order, until it breaks.
    /// With `now`, `at` is known not to be older than the view, and deleted keys are passed over
    /// without looking into their history.
    pub(crate) fn visit<'t>(
        &'t self,
        bounds: Bounds<'_>,
        at: i64,
        now: bool,
        f: &mut dyn FnMut(KeyParts<'t>, Found) -> ControlFlow<()>,
    ) {
        self.tree.visit(bounds, &mut |key, slot, live| {
            if now && !live {
                return ControlFlow::Continue(());
            }
            match slot.get(at) {
                Some(found) => f(key, found),
                None => ControlFlow::Continue(()),
            }
        });
    }

    /// Whether any key at all is visible at main revision `at`.
    pub(crate) fn any_at(&self, at: i64) -> bool {
        let mut any = false;
        let bounds = Bounds {
            start: b"",
            end: None,
        };
        self.visit(bounds, at, false, &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        });
        any
    }
}
