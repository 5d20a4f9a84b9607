//! Moments at which something about a lease may be due, soonest first.
//!
//! Used by the lessor under its lock. An entry may outlive its lease or come up before the lease is
//! due; the lessor compares and drops it or puts it back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The lease a deadline was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub id: i64,
    pub incarnation: u64,
}

/// A heap of deadlines.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, Entry)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at_ms: u64, entry: Entry) {
        self.heap.push(Reverse((at_ms, entry)));
    }

    /// Takes the soonest entry, with its moment, if that has come.
    pub(super) fn pop_due(&mut self, now_ms: u64) -> Option<(u64, Entry)> {
        let Reverse((at_ms, _)) = self.heap.peek()?;
        if *at_ms > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_ms, _))| *at_ms)
    }
}
