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

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::key_history::{Entry, Found, KeyHistory};
use crate::revision::{Revision, RowKey};

mod due;
mod keys;
mod order;
mod slot;
#[cfg(test)]
mod tests;
mod tree;

use due::DueQueue;
use slot::{Compacted, Slot};
use tree::Tree;
pub(crate) use tree::{Bounds, KeyParts};

/// The index, as the writer has it.
#[derive(Debug)]
pub(crate) struct Index {
    tree: Tree<Slot>,
    /// Main revisions that superseded an older revision of a key.
    superseding: DueQueue,
    /// Main revisions of tombstones.
    tombstones: DueQueue,
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
            superseding: DueQueue::default(),
            tombstones: DueQueue::default(),
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
        let written = self.write(key, |last| {
            Some(match last {
                Some(last) => last.next_put(revision),
                None => Entry::put(revision, revision.main, 1),
            })
        });
        let found = written.and_then(|entry| entry.found());
        found.expect("a put was written")
    }

    /// Adds a deletion. False, and no change, when there is nothing to delete.
    pub(crate) fn tombstone(&mut self, key: &[u8], revision: Revision) -> bool {
        let written = self.write(key, |last| {
            let live = last.is_some_and(|last| !last.is_tombstone());
            live.then(|| Entry::tombstone(revision))
        });
        written.is_some()
    }

    /// Adds writes read back from the `key` bucket, which are newer than all before, ascending.
    pub(crate) fn restore(&mut self, rows: &[(&[u8], Entry)]) {
        let keys: Vec<&[u8]> = rows.iter().map(|(key, _)| *key).collect();
        let order = order::by_key(&keys);
        let key_of = |row: u32| keys[row as usize];
        let groups: Vec<&[u32]> = order.chunk_by(|a, b| key_of(*a) == key_of(*b)).collect();
        let each: Vec<&[u8]> = groups.iter().map(|group| key_of(group[0])).collect();
        let (mut superseding, mut tombstones) = (Vec::new(), Vec::new());
        self.tree.merge(&each, &mut |number, was| {
            let mut was_live = was.map(|(_, live)| live);
            let entries = groups[number].iter().map(|row| {
                let entry = rows[*row as usize].1;
                let live = !entry.is_tombstone();
                if !live {
                    tombstones.push(*row);
                }
                if supersedes(was_live, live) {
                    superseding.push(*row);
                }
                was_live = Some(live);
                entry
            });
            let slot = Slot::with(was.map(|(slot, _)| slot), entries);
            (slot, was_live == Some(true))
        });
        for (rows_of, queue) in [
            (superseding, &mut self.superseding),
            (tombstones, &mut self.tombstones),
        ] {
            // The queues are in the order of revisions, the walk was in that of keys.
            let mut rows_of = rows_of;
            rows_of.sort_unstable();
            for row in rows_of {
                let (key, entry) = rows[row as usize];
                queue.push(entry.revision.main, key);
            }
        }
    }

    /// Adds the write that `next` makes of the newest one so far, if it makes one.
    fn write(
        &mut self,
        key: &[u8],
        next: impl FnOnce(Option<Entry>) -> Option<Entry>,
    ) -> Option<Entry> {
        let (place, was) = self.tree.find(key);
        let was_live = was.map(|(_, live)| live);
        let (entry, slot) = match was {
            None => {
                let entry = next(None)?;
                (entry, Some(Slot::of(entry)))
            }
            Some((Slot::One(one), _)) => {
                let entry = next(Some(one.entry()))?;
                let versions = KeyHistory::of_two(one.entry(), entry);
                (entry, Some(Slot::many(versions)))
            }
            Some((Slot::Many(history), live)) => {
                let mut versions = history.lock();
                let entry = next(Some(versions.last()))?;
                versions.push(entry);
                drop(versions);
                // Of what the tree itself holds only the mark may change.
                let marked = live == entry.is_tombstone();
                (entry, marked.then(|| Slot::Many(Arc::clone(history))))
            }
        };
        let live = !entry.is_tombstone();
        if let Some(slot) = slot {
            self.tree.insert_at(&place, key, slot, live);
        }
        let main = entry.revision.main;
        if !live {
            self.tombstones.push(main, key);
        }
        if supersedes(was_live, live) {
            self.superseding.push(main, key);
        }
        Some(entry)
    }

    /// Forgets a part of what a compaction at `at` removes: touches at most `limit` queued keys and
    /// adds the rows that die to `dead`, in no order. True when nothing is left to do.
    ///
    /// Until then readers at `at` or later already find what they will find afterwards.
    pub(crate) fn compact_some(&mut self, at: i64, limit: usize, dead: &mut Vec<RowKey>) -> bool {
        let mut touched = Vec::new();
        while touched.len() < limit {
            let due = self.superseding.pop_if(|main| main <= at);
            // A tombstone at the compaction's own revision stays until the next one.
            let due = due.or_else(|| self.tombstones.pop_if(|main| main < at));
            let Some(key) = due else { break };
            touched.push(key);
        }
        let done = touched.len() < limit;
        if done {
            self.superseding.shrink();
            self.tombstones.shrink();
        }
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            self.compact_key(&key, at, dead);
        }
        done
    }

    fn compact_key(&mut self, key: &[u8], at: i64, dead: &mut Vec<RowKey>) {
        let (place, Some((slot, live))) = self.tree.find(key) else {
            // An earlier compaction already left the key with nothing.
            return;
        };
        match slot.compacted(at, dead) {
            Compacted::Same => {}
            Compacted::Left(left) => self.tree.insert_at(&place, key, left, live),
            Compacted::Gone => self.tree.remove(key),
        }
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
            sum += slot.heap_bytes();
            ControlFlow::Continue(())
        });
        sum + self.superseding.heap_bytes() + self.tombstones.heap_bytes()
    }
}

/// Whether a write makes the one before it (if there was one) useless to later readers. A put after a
/// tombstone does not: the tombstone has its own time to die.
fn supersedes(was_live: Option<bool>, live: bool) -> bool {
    was_live.is_some_and(|was_live| was_live || !live)
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
